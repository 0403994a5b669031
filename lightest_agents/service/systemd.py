"""What a service tells systemd: that it is ready, stopping and alive (sd_notify(3), `Type=notify`)."""

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress


def notify(state: str) -> None:
    """Send a state such as `READY=1` to the service manager; without one, do nothing.

    A manager that cannot be reached is no reason for a service to fail, and is ignored.
    """
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as connection:
        # '@' stands for the zero byte of an abstract socket (unix(7)).
        connection.connect(address.replace("@", "\0", 1) if address[0] == "@" else address)
        connection.sendall(state.encode())


async def watchdog() -> None:
    """Say, until cancelled, that the event loop turns: twice in each interval (sd_watchdog_enabled(3))."""
    microseconds = os.environ.get("WATCHDOG_USEC", "")
    if not microseconds.isdecimal() or os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return
    while True:
        notify("WATCHDOG=1")
        await asyncio.sleep(int(microseconds) / 2_000_000)


@asynccontextmanager
async def running() -> AsyncIterator[asyncio.Event]:
    """A service that has become ready: yields the event that SIGTERM and SIGINT set; announces the end, too.

    The service manager hears READY=1 at the beginning, WATCHDOG=1 in between and STOPPING=1 when the block
    ends or a signal comes. A second signal ends the process at once.
    """
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()

    def on_signal() -> None:
        notify("STOPPING=1")
        stop.set()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)
    pings = asyncio.create_task(watchdog())
    notify("READY=1")
    try:
        yield stop
    finally:
        pings.cancel()
        if not stop.is_set():
            on_signal()
