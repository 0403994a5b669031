"""SSH to a real SSH server on loopback: who is trusted, what is run, and what is said when it fails."""

import socket
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import paramiko
import pytest
from paramiko import common

from lightest_agents.cluster.ssh import RemoteCommandError, SshMachine, in_parallel, machines
from lightest_agents.errors import HostUnreachableError


class Login(paramiko.ServerInterface):
    """Lets one key in; runs commands; opens connections to loopback."""

    def __init__(self, key: paramiko.PKey) -> None:
        self.key = key
        self.targets: dict[int, tuple[str, int]] = {}

    def get_allowed_auths(self, _username: str) -> str:
        return "publickey"

    def check_auth_publickey(self, _username: str, key: paramiko.PKey) -> int:
        return common.AUTH_SUCCESSFUL if key == self.key else common.AUTH_FAILED

    def check_channel_request(self, _kind: str, _chanid: int) -> int:
        return common.OPEN_SUCCEEDED

    def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:
        threading.Thread(target=run_command, args=(channel, command.decode()), daemon=True).start()
        return True

    def check_channel_direct_tcpip_request(
        self, chanid: int, _origin: tuple[str, int], destination: tuple[str, int]
    ) -> int:
        if destination[1] == 1:
            return common.OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED
        with socket.socket() as probe:
            try:
                probe.bind(destination)
            except OSError:  # somebody listens there
                self.targets[chanid] = destination
                return common.OPEN_SUCCEEDED
        return common.OPEN_FAILED_CONNECT_FAILED


def echo(listener: socket.socket) -> None:
    connection, _ = listener.accept()
    with connection:
        connection.sendall(connection.recv(100))


def run_command(channel: paramiko.Channel, command: str) -> None:
    stdin = channel.makefile("rb").read()
    done = subprocess.run(command, shell=True, input=stdin, capture_output=True, check=False)  # noqa: S602
    channel.sendall(done.stdout)
    channel.sendall_stderr(done.stderr)
    channel.send_exit_status(done.returncode)
    channel.close()


def forward(transport: paramiko.Transport, login: Login) -> None:
    """Pass one question and its answer through each forwarded connection."""
    while transport.is_active():
        channel = transport.accept(timeout=1)
        if channel is not None and channel.chanid in login.targets:
            with socket.create_connection(login.targets[channel.chanid]) as target:
                target.sendall(channel.recv(100))
                channel.sendall(target.recv(100))


