"""What the service manager hears, over a real notification socket."""

import asyncio
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from lightest_agents.service import systemd


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(path))
        listener.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", str(path))
        yield listener


def test_without_a_manager_nothing_happens(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    systemd.notify("READY=1")
    for address in ("", "no/path", str(tmp_path / "missing"), "/" + "x" * 200):
        monkeypatch.setenv("NOTIFY_SOCKET", address)
        systemd.notify("READY=1")


def test_an_abstract_socket_is_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind("")  # the kernel chooses a free abstract name
        monkeypatch.setenv("NOTIFY_SOCKET", listener.getsockname().decode().replace("\0", "@"))
        systemd.notify("STATUS=abstract")
        assert listener.recv(100) == b"STATUS=abstract"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_service_is_ready_then_stopping(manager: socket.socket, number: signal.Signals) -> None:
    async with systemd.running() as stop:
        assert manager.recv(100) == b"READY=1"
        os.kill(os.getpid(), number)
        await asyncio.wait_for(stop.wait(), 5)
        assert manager.recv(100) == b"STOPPING=1"
    manager.setblocking(False)
    with pytest.raises(BlockingIOError):
        manager.recv(100)


async def test_a_service_that_ends_by_itself_is_stopping(manager: socket.socket) -> None:
    async with systemd.running():
        pass
    assert [manager.recv(100), manager.recv(100)] == [b"READY=1", b"STOPPING=1"]


async def test_the_watchdog_hears_the_event_loop(
    manager: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "20000")
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
    manager.setblocking(False)
    loop = asyncio.get_running_loop()
    async with systemd.running():
        heard = [await asyncio.wait_for(loop.sock_recv(manager, 100), 5) for _ in range(4)]
    assert heard == [b"READY=1", *3 * [b"WATCHDOG=1"]]


@pytest.mark.parametrize(("microseconds", "process"), [("", ""), ("soon", ""), ("1000", "1")])
async def test_a_watchdog_for_nobody_or_another_process_is_not_fed(
    manager: socket.socket, monkeypatch: pytest.MonkeyPatch, microseconds: str, process: str
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", microseconds)
    monkeypatch.setenv("WATCHDOG_PID", process or str(os.getpid()))
    await asyncio.wait_for(systemd.watchdog(), 5)
    manager.setblocking(False)
    with pytest.raises(BlockingIOError):
        manager.recv(100)
