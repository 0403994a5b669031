"""The real `lightest verifier run` on loopback, as a process of its own, and what a test does with it."""

import http.client
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.supplier_process import Answer
from tests.world import World, free_port

LIGHTEST = Path(sys.executable).with_name("lightest")
_SECONDS = 30.0


class VerifierProcess:
    """`verifier.raspidemo`, whose address, TLSA record and alarm signer are in the DNS of `world`.

    Deferred faults are tried again within a second, unless the settings say otherwise.

    Attributes:
        name: its DNS name, without the final dot.
        url: of its pages, without a path.
    """

    def __init__(self, world: World, folder: Path, settings: str = "", label: str = "verifier") -> None:
        """Prepare keys, records and settings; `start` runs it.

        Args:
            folder: an existing, private one for its settings and state.
            settings: more TOML keys.
        """
        self._world = world
        self.label = label
        self.name = f"{label}.raspidemo"
        self.port = free_port()
        self.url = f"https://{self.name}:{self.port}"
        self.state = folder / "state"
        self.state.mkdir(exist_ok=True)
        self.config = folder / "verifier.toml"
        self.log = folder / "verifier.log"
        self.identity = world.identity(self.name)
        self.signer = world.identity(self.name)
        for stem, identity in (("tls", self.identity), ("signer", self.signer)):
            (self.state / f"{stem}.crt").write_bytes(identity.certificate.read_bytes())
            (self.state / f"{stem}.key").write_bytes(identity.key.read_bytes())
        self.publish()
        self.configure(settings)
        self._process: subprocess.Popen[bytes] | None = None

    def publish(self) -> None:
        """Put its address, TLSA and SMIMEA record into the DNS; again after `world.restore`."""
        self._world.tls_server(self.label, self.port, self.identity)
        self._world.set(f"_verdict._trust.{self.name}", "SMIMEA", self.signer.tlsa)

    def configure(self, settings: str = "") -> None:
        """Write the settings."""
        if "retry_first" not in settings:
            settings += "\nretry_first = 0.1\nretry_cap = 0.5"
        self.config.write_text(
            f'domain = "raspidemo"\nname = "{self.name}"\n'
            f'addresses = ["127.0.0.1"]\nport = {self.port}\nstate = "{self.state}"\n'
            f"resolver_port = {self._world.resolver_port}\n{settings}\n"
        )

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """Of the running process."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Run it and wait until it tells that it is ready."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager, self.log.open("ab") as log:
            manager.bind(f"\0lightest-test-{self.port}")
            manager.settimeout(0.1)
            self._process = subprocess.Popen(
                [LIGHTEST, "verifier", "run", "--config", self.config],
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
        context = ssl.create_default_context(cafile=str(self.identity.certificate))
        context.check_hostname = False  # it is asked at its address
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, context=context, timeout=_SECONDS)
        try:
            connection.request(method, path, body, dict(headers or {}))
            answer = connection.getresponse()
            return Answer(answer.status, dict(answer.headers), answer.read().decode())
        finally:
            connection.close()

    def send(self, body: bytes) -> Answer:
        """Send a notification as a sensor does."""
        return self.request("POST", "/v1/faults", body, {"Content-Type": "application/jose"})

    def raise_fault(self, body: bytes) -> str:
        """Send a notification that has to be taken; its id."""
        answer = self.send(body)
        assert answer.status == 202, answer
        return str(answer.json["id"])

    def fault(self, name: str) -> dict[str, Any]:
        """A fault as it is now."""
        answer = self.request("GET", f"/v1/faults/{name}")
        assert answer.status == 200, answer
        values: dict[str, Any] = answer.json
        return values

    def wait(self, name: str, *statuses: str) -> dict[str, Any]:
        """A fault as soon as it has one of `statuses`; by default accepted or rejected."""
        deadline = time.monotonic() + _SECONDS
        while True:
            fault = self.fault(name)
            if fault["status"] in (statuses or ("accepted", "rejected")):
                return fault
            assert time.monotonic() < deadline, (json.dumps(fault, indent=2), self.log.read_text()[-3000:])
            time.sleep(0.02)

    def decide(self, body: bytes) -> dict[str, Any]:
        """Send a notification and wait for what comes first: accepted, rejected or deferred."""
        return self.wait(self.raise_fault(body), "accepted", "rejected", "deferred")

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """`lightest <arguments>` with its settings."""
        return subprocess.run(
            [LIGHTEST, *arguments, "--config", self.config],
            capture_output=True,
            text=True,
            check=False,
            timeout=_SECONDS,
        )


def signs(fault: Mapping[str, Any]) -> str:
    """The seven links of a fault in short: h(eld), b(roken), w(aiting), n(ot reached)."""
    return "".join(link["state"][0] for link in fault["trace"])
