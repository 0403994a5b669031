"""An HTTPS server that slow, greedy and broken clients cannot take from the others.

aiohttp answers the requests; what it lacks is added here: a time limit for a request's head and body, and
limits for the number of connections, which are checked before TLS costs anything.
"""

import asyncio
import logging
import socket
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from aiohttp import EMPTY_PAYLOAD, web
from aiohttp.typedefs import Handler, Middleware
from aiohttp.web_protocol import RequestHandler

from lightest_agents.service import systemd
from lightest_agents.service.config import ConfigError

_LOG = logging.getLogger(__name__)

_SERVER = "lightest"
_TLS_CLOSE_SECONDS = 2.0
_LINGER_SECONDS = 2.0
_BACKLOG = 128


@dataclass(frozen=True, slots=True)
class Limits:
    """What one client, and all of them, may take. Times are in seconds."""

    handshake: float = 10.0
    """For the TLS hand-shake."""
    head: float = 10.0
    """For a request's line and header fields, from the connection or their first byte on."""
    body: float = 15.0
    """For a request's body."""
    idle: float = 75.0
    """For the wait between two requests on one connection."""
    stop: float = 9.0
    """For what has begun, when the server stops."""
    connections: int = 512
    per_address: int = 32


async def serve(
    app: web.Application,
    *,
    addresses: Sequence[str],
    port: int,
    certificate: Path,
    key: Path,
    limits: Limits | None = None,
) -> None:
    """Serve `app` over TLS until SIGTERM or SIGINT; then finish, in 10 seconds at most, what has begun.

    systemd hears when requests are taken, that the event loop turns, and when the end begins. Background work
    belongs into `app.cleanup_ctx`. The size of a body is limited by the `client_max_size` of `app`.

    Args:
        addresses: IP addresses to listen on; `::` means IPv4, too.
        certificate: PEM file with the server's certificate, and those between it and a root if there are any.
        key: PEM file with its private key.

    Raises:
        ConfigError: key and certificate cannot be used, or an address and port cannot be listened on.
    """
    context = tls_context(certificate, key)
    async with (
        listening(app, addresses=addresses, port=port, context=context, limits=limits) as bound,
        systemd.running() as stop,
    ):
        _LOG.info("listening on %s, port %d", ", ".join(addresses), bound)
        await stop.wait()


