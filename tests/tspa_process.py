"""The real `lightest tspa run` on loopback, as processes of its own, and what a test does with it."""

import json
import os
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

from lightest_agents.service.identity import make_identity
from tests.world import Identity, World, free_port

NAME = "tspa.raspidemo"
ZONE = "trust.germany.raspidemo"
LIGHTEST = Path(sys.executable).with_name("lightest")

_COMMAND = "from lightest_agents.cli import main; main()"

# Most of a command's time is the start of Python and Django. Each command is a process of its own all the
# same: a fork of one that has started once.
_FORKING = """
import json, os, sys
from pathlib import Path
from lightest_agents.tspa.setup import set_up

set_up(Path(sys.argv[1]))
import aiohttp, lightest_agents.cli, lightest_agents.dns.http
from lightest_agents.tspa import migrating
from lightest_agents.tspa.services import publishing, registry, sensors, tokens

for line in sys.stdin:
    order = json.loads(line)
    child = os.fork()
    if not child:
        for number, name in enumerate(("in", "out", "err")):
            os.dup2(os.open(name, os.O_RDWR | os.O_CREAT | (number and os.O_TRUNC)), number)
        sys.argv = ["lightest", *order["arguments"]]
        exec(order["code"], {"__name__": "__main__"})
        sys.stdout.flush()
        os._exit(0)
    _, status = os.waitpid(child, 0)
    print(os.waitstatus_to_exitcode(status), flush=True)
"""


class TspaProcess:
    """A TSPA with the manufacturers acme and bolt, whose sensors are all in Germany and all acme's.

    Attributes:
        folder: its state; also has `acme.token` and `bolt.token`.
        port: where it listens on 127.0.0.1.
        url: `https://tspa.raspidemo:<port>`.
    """

    def __init__(self, world: World, folder: Path, sensors: Sequence[str]) -> None:
        """Prepare the keys, the settings, the database and the tokens; `start` runs it.

        Args:
            folder: an existing, private one.
            sensors: their labels.
        """
        self._world = world
        self.folder = folder
        self.port = free_port()
        self.url = f"https://{NAME}:{self.port}"
        self.config = folder / "tspa.toml"
        self.registry = self._make_registry(sensors)
        self._process: subprocess.Popen[bytes] | None = None
        self._forking: subprocess.Popen[str] | None = None
        make_identity(folder, NAME, signer=True)
        self.config.write_text(
            f'domain = "raspidemo"\nname = "{NAME}"\nstate = "{folder}"\nport = {self.port}\n'
            'addresses = ["127.0.0.1"]\noperator = "Operator"\nterritory = "DE"\n'
        )
        (folder / "registry.json").write_text(json.dumps(self.registry))
        assert self.json("migrate")["changed"]
        assert self.json("sync", "registry.json")["sensors"]["added"] == len(sensors)
        for manufacturer in ("acme", "bolt"):
            self.json("token", manufacturer, "--file", f"{manufacturer}.token")

    def publish_address(self) -> None:
        """Put its address and its TLSA record into the DNS."""
        certificate = self.folder / "tls.crt"
        der = ssl.PEM_cert_to_DER_cert(certificate.read_text())
        self._world.tls_server("tspa", self.port, Identity(NAME, certificate, self.folder / "tls.key", der))

    def list_url(self, claim: str) -> str:
        label, country, _ = claim.split(".")
        return f"{self.url}/lists/{country}/{label}"

    # Commands

    def python(self, code: str, *arguments: str, stdin: bytes = b"") -> CompletedProcess[bytes]:
        """Run Python code in a process of the TSPA's user, in its folder."""
        if self._forking is None:
            self._forking = subprocess.Popen(
                [sys.executable, "-c", _FORKING, str(self.config)],
                cwd=self.folder,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        assert self._forking.stdin is not None
        assert self._forking.stdout is not None
        (self.folder / "in").write_bytes(stdin)
        self._forking.stdin.write(json.dumps({"code": code, "arguments": arguments}) + "\n")
        self._forking.stdin.flush()
        code_of_exit = int(self._forking.stdout.readline())
        output, errors = ((self.folder / name).read_bytes() for name in ("out", "err"))
        for token in self.folder.glob("*.token"):
            assert token.read_bytes().strip() not in output + errors
        return CompletedProcess(arguments, code_of_exit, output, errors)

    def run(self, command: str, *arguments: str) -> CompletedProcess[bytes]:
        """A sub-command on the TSPA's own host."""
        done = self.python(_COMMAND, "tspa", command, *arguments, "--config", str(self.config))
        assert b"Traceback" not in done.stderr, done.stderr.decode()
        return done

    def json(self, command: str, *arguments: str) -> dict[str, Any]:
        """What a sub-command prints."""
        done = self.run(command, *arguments, "--json")
        assert done.returncode == 0, done.stderr.decode()
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def call(
        self, command: str, claim: str, *arguments: str, manufacturer: str = "acme", stdin: bytes = b""
    ) -> CompletedProcess[bytes]:
        """A sub-command that uses the API, as a manufacturer runs it."""
        common = ("--token-file", f"{manufacturer}.token", "--url", self.url, "--json")
        resolver = ("--resolver-port", str(self._world.resolver_port))
        done = self.python(_COMMAND, "tspa", command, claim, *arguments, *common, *resolver, stdin=stdin)
        assert b"Traceback" not in done.stderr, done.stderr.decode()
        return done

    def register(self, claim: str, pem: bytes, *options: str) -> dict[str, Any]:
        """Register a sensor's certificate, which publishes its list."""
        done = self.call("register", claim, "--certificate", "-", *options, stdin=pem)
        assert done.returncode == 0, done.stderr.decode()
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    # Processes

    def start(self) -> None:
        """Start the service and wait until it tells its service manager that it is ready and alive."""
        notices = self.folder / "notify"
        notices.unlink(missing_ok=True)
        with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as channel:
            channel.bind(str(notices))
            channel.settimeout(60)
            with (self.folder / "log").open("ab") as log:
                self._process = subprocess.Popen(
                    [LIGHTEST, "tspa", "run", "--config", self.config],
                    env={**os.environ, "NOTIFY_SOCKET": str(notices), "WATCHDOG_USEC": "200000"},
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
            assert channel.recv(100) == b"READY=1"
            assert channel.recv(100) == b"WATCHDOG=1"

    def kill(self) -> None:
        """What a power failure does to the service's processes."""
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def stop(self) -> int:
        """End the service as systemd does; its exit code."""
        assert self._process is not None
        self._process.terminate()
        return self._process.wait(30)

    def close(self) -> None:
        """End the process that runs the commands."""
        if self._forking is not None:
            self._forking.communicate()

    def _make_registry(self, sensors: Sequence[str]) -> dict[str, Any]:
        return {
            "manufacturers": [{"label": label, "title": label.title()} for label in ("acme", "bolt")],
            "suppliers": [
                {"label": label, "title": "Repairs", "url": f"https://{label}.raspidemo:9443/", "address": ""}
                for label in ("supplier1", "supplier2")
            ],
            "zones": [
                {
                    "country": "germany",
                    "zone": ZONE,
                    "server": "127.0.0.1",
                    "port": self._world.named_port,
                    "key_file": str(self._world.key_file(f"scheme.{ZONE}")),
                }
            ],
            "sensors": [
                {"country": "germany", "label": label, "manufacturer": "acme", "suppliers": ["supplier1"]}
                for label in sensors
            ],
        }
