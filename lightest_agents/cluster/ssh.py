"""SSH to the hosts of the inventory: known hosts only, in parallel, and errors as sentences."""

import contextlib
import logging
import shlex
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol, TypeVar

import fabric
import invoke
import paramiko

from lightest_agents.cluster.questions import Stream
from lightest_agents.errors import HostUnreachableError, LightestError

CONNECT_TIMEOUT = 5
"""Seconds a host gets to answer; a Pi that is up answers within one."""

_WORKERS = 16
_INTERRUPTED = (130, -1)  # by exit code; by signal, as Paramiko tells it

Item = TypeVar("Item")
Result = TypeVar("Result")


class RemoteCommandError(LightestError):
    """A command on a host of the cluster failed."""

    reason = "remote-command-failed"


class Machine(Protocol):
    """A host one can run commands on and open connections from."""

    name: str

    def open(self) -> None:
        """Connect, so that what follows is quick."""

    def run(self, *command: str, stdin: str = "") -> str:
        """Run a command as root and return what it prints."""

    def open_stream(self, address: str, port: int) -> Stream:
        """Open a TCP connection from that host."""


class _RefuseUnknown(paramiko.MissingHostKeyPolicy):
    """Never trust a key on first sight: whoever answers first would own the cluster."""

    def __init__(self, machine: "SshMachine") -> None:
        self._machine = machine

    def missing_host_key(self, _client: paramiko.SSHClient, hostname: str, key: paramiko.PKey) -> None:
        raise HostUnreachableError(
            f"{self._machine}: its host key ({key.get_name()}, {key.fingerprint}) is not known; compare it "
            f"with the one on the host, then add it to {self._machine.known_hosts} under {hostname}"
        )


