"""An agent that serves, run for real on loopback as a process of its own: what its kinds have in common."""

import http.client
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Self

from tests.world import World, free_port

LIGHTEST = Path(sys.executable).with_name("lightest")
SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What the service said."""

    status: int
    headers: Mapping[str, str]
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)


class AgentProcess:
    """`lightest <agent> run` for the service `<label>.raspidemo`, with its settings in `config`.

    Attributes:
        name: its DNS name, without the final dot.
        process: the running process; None while there is none.
    """

    agent: ClassVar[str]

    def __init__(self, world: World, folder: Path, label: str) -> None:
        """Make keys and names.

        Args:
            folder: an existing, private one for its settings and state.
        """
        self._world = world
        self.label = label
        self.name = f"{label}.raspidemo"
        self.port = free_port()
        self.state = folder / "state"
        self.state.mkdir(exist_ok=True)
        self.config = folder / f"{self.agent}.toml"
        self.log = folder / f"{self.agent}.log"
        self.identity = world.identity(self.name)
        (self.state / "tls.crt").write_bytes(self.identity.certificate.read_bytes())
        (self.state / "tls.key").write_bytes(self.identity.key.read_bytes())
        self.process: subprocess.Popen[bytes] | None = None

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
        assert self.process is not None
        return self.process.pid

    def start(self) -> None:
        """Run it and wait until it tells that it is ready."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager, self.log.open("ab") as log:
            manager.bind(f"\0lightest-test-{self.port}")
            manager.settimeout(0.1)
            self.process = subprocess.Popen(
                [LIGHTEST, self.agent, "run", "--config", self.config],
                stderr=log,
                env=os.environ | {"NOTIFY_SOCKET": f"@lightest-test-{self.port}"},
            )
            while True:
                try:
                    if b"READY=1" in manager.recv(4096):
                        return
                except TimeoutError:
                    assert self.process.poll() is None, self.log.read_text()

    def stop(self) -> int:
        """End it as systemd does; its exit code."""
        return self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it as a power cut does."""
        self._end(signal.SIGKILL)

    def request(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """One request over TLS, with its certificate pinned."""
        connection = self.connect()
        try:
            connection.request(method, path, body, dict(headers or {}))
            answer = connection.getresponse()
            return Answer(answer.status, dict(answer.headers), answer.read().decode())
        finally:
            connection.close()

    def connect(self) -> http.client.HTTPSConnection:
        """A connection for further requests, with its certificate pinned."""
        context = ssl.create_default_context(cafile=str(self.identity.certificate))
        context.check_hostname = False  # it is asked at its address
        return http.client.HTTPSConnection("127.0.0.1", self.port, context=context, timeout=SECONDS)

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """`lightest <arguments>` with its settings."""
        return subprocess.run(
            [LIGHTEST, *arguments, "--config", self.config],
            capture_output=True,
            text=True,
            check=False,
            timeout=SECONDS,
        )

    def _end(self, number: signal.Signals) -> int:
        if self.process is None:
            return 0
        self.process.send_signal(number)
        code = self.process.wait(SECONDS)
        self.process = None
        return code
