"""The real `lightest supplier run` on loopback, as a process of its own, and what a test does with it."""

import http.client
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.world import Identity, World, free_port

LIGHTEST = Path(sys.executable).with_name("lightest")
_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What the service said."""

    status: int
    headers: Mapping[str, str]
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)


class SupplierProcess:
    """One supplier `<label>.raspidemo`, whose address and TLSA record are in the DNS of `world`.

    Attributes:
        name: its DNS name, without the final dot.
        url: where alarms are sent, for a trust list.
    """

    def __init__(self, world: World, folder: Path, label: str = "supplier1", settings: str = "") -> None:
        """Prepare keys, records and settings; `start` runs it.

        Args:
            folder: an existing, private one for its settings and state.
            settings: more TOML, which begins with keys of the top level.
        """
        self._world = world
        self.label = label
        self.name = f"{label}.raspidemo"
        self.port = free_port()
        self.url = f"https://{self.name}:{self.port}/v1/alarms"
        self.state = folder / "state"
        self.state.mkdir()
        self.config = folder / "supplier.toml"
        self.log = folder / "supplier.log"
        self.identity = world.identity(self.name)
        self.publish()
        (self.state / "tls.crt").write_bytes(self.identity.certificate.read_bytes())
        (self.state / "tls.key").write_bytes(self.identity.key.read_bytes())
        self.configure(settings)
        self._process: subprocess.Popen[bytes] | None = None

    def publish(self) -> Identity:
        """Put its address and TLSA record into the DNS; again after `world.restore`."""
        return self._world.tls_server(self.label, self.port, self.identity)

    def configure(self, settings: str = "") -> None:
        """Write the settings; without any more, `verifier.raspidemo` is its verifier."""
        if "verifiers" not in settings:
            settings = f'verifiers = ["verifier.raspidemo"]\n{settings}'
        if "[lamp]" not in settings:
            settings += '\n[lamp]\ndriver = "mock"\n'
        self.config.write_text(
            f'domain = "raspidemo"\nname = "{self.name}"\nlabel = "{self.label}"\ntitle = "Cooling Service"\n'
            f'addresses = ["127.0.0.1"]\nport = {self.port}\nstate = "{self.state}"\n'
            f"resolver_port = {self._world.resolver_port}\n{settings}"
        )

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Run it and wait until it tells that it is ready."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager, self.log.open("ab") as log:
            manager.bind(f"\0lightest-test-{self.port}")
            manager.settimeout(0.1)
            self._process = subprocess.Popen(
                [LIGHTEST, "supplier", "run", "--config", self.config],
                stderr=log,
                env=os.environ | {"NOTIFY_SOCKET": f"@lightest-test-{self.port}"},
            )
            while True:
                try:
                    if b"READY=1" in manager.recv(4096):
                        return
                except TimeoutError:
                    assert self._process.poll() is None, self.log.read_text()

    def stop(self) -> int:
        """End it as systemd does; its exit code."""
        return self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it as a power cut does."""
        self._end(signal.SIGKILL)

    def _end(self, number: signal.Signals) -> int:
        if self._process is None:
            return 0
        self._process.send_signal(number)
        code = self._process.wait(_SECONDS)
        self._process = None
        return code

    def request(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """One request over TLS, with its certificate pinned."""
        connection = self._connect()
        try:
            connection.request(method, path, body, dict(headers or {}))
            answer = connection.getresponse()
            return Answer(answer.status, dict(answer.headers), answer.read().decode())
        finally:
            connection.close()

    def send(self, alarm: bytes) -> Answer:
        """Send an alarm as a verifier does."""
        return self.request("POST", "/v1/alarms", alarm, {"Content-Type": "application/jose"})

    def lamp(self) -> dict[str, Any]:
        """The lamp now: blinking, lit, working, unacknowledged, since."""
        values: dict[str, Any] = self.request("GET", "/v1/lamp").json
        return values

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """`lightest supplier <arguments>` with its settings."""
        return subprocess.run(
            [LIGHTEST, "supplier", *arguments, "--config", self.config],
            capture_output=True,
            text=True,
            check=False,
            timeout=_SECONDS,
        )

    @contextmanager
    def events(self) -> Iterator[Iterator[tuple[str, Any]]]:
        """The stream of events as a browser gets it: each one's name and data."""
        connection = self._connect()
        try:
            connection.request("GET", "/events", headers={"Accept": "text/event-stream"})
            answer = connection.getresponse()
            assert answer.status == 200, answer.read()
            yield _events(answer)
        finally:
            connection.close()

    def _connect(self) -> http.client.HTTPSConnection:
        context = ssl.create_default_context(cafile=str(self.identity.certificate))
        context.check_hostname = False  # it is asked at its address
        return http.client.HTTPSConnection("127.0.0.1", self.port, context=context, timeout=_SECONDS)


def _events(answer: http.client.HTTPResponse) -> Iterator[tuple[str, Any]]:
    name = ""
    for line in answer:
        field, _, value = line.decode().rstrip("\n").partition(": ")
        if field == "event":
            name = value
        elif field == "data":
            yield name, json.loads(value)
