"""The HTTPS server against slow, greedy and broken clients, over real TLS."""

import asyncio
import signal
import ssl
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from lightest_agents.service.config import ConfigError
from lightest_agents.service.server import Limits, listening, tls_context
from tests.world import Identity, free_port, make_identity

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
GET = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
QUICK = Limits(handshake=0.3, head=0.3, body=0.3)


@pytest.fixture(scope="module")
def identity(tmp_path_factory: pytest.TempPathFactory) -> Identity:
    return make_identity(tmp_path_factory.mktemp("identity"), "localhost")


class Client:
    """Speaks TLS to one server, and HTTP only as far as a test wants."""

    def __init__(self, port: int, identity: Identity) -> None:
        self.port = port
        self.context = ssl.create_default_context(cafile=str(identity.certificate))

    async def connect(self, source: str = "127.0.0.1") -> Streams:
        return await asyncio.open_connection(
            "127.0.0.1",
            self.port,
            ssl=self.context,
            server_hostname="localhost",
            local_addr=(source, 0),
        )

    async def ask(self, request: bytes = GET) -> bytes:
        """Everything the server says to a request, until it closes the connection."""
        reader, writer = await self.connect()
        writer.write(request.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1))
        answer = await until_closed(reader)
        await close(writer)
        return answer


async def until_closed(reader: asyncio.StreamReader) -> bytes:
    try:
        return await asyncio.wait_for(reader.read(), 10)
    except (ConnectionError, ssl.SSLError):
        return b""


