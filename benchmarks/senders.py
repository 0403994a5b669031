"""Sensors in a process of their own, so that their cost is not the verifier's: see `benchmarks.verify`."""

import asyncio
import multiprocessing
import multiprocessing.connection
import ssl
from collections.abc import Sequence
from pathlib import Path

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]

ADDRESSES = ("127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.5")
"""Where the sensors are: a verifier takes no more than 32 connections from one address."""


class Senders:
    """Many kept-alive connections over TLS, on each of which one fault after another is sent."""

    def __init__(self, certificate: Path, port: int) -> None:
        """Start the process; `certificate` (PEM) and `port` are those of the verifier on 127.0.0.1."""
        context = multiprocessing.get_context("spawn")
        self._channel, other = context.Pipe()
        self._process = context.Process(target=_serve, args=(other, certificate, port), daemon=True)
        self._process.start()
        other.close()

    def send(self, queues: Sequence[Sequence[bytes]]) -> None:
        """Send one queue of notifications on each connection; returns when all were answered with 202."""
        self._channel.send([list(queue) for queue in queues])
        failure = self._channel.recv()
        if failure:
            raise RuntimeError(failure)

    def close(self) -> None:
        """End the process."""
        self._channel.close()
        self._process.join()


def _serve(channel: multiprocessing.connection.Connection, certificate: Path, port: int) -> None:
    context = ssl.create_default_context(cafile=str(certificate))
    context.check_hostname = False  # the verifier is asked at its address
    with asyncio.Runner() as runner:
        connections: list[Connection] = []
        while True:
            try:
                queues = channel.recv()
            except EOFError:
                return
            try:
                while len(connections) < len(queues):
                    local = (ADDRESSES[len(connections) % len(ADDRESSES)], 0)
                    connections.append(
                        runner.run(asyncio.open_connection("127.0.0.1", port, ssl=context, local_addr=local))
                    )
                runner.run(_send_all(connections, queues))
            except Exception as error:
                channel.send(f"{type(error).__name__}: {error}")
            else:
                channel.send("")


async def _send_all(
    connections: Sequence[tuple[asyncio.StreamReader, asyncio.StreamWriter]],
    queues: Sequence[Sequence[bytes]],
) -> None:
    async with asyncio.TaskGroup() as tasks:
        for (reader, writer), queue in zip(connections, queues, strict=False):
            tasks.create_task(_send(reader, writer, queue))


async def _send(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, queue: Sequence[bytes]) -> None:
    for body in queue:
        head = (
            "POST /v1/faults HTTP/1.1\r\nHost: verifier.raspidemo\r\nContent-Type: application/jose\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        writer.write(head.encode("ascii") + body)
        answer = await reader.readuntil(b"\r\n\r\n")
        if not answer.startswith(b"HTTP/1.1 202 "):
            raise ConnectionError(answer.decode("latin-1"))
        fields = dict(line.split(b": ", 1) for line in answer.lower().split(b"\r\n")[1:-2])
        await reader.readexactly(int(fields[b"content-length"]))
