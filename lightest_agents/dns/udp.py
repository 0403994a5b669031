"""Many questions at once to one resolver, over a few connected UDP sockets."""

import asyncio
import os
import socket
import struct
from collections.abc import Iterator, Sequence
from contextlib import suppress

from lightest_agents.dns.wire import Question, is_answer

_SOCKETS = 4
_MAX_PENDING = 1 << 14
"""Of one socket: a quarter of its IDs, so that a free one is soon found."""
_SWEEP_SECONDS = 0.1


class _Batch:
    """Questions that one caller waits for together."""

    __slots__ = ("done", "left")

    def __init__(self, done: asyncio.Future[None], left: int) -> None:
        self.done = done
        self.left = left


class _Pending:
    """One question on its way; `result` is the answer, or why there is none."""

    __slots__ = ("batch", "question", "resend_at", "result", "timeout_at", "wire")

    def __init__(self, batch: _Batch, question: Question, wire: bytes) -> None:
        self.batch = batch
        self.question = question
        self.wire = wire
        self.result: bytes | OSError = TimeoutError()
        self.resend_at = self.timeout_at = 0.0

    def settle(self, result: bytes | OSError) -> None:
        self.result = result
        batch = self.batch
        batch.left -= 1
        if batch.left == 0 and not batch.done.done():
            batch.done.set_result(None)


class _Channel:
    """One socket, on a port of the kernel's random choice, and the questions sent from it by their IDs."""

    def __init__(self, loop: asyncio.AbstractEventLoop, address: str, port: int) -> None:
        self._loop = loop
        self.pending: dict[int, _Pending] = {}
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        try:
            self._socket.setblocking(False)
            # Only the resolver's own datagrams reach a connected socket (RFC 5452, section 9.1).
            self._socket.connect((address, port))
            loop.add_reader(self._socket, self._receive)
        except OSError:
            self._socket.close()
            raise

    def close(self) -> None:
        self._loop.remove_reader(self._socket)
        self._socket.close()
        self._fail(ConnectionAbortedError("the look-up was given up"))

    def send(self, wire: bytes) -> None:
        """Send, or leave it to the retransmission where the kernel has no room."""
        with suppress(BlockingIOError):
            self._socket.send(wire)

    def _receive(self) -> None:
        pending = self.pending
        try:
            while True:
                wire = self._socket.recv(65535)
                waiting = pending.get(int.from_bytes(wire[:2]))
                if waiting is not None and is_answer(wire, waiting.question):
                    del pending[int.from_bytes(wire[:2])]
                    waiting.settle(wire)
                if not pending:
                    return
        except BlockingIOError:
            return
        except OSError as error:
            self._fail(error)

    def _fail(self, error: OSError) -> None:
        pending, self.pending = self.pending, {}
        for waiting in pending.values():
            waiting.settle(error)


class UdpClient:
    """Asks one resolver; every question is sent once more when its answer is late.

    It belongs to the event loop in which it first asks.
    """

    def __init__(self, address: str, port: int, timeout: float) -> None:
        """`timeout` is in seconds, for one question with its retransmission."""
        self._address = address
        self._port = port
        self._timeout = timeout
        self._channels: list[_Channel] = []
        self._next = 0
        self._ids = _unpredictable_ids()
        self._sweep: asyncio.TimerHandle | None = None

    async def exchange(self, questions: Sequence[Question]) -> list[bytes | OSError]:
        """The answer to each question, or what happened instead."""
        loop = asyncio.get_running_loop()
        try:
            channels = self._channels or self._open(loop)
        except OSError as error:
            return [error] * len(questions)
        batch = _Batch(loop.create_future(), len(questions))
        sent = [self._send(loop, batch, question, channels) for question in questions]
        if batch.left:
            await batch.done
        return [waiting.result for waiting in sent]

    def close(self) -> None:
        """Give up what is on its way."""
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None
        for channel in self._channels:
            channel.close()
        self._channels = []

    def _open(self, loop: asyncio.AbstractEventLoop) -> list[_Channel]:
        for _ in range(_SOCKETS):
            self._channels.append(_Channel(loop, self._address, self._port))
        return self._channels

    def _send(
        self, loop: asyncio.AbstractEventLoop, batch: _Batch, question: Question, channels: list[_Channel]
    ) -> _Pending:
        self._next = (self._next + 1) % len(channels)
        channel = channels[self._next]
        pending = channel.pending
        identity = next(self._ids)
        while identity in pending:
            identity = next(self._ids)
        waiting = _Pending(batch, question, identity.to_bytes(2) + question.query)
        if len(pending) >= _MAX_PENDING:
            waiting.settle(BlockingIOError("too many look-ups are on their way"))
            return waiting
        now = loop.time()
        waiting.resend_at, waiting.timeout_at = now + self._timeout / 3, now + self._timeout
        pending[identity] = waiting
        try:
            channel.send(waiting.wire)
        except OSError as error:
            del pending[identity]
            waiting.settle(error)
        if self._sweep is None:
            self._sweep = loop.call_later(_SWEEP_SECONDS, self._look_after, loop)
        return waiting

    def _look_after(self, loop: asyncio.AbstractEventLoop) -> None:
        """Send again what is late and give up what is too late."""
        now = loop.time()
        for channel in self._channels:
            for identity, waiting in list(channel.pending.items()):
                if now >= waiting.timeout_at:
                    channel.pending.pop(identity, None)
                    waiting.settle(TimeoutError(f"no answer within {self._timeout:g} s"))
                elif now >= waiting.resend_at:
                    waiting.resend_at = waiting.timeout_at
                    with suppress(OSError):
                        channel.send(waiting.wire)
        busy = any(channel.pending for channel in self._channels)
        self._sweep = loop.call_later(_SWEEP_SECONDS, self._look_after, loop) if busy else None


def _unpredictable_ids() -> Iterator[int]:
    while True:
        yield from struct.unpack("256H", os.urandom(512))