class SshMachine:
    """One host over SSH, connected at first use.

    Args:
        name: the inventory's name of the host.
        hostvars: `ansible_host`, `ansible_port`, `ansible_user`, `ansible_ssh_private_key_file` and
            `trust_known_hosts`, as far as they are set; the rest comes from `~/.ssh/config`.
    """

    def __init__(self, name: str, hostvars: Mapping[str, Any]) -> None:
        """Prepare the connection; nothing is sent yet."""
        self.name = name
        # Paramiko keeps one error for a whole transport: of two openings at a time, one loses its reason.
        self._opening = threading.Lock()
        self.known_hosts: Path = Path(hostvars.get("trust_known_hosts") or "~/.ssh/known_hosts").expanduser()
        self._only_these = "trust_known_hosts" in hostvars
        key = hostvars.get("ansible_ssh_private_key_file")
        port = hostvars.get("ansible_port")
        # Lazy: reads no ~/.fabric.py, which could run code.
        config = fabric.Config(lazy=True)
        config.load_ssh_config()
        self._connection = fabric.Connection(
            str(hostvars.get("ansible_host", name)),
            user=hostvars.get("ansible_user"),
            port=int(port) if port is not None else None,
            config=config,
            connect_timeout=CONNECT_TIMEOUT,
            connect_kwargs={
                "banner_timeout": CONNECT_TIMEOUT,
                "auth_timeout": 2 * CONNECT_TIMEOUT,
                **({"key_filename": str(Path(key).expanduser())} if key else {}),
            },
        )
        self._connection.client.set_missing_host_key_policy(_RefuseUnknown(self))

    def __str__(self) -> str:
        """How messages name it: `verifier (10.53.0.14)`."""
        return f"{self.name} ({self.address})" if self.address != self.name else self.name

    @property
    def address(self) -> str:
        """Where SSH connects to."""
        return str(self._connection.host)

    def open(self) -> None:
        """Connect.

        Raises:
            HostUnreachableError: with the reason and what to do.
        """
        if self._connection.is_connected:
            return
        try:
            self._load_known_hosts()
            self._connection.open()
        except HostUnreachableError:
            raise
        except (OSError, EOFError, paramiko.SSHException, invoke.exceptions.Exit) as error:
            raise HostUnreachableError(f"{self}: {self._explain(error)}") from error

    def run(self, *command: str, stdin: str = "") -> str:
        """Run a command as root and return what it prints.

        Raises:
            HostUnreachableError: the host is not reachable.
            RemoteCommandError: the command failed.
        """
        channel = self._session()
        try:
            channel.settimeout(30)
            channel.exec_command(self._as_root(command))
            channel.sendall(stdin.encode())
            channel.shutdown_write()
            output = channel.makefile("rb").read().decode(errors="replace")
            complaint = channel.makefile_stderr("rb").read().decode(errors="replace").strip()
            status = channel.recv_exit_status()
        except (OSError, EOFError, paramiko.SSHException) as error:
            raise HostUnreachableError(f"{self}: {self._explain(error)}") from error
        finally:
            channel.close()
        if status != 0:
            raise RemoteCommandError(
                f"{self}: `{shlex.join(command)[:80]}` failed there: {complaint or f'exit code {status}'}"
            )
        return str(output)

    def stream(self, *command: str, follow: bool = False) -> int:
        """Run a command as root with its output going to ours as it comes; its exit code.

        A command that follows is ended by Ctrl-C, which is as good an end as any.

        Raises:
            HostUnreachableError: the host is not reachable.
        """
        self.open()
        # With a terminal, our Ctrl-C reaches the command that follows.
        terminal = follow and sys.stdout.isatty()
        result = self._connection.run(self._as_root(command), warn=True, pty=terminal, in_stream=False)
        return 0 if follow and result.exited in _INTERRUPTED else int(result.exited)

    def open_stream(self, address: str, port: int) -> Stream:
        """Open a TCP connection from that host, through SSH.

        Raises:
            HostUnreachableError: the host is not reachable, or nothing listens there.
        """
        self.open()
        try:
            with self._opening:
                channel: Stream = self._connection.transport.open_channel(
                    "direct-tcpip", (address, port), ("127.0.0.1", 0), timeout=CONNECT_TIMEOUT
                )
        except paramiko.ChannelException as error:
            what = (
                "sshd there does not allow TCP forwarding (AllowTcpForwarding local)"
                if error.code == paramiko.common.OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED
                else f"nothing answers at {address} port {port} there"
            )
            raise HostUnreachableError(f"{self}: {what}") from error
        except (OSError, EOFError, paramiko.SSHException) as error:
            raise HostUnreachableError(f"{self}: {self._explain(error)}") from error
        return channel

    def close(self) -> None:
        """Hang up."""
        self._connection.close()

    def _session(self) -> paramiko.Channel:
        self.open()
        try:
            channel: paramiko.Channel = self._connection.transport.open_session(timeout=CONNECT_TIMEOUT)
        except (OSError, EOFError, paramiko.SSHException) as error:
            raise HostUnreachableError(f"{self}: {self._explain(error)}") from error
        return channel

    def _as_root(self, command: Iterable[str]) -> str:
        text = shlex.join(command)
        return text if self._connection.user == "root" else f"sudo -n -- {text}"

    def _load_known_hosts(self) -> None:
        files = [self.known_hosts]
        if not self._only_these:
            files.append(Path("/etc/ssh/ssh_known_hosts"))
        for file in files:
            if file.exists():
                self._connection.client.load_system_host_keys(str(file))

    def _waits_for_login(self) -> bool:
        """Whether only the login failed; Paramiko's exception for that depends on the last key it tried."""
        transport = self._connection.client.get_transport()
        return transport is not None and transport.is_active() and not transport.is_authenticated()

    def _explain(self, error: BaseException) -> str:
        where = f"port {self._connection.port}"
        if isinstance(error, TimeoutError):
            return f"no answer within {CONNECT_TIMEOUT} s on {where}; is it switched on and in the network?"
        if isinstance(error, paramiko.BadHostKeyException):
            return (
                f"its host key has changed to {error.key.fingerprint}; if it was installed anew, remove the "
                f"old key from {self.known_hosts}, otherwise something else answers at its address"
            )
        if isinstance(error, FileNotFoundError):
            return f"the login key {error.filename} does not exist; name the right one in the inventory"
        if self._waits_for_login():
            return f"it refuses the login of {self._connection.user} ({error}); check the user and the key"
        if isinstance(error, paramiko.ssh_exception.NoValidConnectionsError):
            reasons = {each.strerror for each in error.errors.values() if isinstance(each, OSError)}
            refused = all(isinstance(each, ConnectionRefusedError) for each in error.errors.values())
            hint = "is sshd running there?" if refused else "is it switched on and in the network?"
            return f"no connection to {where} ({', '.join(sorted(map(str, reasons)))}); {hint}"
        if isinstance(error, OSError) and error.strerror:
            return f"no connection to {where}: {error.strerror}"
        return f"SSH failed on {where}: {error or type(error).__name__}"


@contextlib.contextmanager
def machines(hostvars: Mapping[str, Mapping[str, Any]]) -> Iterator[dict[str, SshMachine]]:
    """The hosts by name, hung up at the end."""
    # Paramiko would write its own words about what is reported as an error anyway.
    logging.getLogger("paramiko").setLevel(logging.CRITICAL + 1)
    opened = {name: SshMachine(name, values) for name, values in hostvars.items()}
    try:
        yield opened
    finally:
        for machine in opened.values():
            machine.close()


def in_parallel(work: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
    """The results of `work` on each item, in order."""
    with ThreadPoolExecutor(max_workers=_WORKERS) as pool:
        return list(pool.map(work, items))