async def close(writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()
    await asyncio.sleep(0)


def example() -> web.Application:
    app = web.Application(client_max_size=1000)

    async def root(request: web.Request) -> web.Response:
        return web.Response(text=f"{len(await request.read())} bytes\n")

    async def broken(_: web.Request) -> web.Response:
        raise ZeroDivisionError("a secret")

    async def slow(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(60)
        return web.Response()

    app.router.add_route("*", "/", root)
    app.router.add_get("/broken", broken)
    app.router.add_get("/slow", slow)
    return app


@asynccontextmanager
async def serving(identity: Identity, limits: Limits = QUICK) -> AsyncIterator[Client]:
    context = tls_context(identity.certificate, identity.key)
    async with listening(example(), addresses=["127.0.0.1"], port=0, context=context, limits=limits) as port:
        yield Client(port, identity)


@pytest.fixture
async def client(identity: Identity) -> AsyncIterator[Client]:
    async with serving(identity) as client:
        yield client


async def test_requests_are_answered_on_one_connection(client: Client) -> None:
    reader, writer = await client.connect()
    for size in (0, 7, 1000):
        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % size + size * b"x")
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 ")
        assert await reader.readline() == b"%d bytes\n" % size
    await close(writer)


async def test_tls_1_3_is_preferred_and_1_1_refused(client: Client) -> None:
    _, writer = await client.connect()
    assert writer.get_extra_info("ssl_object").version() == "TLSv1.3"
    await close(writer)
    client.context.maximum_version = ssl.TLSVersion.TLSv1_2
    _, writer = await client.connect()
    assert writer.get_extra_info("ssl_object").version() == "TLSv1.2"
    await close(writer)
    client.context.set_ciphers("DEFAULT@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1_1 is deprecated"):
        client.context.minimum_version = client.context.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(ConnectionError):
        await client.connect()


async def test_no_answer_names_a_version(client: Client) -> None:
    for request in (
        GET,
        GET.replace(b"/", b"/broken", 1),
        GET.replace(b"/", b"/none", 1),
        b"GARBAGE\r\n\r\n",
    ):
        answer = await client.ask(request)
        assert b"\r\nServer: lightest\r\n" in answer
        assert b"aiohttp" not in answer
        assert b"Python" not in answer


async def test_a_failure_inside_tells_nothing_outside(client: Client) -> None:
    answer = await client.ask(GET.replace(b"/", b"/broken", 1))
    assert answer.startswith(b"HTTP/1.1 500 ")
    assert b"secret" not in answer
    assert b"ZeroDivision" not in answer


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GARBAGE\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX-Long: " + 9000 * b"x" + b"\r\n\r\n",
        b"GET /" + 9000 * b"x" + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n" + b"".join(b"X-%d: y\r\n" % n for n in range(200)) + b"\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nnot a size\r\n",
        bytes(range(256)) + b"\r\n\r\n",
    ],
)
async def test_what_is_no_http_is_refused_and_the_next_client_served(
    client: Client, request_bytes: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    reader, writer = await client.connect()
    writer.write(request_bytes)
    answer = await until_closed(reader)
    assert answer.startswith(b"HTTP/1.0 400 ")
    assert b"X-Long" not in answer
    await close(writer)
    assert (await client.ask()).startswith(b"HTTP/1.1 200 ")
    assert not [record for record in caplog.records if record.exc_info]


async def test_a_body_larger_than_the_limit_is_refused(client: Client) -> None:
    head = b"POST / HTTP/1.1\r\nHost: x\r\n"
    for request in (
        head + b"Content-Length: 1001\r\n\r\n" + 1001 * b"x",
        head + b"Content-Length: 100000000\r\n\r\n" + 2000 * b"x",
        head + b"Transfer-Encoding: chunked\r\n\r\n" + b"3e9\r\n" + 1001 * b"x" + b"\r\n0\r\n\r\n",
    ):
        reader, writer = await client.connect()
        writer.write(request)
        assert (await reader.readline()).startswith(b"HTTP/1.1 413 ")
        await close(writer)


async def test_a_small_body_cannot_become_a_large_one(client: Client) -> None:
    """Compressed bodies stay as they are."""
    head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Encoding: gzip\r\nContent-Length: 7\r\n\r\n"
    assert (await client.ask(head + b"bombing")).endswith(b"7 bytes\n")


async def drip(writer: asyncio.StreamWriter, text: bytes) -> None:
    """One byte at a time, always before any wait for the next byte could end."""
    try:
        for index in range(len(text)):
            writer.write(text[index : index + 1])
            await writer.drain()
            await asyncio.sleep(0.05)
    except OSError:
        pass


@pytest.mark.parametrize("before", [b"", GET], ids=["first request", "later request"])
async def test_a_head_that_drips_is_cut_off(client: Client, before: bytes) -> None:
    """The slow-loris attack: the client always sends something, but never a whole request."""
    reader, writer = await client.connect()
    writer.write(before)
    dripping = asyncio.create_task(drip(writer, b"GET / HTTP/1.1\r\nHost: " + 1000 * b"x"))
    answers = await until_closed(reader)
    assert answers.count(b"HTTP/1.1") == (1 if before else 0)
    dripping.cancel()
    await close(writer)


async def test_a_body_that_drips_is_cut_off(client: Client) -> None:
    reader, writer = await client.connect()
    writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 900\r\n\r\n")
    dripping = asyncio.create_task(drip(writer, 900 * b"x"))
    assert (await until_closed(reader)).startswith(b"HTTP/1.1 408 ")
    dripping.cancel()
    await close(writer)


async def test_a_head_that_drips_behind_a_request_does_not_cost_its_answer(identity: Identity) -> None:
    async with serving(identity, Limits(head=0.2)) as client:
        reader, writer = await client.connect()
        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n")
        dripping = asyncio.create_task(drip(writer, b"1234" + GET[:-2]))
        assert b"4 bytes" in await until_closed(reader)
        dripping.cancel()
        await close(writer)


@pytest.mark.parametrize("said", [b"", b"\x16\x03\x01", b"GET / HTTP/1.1\r\n\r\n", 5000 * b"\x00"])
async def test_a_client_without_tls_is_cut_off(client: Client, said: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
    writer.write(said)
    assert b"HTTP" not in await until_closed(reader)
    await close(writer)
    assert (await client.ask()).startswith(b"HTTP/1.1 200 ")


async def test_an_idle_connection_ends_between_requests_only(identity: Identity) -> None:
    async with serving(identity, Limits(idle=0.3)) as client:
        reader, writer = await client.connect()
        for _ in range(2):
            writer.write(GET)
            assert await asyncio.wait_for(reader.readuntil(b"bytes\n"), 5)
        assert await until_closed(reader) == b""
        await close(writer)


async def connected(client: Client, source: str = "127.0.0.1") -> asyncio.StreamWriter | None:
    """A connection that the server has really taken, or None."""
    try:
        reader, writer = await client.connect(source)
        writer.write(GET)
        if await reader.readline():
            return writer
        await close(writer)
    except OSError:
        pass
    return None


async def connected_at_last(client: Client) -> asyncio.StreamWriter:
    async with asyncio.timeout(20):
        while (writer := await connected(client)) is None:
            await asyncio.sleep(0.02)
        return writer


async def test_one_address_cannot_take_all_connections(identity: Identity) -> None:
    async with serving(identity, Limits(connections=15, per_address=10)) as client:
        greedy = await asyncio.gather(*(connected(client) for _ in range(40)))
        held = [writer for writer in greedy if writer is not None]
        assert len(held) == 10
        others = [await connected(client, f"127.0.0.{n}") for n in range(2, 9)]
        assert [writer is not None for writer in others] == 5 * [True] + 2 * [False]

        for writer in held:  # what is given back can be taken again
            await close(writer)
        for stream in (*others, await connected_at_last(client)):
            if stream is not None:
                await close(stream)


async def test_connections_that_never_speak_tls_count_and_end(identity: Identity) -> None:
    async with serving(identity, Limits(handshake=0.3, per_address=5)) as client:
        silent = [await asyncio.open_connection("127.0.0.1", client.port) for _ in range(5)]
        assert await connected(client) is None
        assert [await until_closed(reader) for reader, _ in silent] == 5 * [b""]
        writer = await connected(client)
        assert writer is not None
        for stream in (writer, *(writer for _, writer in silent)):
            await close(stream)


async def test_ipv4_and_ipv6_are_served_by_one_address(identity: Identity) -> None:
    context = tls_context(identity.certificate, identity.key)
    async with listening(example(), addresses=["::"], port=0, context=context) as port:
        client = Client(port, identity)
        assert (await client.ask()).startswith(b"HTTP/1.1 200 ")
        _, writer = await asyncio.open_connection(
            "::1", port, ssl=client.context, server_hostname="localhost"
        )
        await close(writer)


async def test_what_cannot_be_served_is_a_sentence(identity: Identity, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        tls_context(tmp_path / "none.crt", identity.key)
    with pytest.raises(ConfigError, match="cannot be used together"):
        tls_context(identity.certificate, make_identity(tmp_path, "localhost").key)
    context = tls_context(identity.certificate, identity.key)
    async with listening(example(), addresses=["127.0.0.1"], port=0, context=context) as port:
        with pytest.raises(ConfigError, match=f"cannot listen on 127.0.0.1, port {port}: "):
            async with listening(example(), addresses=["127.0.0.1"], port=port, context=context):
                pass


SERVICE = """
    import asyncio, sys
    from pathlib import Path
    from lightest_agents.service.server import Limits, serve
    from tests.integration.test_server import example
    certificate, key, port = sys.argv[1:]
    asyncio.run(serve(
        example(), addresses=["127.0.0.1"], port=int(port), certificate=Path(certificate), key=Path(key),
        limits=Limits(stop=0.2),
    ))
"""


async def test_a_process_serves_until_it_is_told_to_stop(identity: Identity) -> None:
    """A request that has begun when SIGTERM comes does not keep the process from ending."""
    port = free_port()
    arguments = (str(identity.certificate), str(identity.key), str(port))
    with subprocess.Popen(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(SERVICE), *arguments]
    ) as process:
        client = Client(port, identity)
        writer = await connected_at_last(client)
        writer.write(GET.replace(b"/", b"/slow", 1))
        await writer.drain()
        process.send_signal(signal.SIGTERM)
        await asyncio.wait_for(asyncio.to_thread(process.wait), 15)
        assert process.returncode == 0
        await close(writer)
