"""Server-sent events (WHATWG HTML, section 9.2): what happens now, to everybody who looks on."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager

from lightest_agents.errors import LightestError

_BACKLOG = 32

Stream = asyncio.Queue[bytes | None]
"""Events as bytes for the wire; None is the end."""


class CrowdedError(LightestError):
    """As many listeners as are allowed are there already."""

    reason = "too-many-listeners"


class Broadcast:
    """Hands each event to every listener and never waits for one.

    A listener that does not keep up is cut off: it connects again and begins with the present state.
    """

    def __init__(self, limit: int) -> None:
        """Allow at most `limit` listeners at a time."""
        self._limit = limit
        self._streams: set[Stream] = set()

    def publish(self, event: str, data: object) -> None:
        """Give one event to all listeners."""
        message = encode(event, data)
        for stream in list(self._streams):
            try:
                stream.put_nowait(message)
            except asyncio.QueueFull:
                self._end(stream)

    def close(self) -> None:
        """End all streams, so that a service that stops need not wait for its listeners."""
        for stream in list(self._streams):
            self._end(stream)

    @contextmanager
    def listen(self) -> Iterator[Stream]:
        """A stream of the events from now on.

        Raises:
            CrowdedError: there are too many listeners.
        """
        if len(self._streams) >= self._limit:
            raise CrowdedError(f"{self._limit} listeners follow the lamp already; close one of their pages")
        stream: Stream = asyncio.Queue(_BACKLOG)
        self._streams.add(stream)
        try:
            yield stream
        finally:
            self._streams.discard(stream)

    def _end(self, stream: Stream) -> None:
        self._streams.discard(stream)
        if stream.full():
            stream.get_nowait()
        stream.put_nowait(None)


def encode(event: str, data: object) -> bytes:
    """One event with its data as JSON, as it goes over the wire."""
    return f"event: {event}\ndata: {json.dumps(data)}\n\n".encode()