@dataclass
class Server:
    """An SSH server and what a client needs to reach it."""

    folder: Path
    listener: socket.socket
    host_key: paramiko.ECDSAKey
    login_key: paramiko.ECDSAKey
    transports: list[paramiko.Transport] = field(default_factory=list)
    port: int = 0

    def __post_init__(self) -> None:
        self.port = int(self.listener.getsockname()[1])

    def serve(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            transport = paramiko.Transport(connection)
            transport.add_server_key(self.host_key)
            self.transports.append(transport)
            login = Login(self.login_key)
            transport.start_server(event=threading.Event(), server=login)
            threading.Thread(target=forward, args=(transport, login), daemon=True).start()

    def trust(self, key: paramiko.PKey) -> None:
        line = f"[127.0.0.1]:{self.port} {key.get_name()} {key.get_base64()}\n"
        (self.folder / "known_hosts").write_text(line)

    def hostvars(self, **others: object) -> dict[str, object]:
        return {
            "ansible_host": "127.0.0.1",
            "ansible_port": self.port,
            "ansible_user": "root",
            "ansible_ssh_private_key_file": str(self.folder / "id"),
            "trust_known_hosts": str(self.folder / "known_hosts"),
            **others,
        }

    def stop(self) -> None:
        if self.listener.fileno() != -1:
            self.listener.shutdown(socket.SHUT_RDWR)
            self.listener.close()
        for transport in self.transports:
            transport.close()


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    # The keys and settings of whoever runs the tests play no part.
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    login = paramiko.ECDSAKey.generate()
    login.write_private_key_file(str(tmp_path / "id"))
    running = Server(tmp_path, socket.create_server(("127.0.0.1", 0)), paramiko.ECDSAKey.generate(), login)
    running.trust(running.host_key)
    threading.Thread(target=running.serve, daemon=True).start()
    yield running
    running.stop()


@pytest.fixture
def machine(server: Server) -> Iterator[SshMachine]:
    with machines({"pi": server.hostvars()}) as opened:
        yield opened["pi"]


def refusal(hostvars: dict[str, object]) -> str:
    with machines({"pi": hostvars}) as opened, pytest.raises(HostUnreachableError) as caught:
        opened["pi"].open()
    return str(caught.value)


def test_a_command_gets_its_input_and_returns_its_output(machine: SshMachine) -> None:
    assert machine.run("cat", "-", stdin="21 °C; $HOME") == "21 °C; $HOME"


def test_arguments_are_not_read_by_a_shell(machine: SshMachine) -> None:
    assert machine.run("echo", "$HOME; false") == "$HOME; false\n"


def test_a_failing_command_is_reported_with_its_complaint(machine: SshMachine) -> None:
    with pytest.raises(
        RemoteCommandError, match=r"pi \(127\.0\.0\.1\): `cat /nowhere` failed there: .*No such file"
    ):
        machine.run("cat", "/nowhere")


def test_commands_run_by_sudo_unless_the_login_is_root(server: Server) -> None:
    with machines({"pi": server.hostvars(ansible_user="admin")}) as opened:
        with pytest.raises(RemoteCommandError):
            opened["pi"].run("no-such-command-for-sudo")
        assert opened["pi"]._as_root(["id"]) == "sudo -n -- id"


def test_an_unknown_host_key_is_refused(server: Server) -> None:
    (server.folder / "known_hosts").write_text("")
    said = refusal(server.hostvars())
    assert f"its host key (ecdsa-sha2-nistp256, {server.host_key.fingerprint}) is not known" in said
    assert (server.folder / "known_hosts").read_text() == ""


def test_a_changed_host_key_is_refused(server: Server) -> None:
    server.trust(paramiko.ECDSAKey.generate())
    assert f"its host key has changed to {server.host_key.fingerprint}" in refusal(server.hostvars())


def test_without_a_file_of_its_own_the_users_known_hosts_count(server: Server) -> None:
    hostvars = server.hostvars()
    del hostvars["trust_known_hosts"]
    assert "is not known" in refusal(hostvars)
    (server.folder / ".ssh").mkdir()
    (server.folder / "known_hosts").rename(server.folder / ".ssh" / "known_hosts")
    with machines({"pi": hostvars}) as opened:
        assert opened["pi"].run("echo", "in") == "in\n"


def test_the_users_ssh_configuration_is_honoured(server: Server) -> None:
    (server.folder / ".ssh").mkdir()
    (server.folder / ".ssh" / "config").write_text(
        f"Host pi\n  HostName 127.0.0.1\n  Port {server.port}\n  User root\n"
        f"  IdentityFile {server.folder}/id\n"
    )
    with machines({"pi": {"trust_known_hosts": str(server.folder / "known_hosts")}}) as opened:
        assert opened["pi"].run("echo", "in") == "in\n"


def test_a_key_that_does_not_fit_is_refused(server: Server) -> None:
    paramiko.ECDSAKey.generate().write_private_key_file(str(server.folder / "id"))
    assert "it refuses the login of root" in refusal(server.hostvars())


def test_a_login_key_that_is_not_there_is_named(server: Server) -> None:
    (server.folder / "id").unlink()
    assert str(server.folder / "id") in refusal(server.hostvars())


def test_a_refused_port_is_said_to_be(server: Server) -> None:
    server.stop()
    said = refusal(server.hostvars())
    assert (
        said
        == f"pi (127.0.0.1): no connection to port {server.port} (Connection refused); is sshd running there?"
    )


def test_a_name_without_address_is_said_to_have_none(server: Server) -> None:
    said = refusal(server.hostvars(ansible_host="no-such-host.invalid"))
    assert said.startswith("pi (no-such-host.invalid): no connection to port ")


def test_a_stream_reaches_what_only_the_host_reaches(machine: SshMachine) -> None:
    with socket.create_server(("127.0.0.1", 0)) as target:
        threading.Thread(target=echo, args=(target,), daemon=True).start()
        stream = machine.open_stream("127.0.0.1", target.getsockname()[1])
        stream.settimeout(5)
        stream.sendall(b"through")
        assert stream.recv(100) == b"through"
        stream.close()


def test_a_stream_to_a_closed_port_says_that_nothing_answers(machine: SshMachine) -> None:
    with socket.create_server(("127.0.0.1", 0)) as target:
        port = target.getsockname()[1]
    with pytest.raises(HostUnreachableError, match=f"nothing answers at 127.0.0.1 port {port} there"):
        machine.open_stream("127.0.0.1", port)


def test_streams_that_fail_at_the_same_time_all_keep_their_reason(machine: SshMachine) -> None:
    with socket.create_server(("127.0.0.1", 0)) as target:
        port = target.getsockname()[1]

    def reason(_: int) -> str:
        with pytest.raises(HostUnreachableError) as caught:
            machine.open_stream("127.0.0.1", port)
        return str(caught.value)

    machine.open()
    assert set(in_parallel(reason, range(20))) == {
        f"pi (127.0.0.1): nothing answers at 127.0.0.1 port {port} there"
    }


def test_a_server_that_forbids_forwarding_is_told_what_to_allow(machine: SshMachine) -> None:
    with pytest.raises(HostUnreachableError, match="AllowTcpForwarding local"):
        machine.open_stream("127.0.0.1", 1)


def test_results_keep_the_order_of_the_hosts() -> None:
    assert in_parallel(lambda number: number * 2, range(40)) == list(range(0, 80, 2))
