"""The real `lightest verifier run` on loopback, as a process of its own, and what a test does with it."""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from tests.agent_process import SECONDS, AgentProcess, Answer
from tests.world import World


class VerifierProcess(AgentProcess):
    """`verifier.raspidemo`, whose address, TLSA record and alarm signer are in the DNS of `world`.

    Deferred faults are tried again within a second, unless the settings say otherwise.

    Attributes:
        url: of its pages, without a path.
    """

    agent: ClassVar[str] = "verifier"

    def __init__(self, world: World, folder: Path, settings: str = "", label: str = "verifier") -> None:
        """Prepare keys, records and settings; `start` runs it.

        Args:
            folder: an existing, private one for its settings and state.
            settings: more TOML keys.
        """
        super().__init__(world, folder, label)
        self.url = f"https://{self.name}:{self.port}"
        self.signer = world.identity(self.name)
        (self.state / "signer.crt").write_bytes(self.signer.certificate.read_bytes())
        (self.state / "signer.key").write_bytes(self.signer.key.read_bytes())
        self.publish()
        self.configure(settings)

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
        deadline = time.monotonic() + SECONDS
        while True:
            fault = self.fault(name)
            if fault["status"] in (statuses or ("accepted", "rejected")):
                return fault
            assert time.monotonic() < deadline, (json.dumps(fault, indent=2), self.log.read_text()[-3000:])
            time.sleep(0.02)

    def decide(self, body: bytes) -> dict[str, Any]:
        """Send a notification and wait for what comes first: accepted, rejected or deferred."""
        return self.wait(self.raise_fault(body), "accepted", "rejected", "deferred")


def signs(fault: Mapping[str, Any]) -> str:
    """The seven links of a fault in short: h(eld), b(roken), w(aiting), n(ot reached)."""
    return "".join(link["state"][0] for link in fault["trace"])
