"""The TSPA as a service: granian answers in a process of its own, this one looks after it and heals.

Its main thread is granian's supervisor, which stays until SIGTERM or until the worker fails. One thread tells
systemd that the service answers, as seen from its own TLS port; another finishes and renews publications.
"""

import http.client
import logging
import multiprocessing
import os
import ssl
import threading
from collections.abc import Callable
from typing import Any

from django.db import close_old_connections
from granian.constants import HTTPModes, Interfaces, SSLProtocols
from granian.http import HTTP1Settings
from granian.log import LogLevels
from granian.server import MPServer

from lightest_agents.service.logs import configure_logging
from lightest_agents.service.systemd import notify
from lightest_agents.tspa.config import TspaConfig
from lightest_agents.tspa.errors import InstallationError
from lightest_agents.tspa.signer import ListSigner

_LOG = logging.getLogger(__name__)

# A waiting API request holds a thread while the DNS is slow; the lists must be served all the same.
_THREADS = 16
_CONNECTIONS = 256
_HEADER_SECONDS = 10
_HEADER_BYTES = 32 * 1024
_STOP_SECONDS = 10
_HEAL_SECONDS = 60.0
_START_POLL_SECONDS = 0.1
_ANSWER_SECONDS = 5.0


def run(config: TspaConfig) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises:
        InstallationError: the database is not migrated, or a key or certificate is missing or unusable.
    """
    configure_logging()
    _check_tls(config)
    ListSigner.read(config.state)
    _check_migrations()
    # The worker must not inherit the locks and connections of this process's threads.
    multiprocessing.set_start_method("spawn", force=True)
    server = _make_server(config)
    threads = [
        threading.Thread(target=_report_health, args=(config, server.stopping), daemon=True),
        threading.Thread(target=_heal_regularly, args=(server.stopping,), daemon=True),
    ]
    for thread in threads:
        thread.start()
    try:
        server.serve(target_loader=load_application, wrap_loader=False)
    finally:
        server.stopping.set()
        for thread in threads:
            # A long run need not end: what it leaves undone is found at the next start.
            thread.join(_STOP_SECONDS)


def load_application() -> Callable[..., object]:
    """The WSGI application, in granian's worker process."""
    configure_logging()
    # What a client does wrong is told to the client; what it is not allowed to do, the audit keeps.
    logging.getLogger("django.request").setLevel(logging.ERROR)
    logging.getLogger("django.security").setLevel(logging.CRITICAL)
    from lightest_agents.tspa.project.wsgi import application

    return application


class _Server(MPServer):
    """Granian's supervisor, which lets others know of the end when it begins."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.stopping = threading.Event()

    def signal_handler_interrupt(self, *arguments: object, **options: object) -> None:
        notify("STOPPING=1")
        self.stopping.set()
        super().signal_handler_interrupt(*arguments, **options)  # type: ignore[no-untyped-call]


def _make_server(config: TspaConfig) -> _Server:
    return _Server(
        "lightest_agents.tspa.project.wsgi:application",
        address=config.addresses[0],
        port=config.port,
        interface=Interfaces.WSGI,
        workers=1,
        blocking_threads=_THREADS,
        backpressure=_CONNECTIONS,
        http=HTTPModes.http1,
        http1_settings=HTTP1Settings(
            header_read_timeout=_HEADER_SECONDS * 1000, max_buffer_size=_HEADER_BYTES
        ),
        websockets=False,
        ssl_cert=config.state / "tls.crt",
        ssl_key=config.state / "tls.key",
        ssl_protocol_min=SSLProtocols.tls12,
        workers_kill_timeout=_STOP_SECONDS,
        log_level=LogLevels.error,
        log_dictconfig={"loggers": {"_granian": {"propagate": True}}},
    )


def _check_tls(config: TspaConfig) -> None:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(
            config.state / "tls.crt", config.state / "tls.key"
        )
    except OSError as error:
        raise InstallationError(f"{config.state}/tls.crt and tls.key cannot be used: {error}") from error


def _check_migrations() -> None:
    from lightest_agents.tspa.migrating import pending_migrations

    if pending_migrations():
        raise InstallationError("the database is not up to date; run `lightest tspa migrate`")


def _report_health(config: TspaConfig, stop: threading.Event) -> None:
    """Tell systemd when the TLS port answers for the first time, and from then on that it still does."""
    while not _answers(config):
        if stop.wait(_START_POLL_SECONDS):
            return
    notify("READY=1")
    interval = os.environ.get("WATCHDOG_USEC", "")
    if not interval.isdecimal():
        return
    while not stop.wait(int(interval) / 2_000_000):
        if _answers(config):
            notify("WATCHDOG=1")
        else:
            _LOG.error("the TLS port does not answer")


def _answers(config: TspaConfig) -> bool:
    """Whether a request to the server's own port is answered.

    Who answers on a port of this host need not be proved, so no certificate is checked.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    address = {"::": "::1", "0.0.0.0": "127.0.0.1"}.get(config.addresses[0], config.addresses[0])  # noqa: S104
    connection = http.client.HTTPSConnection(address, config.port, timeout=_ANSWER_SECONDS, context=context)
    try:
        connection.request("GET", "/healthz", headers={"Host": config.authority})
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _heal_regularly(stop: threading.Event) -> None:
    from lightest_agents.tspa.services import publishing

    while True:
        try:
            report = publishing.heal()
        except Exception:
            # Whatever it is, the next round may find it gone; the lists that are out are served meanwhile.
            _LOG.exception("publications could not be finished")
        else:
            if report.published:
                _LOG.info("published %d lists", report.published)
            for problem in report.problems:
                _LOG.warning("lists are waiting: %s", problem)
        close_old_connections()
        if stop.wait(_HEAL_SECONDS):
            return
