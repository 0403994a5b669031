"""A small real HTTPS server in a thread of its own, for tests that are not asynchronous."""

import asyncio
import threading
from collections.abc import Awaitable, Callable

from aiohttp import web

from lightest_agents.service.server import Limits, listening, tls_context
from tests.world import Identity

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class HttpsServer:
    """Answers every request on a loopback port by one handler, which runs in the server's thread."""

    def __init__(self, identity: Identity, port: int, handler: Handler) -> None:
        """Prepare; nothing listens before `start`."""
        self.identity = identity
        self._port = port
        self._handler = handler
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None

    def start(self) -> None:
        """Listen; returns when it does."""
        ready = threading.Event()
        failures: list[BaseException] = []

        async def serve() -> None:
            self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
            transports: set[asyncio.Transport] = set()

            async def answer(request: web.Request) -> web.StreamResponse:
                if isinstance(request.transport, asyncio.Transport):
                    transports.add(request.transport)
                return await self._handler(request)

            app = web.Application(client_max_size=1 << 20)
            app.router.add_route("*", "/{path:.*}", answer)
            context = tls_context(self.identity.certificate, self.identity.key)
            # All clients of a test have one address.
            limits = Limits(per_address=512)
            async with listening(
                app, addresses=["127.0.0.1"], port=self._port, context=context, limits=limits
            ):
                ready.set()
                await self._stop.wait()
                for transport in transports:
                    transport.abort()  # the thread does not wait for clients that keep their connections

        def run() -> None:
            try:
                asyncio.run(serve())
            except BaseException as error:  # shown by the test's thread
                failures.append(error)
                ready.set()

        self._thread = threading.Thread(target=run, daemon=True)
        self._thread.start()
        ready.wait()
        if failures:
            raise failures[0]

    def stop(self) -> None:
        """Close all connections; nobody listens any more."""
        if self._thread is None:
            return
        assert self._loop is not None
        assert self._stop is not None
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        self._thread = None
