"""The real `lightest supplier run` on loopback, as a process of its own, and what a test does with it."""

import http.client
import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

from tests.agent_process import AgentProcess, Answer
from tests.world import Identity, World


class SupplierProcess(AgentProcess):
    """One supplier `<label>.raspidemo`, whose address and TLSA record are in the DNS of `world`.

    Attributes:
        url: where alarms are sent, for a trust list.
    """

    agent: ClassVar[str] = "supplier"

    def __init__(self, world: World, folder: Path, label: str = "supplier1", settings: str = "") -> None:
        """Prepare keys, records and settings; `start` runs it.

        Args:
            folder: an existing, private one for its settings and state.
            settings: more TOML, which begins with keys of the top level.
        """
        super().__init__(world, folder, label)
        self.url = f"https://{self.name}:{self.port}/v1/alarms"
        self.publish()
        self.configure(settings)

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

    def send(self, alarm: bytes) -> Answer:
        """Send an alarm as a verifier does."""
        return self.request("POST", "/v1/alarms", alarm, {"Content-Type": "application/jose"})

    def lamp(self) -> dict[str, Any]:
        """The lamp now: blinking, lit, working, unacknowledged, since."""
        values: dict[str, Any] = self.request("GET", "/v1/lamp").json
        return values

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """`lightest supplier <arguments>` with its settings."""
        return self.run("supplier", *arguments)

    @contextmanager
    def events(self) -> Iterator[Iterator[tuple[str, Any]]]:
        """The stream of events as a browser gets it: each one's name and data."""
        connection = self.connect()
        try:
            connection.request("GET", "/events", headers={"Accept": "text/event-stream"})
            answer = connection.getresponse()
            assert answer.status == 200, answer.read()
            yield _events(answer)
        finally:
            connection.close()


def _events(answer: http.client.HTTPResponse) -> Iterator[tuple[str, Any]]:
    name = ""
    for line in answer:
        field, _, value = line.decode().rstrip("\n").partition(": ")
        if field == "event":
            name = value
        elif field == "data":
            yield name, json.loads(value)
