"""The real `lightest sensor run` on loopback, as a process of its own, with a simulated thermometer."""

import json
import os
import secrets
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from lightest_agents.sensor.outbox import FaultState, Outbox
from lightest_agents.sensor.settings import load_sensor
from tests.verifier_process import VerifierProcess
from tests.world import World

LIGHTEST = Path(sys.executable).with_name("lightest")


class SensorProcess:
    """A sensor in Germany that is not listed anywhere yet.

    Attributes:
        claim: its name, without the final dot.
        certificate: what its manufacturer has to publish, as PEM.
    """

    def __init__(self, world: World, folder: Path, verifier: VerifierProcess, label: str) -> None:
        """Write the settings and make the key in an existing, private folder; the `with` block runs it."""
        self.claim = f"{label}.germany.raspidemo"
        self.config = folder / "sensor.toml"
        self.log = folder / "sensor.log"
        self.config.write_text(
            f'domain = "raspidemo"\nlocation = "germany"\nname = "{label}"\nverifier = "{verifier.url}"\n'
            f'state = "{folder}"\nresolver_port = {world.resolver_port}\n'
            "interval = 0.05\nretry_first = 0.1\nretry_cap = 0.3\n"
            '[thermometer]\ndriver = "simulated"\n'
        )
        self.certificate: str = self.command("enrol")["certificate"]
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        """Run it and wait until it tells that it is ready."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager, self.log.open("ab") as log:
            address = f"lightest-test-{secrets.token_hex(8)}"
            manager.bind(f"\0{address}")
            manager.settimeout(0.1)
            self._process = subprocess.Popen(
                [LIGHTEST, "sensor", "run", "--config", self.config],
                stderr=log,
                env=os.environ | {"NOTIFY_SOCKET": f"@{address}"},
            )
            while True:
                try:
                    if b"READY=1" in manager.recv(4096):
                        return self
                except TimeoutError:
                    assert self._process.poll() is None, self.log.read_text()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait()

    def command(self, *arguments: str) -> Any:
        """What a sub-command prints with --json."""
        done = subprocess.run(
            [LIGHTEST, "sensor", *arguments, "--json", "--config", self.config],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, (done.stdout, done.stderr, self.log.read_text())
        return json.loads(done.stdout)

    def waiting(self) -> int:
        """How many faults its outbox has that the verifier has not taken yet."""
        with Outbox(load_sensor(self.config).outbox, read_only=True) as outbox:
            return outbox.counts()[FaultState.WAITING]

    def last_delivered(self) -> str | None:
        """The verifier's id of the last fault, if it has taken it."""
        with Outbox(load_sensor(self.config).outbox, read_only=True) as outbox:
            fault = outbox.last()
        return fault.answer if fault is not None and fault.state is FaultState.DELIVERED else None


Enrol = Callable[[VerifierProcess], SensorProcess]
"""Makes a sensor for a verifier, not yet running."""