def tls_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """A server's TLS settings: TLS 1.3, or 1.2 where a client cannot do better (RFC 9325).

    Raises:
        ConfigError: a file cannot be read, or key and certificate do not belong together.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        # An encrypted key must not ask a service for a password.
        context.load_cert_chain(certificate, key, password=lambda: b"")
    except ssl.SSLError as error:
        raise ConfigError(
            f"{certificate} and {key} cannot be used together ({error.reason or error}); "
            "give a certificate and its unencrypted key as PEM"
        ) from error
    except OSError as error:
        raise ConfigError(f"{certificate} or {key} cannot be read: {error.strerror}") from error
    return context


@asynccontextmanager
async def listening(
    app: web.Application,
    *,
    addresses: Sequence[str],
    port: int,
    context: ssl.SSLContext,
    limits: Limits | None = None,
) -> AsyncIterator[int]:
    """Serve `app` on all `addresses` while the block runs; yields the port, which the system chose for 0.

    Raises:
        ConfigError: an address and port cannot be listened on.
    """
    limits = limits or Limits()
    # The innermost, so that those of `app` can say in their own words that a body is too large or too late.
    app.middlewares.append(_body_within(limits.body))
    app.on_response_prepare.append(_name_no_version)
    async with AsyncExitStack() as stack:
        # aiohttp waits for requests to end, and as long once more for those that it has cancelled.
        runner = web.AppRunner(app, shutdown_timeout=limits.stop / 2)
        stack.push_async_callback(runner.cleanup)
        await runner.setup()
        assert runner.server is not None  # noqa: S101 - setup() made it
        gate = _Gate(runner.server, context, limits)
        for address in addresses:
            listener = stack.enter_context(_listen(address, port))
            port = listener.getsockname()[1]
            stack.push_async_callback(_cancel, asyncio.create_task(gate.accept_all(listener)))
        yield port


def _listen(address: str, port: int) -> socket.socket:
    try:
        if address == "::" and not socket.has_dualstack_ipv6():
            address = "0.0.0.0"  # noqa: S104 - all addresses are what was asked for
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        listener = socket.create_server(
            (address, port), family=family, backlog=_BACKLOG, dualstack_ipv6=address == "::"
        )
    except OSError as error:
        raise ConfigError(f"cannot listen on {address}, port {port}: {error.strerror or error}") from error
    listener.setblocking(False)
    return listener


async def _cancel(task: "asyncio.Task[None]") -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


class _Gate:
    """Accepts connections, as many as the limits allow, and makes TLS connections of them."""

    def __init__(self, server: web.Server, context: ssl.SSLContext, limits: Limits) -> None:
        self._server = server
        self._context = context
        self._limits = limits
        self._open: Counter[str] = Counter()
        self._connecting: set[asyncio.Task[None]] = set()

    async def accept_all(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        try:
            while True:
                try:
                    connection, peer = await loop.sock_accept(listener)
                except ConnectionError:  # gone before it was accepted
                    continue
                except OSError as error:  # no more files or memory: better later than never
                    _LOG.error("cannot accept connections for now: %s", error.strerror)
                    await asyncio.sleep(1)
                    continue
                self._admit(connection, peer[0].removeprefix("::ffff:"))
        finally:
            for task in self._connecting:
                task.cancel()

    def _admit(self, connection: socket.socket, address: str) -> None:
        if self._open.total() >= self._limits.connections or self._open[address] >= self._limits.per_address:
            connection.close()
            return
        self._open[address] += 1
        task = asyncio.create_task(self._connect(connection, address))
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)

    async def _connect(self, connection: socket.socket, address: str) -> None:
        loop = asyncio.get_running_loop()
        handler = _Connection(self._server, self._limits)
        try:
            await loop.connect_accepted_socket(
                lambda: handler,
                connection,
                ssl=self._context,
                ssl_handshake_timeout=self._limits.handshake,
                ssl_shutdown_timeout=_TLS_CLOSE_SECONDS,
            )
            await handler.closed.wait()
        except OSError as error:
            _LOG.debug("no TLS connection with %s: %s", address, error)
        finally:
            self._open[address] -= 1
            if not self._open[address]:
                del self._open[address]


class _Connection(RequestHandler):
    """One connection; closed when a request's head takes too long or its client does not speak HTTP."""

    __slots__ = ("_body", "_head_deadline", "_head_seconds", "closed")

    def __init__(self, server: web.Server, limits: Limits) -> None:
        super().__init__(
            server,
            loop=asyncio.get_running_loop(),
            keepalive_timeout=limits.idle,
            lingering_time=_LINGER_SECONDS,
            # Nobody has to send compressed requests, and nobody shall send small ones that become large.
            auto_decompress=False,
        )
        self.closed = asyncio.Event()
        self._head_seconds = limits.head
        self._head_deadline: asyncio.TimerHandle | None = None
        self._body = EMPTY_PAYLOAD

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._await_head()

    def data_received(self, data: bytes) -> None:
        requests, was_body = self._request_count, not self._body.is_eof()
        super().data_received(data)
        if self._request_count > requests:
            self._stop_waiting()
            self._body = self._messages[-1][1]
        elif data and not was_body and self._head_deadline is None:
            self._await_head()

    def connection_lost(self, exc: BaseException | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)
        self.closed.set()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """The answer to what is no HTTP, or has failed; only the latter deserves a traceback."""
        answer: web.StreamResponse
        if status < 500:
            _LOG.info("a request of %s was refused: %s", request.remote, (message or "").partition("\n")[0])
            answer = web.Response(status=status, text="This is no HTTP request.\n")
            answer.force_close()
        else:
            answer = super().handle_error(request, status, exc, message)
        answer.headers["Server"] = _SERVER
        return answer

    def _await_head(self) -> None:
        self._head_deadline = self._loop.call_later(self._head_seconds, self._head_is_late)

    def _stop_waiting(self) -> None:
        if self._head_deadline is not None:
            self._head_deadline.cancel()
            self._head_deadline = None

    def _head_is_late(self) -> None:
        self._head_deadline = None
        if self._current_request is not None or self._messages:
            self.close()  # a request before this one is still being answered
        elif isinstance(self.transport, asyncio.Transport):
            # Nothing is owed to this client, so there is no reason to wait until it has read something.
            self.transport.abort()


def _body_within(seconds: float) -> Middleware:
    @web.middleware
    async def read_body(request: web.Request, handler: Handler) -> web.StreamResponse:
        """Read the body, which stays with the request, before the handler does anything."""
        if not request.content.is_eof():  # what has arrived whole can be read without waiting
            try:
                async with asyncio.timeout(seconds):
                    await request.read()
            except TimeoutError:
                answer = web.Response(status=408, text="The request's body took too long.\n")
                answer.force_close()
                return answer
            except ConnectionError:  # the client has gone: a log for each would be theirs to fill
                return web.Response(status=400)
        return await handler(request)

    return read_body


async def _name_no_version(_request: web.Request, response: web.StreamResponse) -> None:
    response.headers["Server"] = _SERVER
