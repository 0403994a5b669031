"""HTTPS to real TLS servers, honest and not, which the DNS describes or does not."""

import asyncio
import ssl
import subprocess
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from lightest_agents.dns.errors import HttpError, HttpFailure
from lightest_agents.dns.http import DaneClient, Response
from lightest_agents.dns.lookups import Resolver
from lightest_agents.dns.tlsa import Match, tlsa_matches
from tests.unit.dns.pki import DAY, NOW, Holder, Record, make, record
from tests.world import Break, Identity, World, free_port

HOST = "tspa.raspidemo"


class Server:
    """A TLS server that records every byte of a request and answers what a test says."""

    def __init__(self, answer: bytes) -> None:
        self.answer = answer
        self.received = b""
        self.connections = 0
        self.failures = 0
        self.port = 0
        self.names: list[str | None] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while request := await reader.readuntil(b"\r\n\r\n"):
                self.received += request
                length = request.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
                self.received += await reader.readexactly(int(length or 0))
                writer.write(self.answer)
                await writer.drain()
                if b"connection: close" in self.answer.lower():
                    return
        except (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
            self.failures += 1
        finally:
            writer.close()


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nX-List: 7\r\n\r\nlist"


@asynccontextmanager
async def serving(
    certificate: Path | None,
    key: Path | None = None,
    answer: bytes = OK,
    *,
    port: int = 0,
    tls12: bool = False,
) -> AsyncIterator[Server]:
    server = Server(answer)
    context = None
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        context.set_alpn_protocols(["http/1.1"])
        context.sni_callback = lambda _, name, __: server.names.append(name)
        if tls12:
            context.maximum_version = ssl.TLSVersion.TLSv1_2
    listener = await asyncio.start_server(server.serve, "127.0.0.1", port, ssl=context)
    server.port = listener.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listener.close()
        await listener.wait_closed()


@asynccontextmanager
async def published(world: World, answer: bytes = OK, **options: bool) -> AsyncIterator[Server]:
    """A server that the DNS describes."""
    identity = world.identity(HOST)
    async with serving(identity.certificate, identity.key, answer, **options) as server:
        world.tls_server("tspa", server.port, identity)
        yield server


@pytest.fixture
async def client(world: World) -> AsyncIterator[DaneClient]:
    resolver = Resolver(port=world.resolver_port)
    client = DaneClient(resolver)
    yield client
    await client.close()
    await resolver.close()


async def get(client: DaneClient, port: int, host: str = HOST, **options: float) -> Response:
    return await client.request("GET", f"https://{host}:{port}/lists", **options)  # type: ignore[arg-type]


async def attempt(client: DaneClient, port: int) -> HttpFailure | None:
    try:
        await get(client, port)
    except HttpError as error:
        return error.kind
    return None


async def failure(client: DaneClient, port: int, host: str = HOST, **options: float) -> HttpFailure:
    with pytest.raises(HttpError) as failed:
        await get(client, port, host, **options)
    assert str(failed.value)
    return failed.value.kind


def tlsa_owner(port: int, host: str = HOST) -> str:
    return f"_{port}._tcp.{host}"


async def test_a_server_that_the_dns_describes_is_asked(world: World, client: DaneClient) -> None:
    async with published(world) as server:
        response = await get(client, server.port)
        assert (response.status, response.headers["x-list"], response.body) == (200, "7", b"list")
        assert server.received.startswith(b"GET /lists HTTP/1.1\r\nHost: tspa.raspidemo:")
        assert server.names == [HOST]


async def test_a_body_and_headers_arrive(world: World, client: DaneClient) -> None:
    async with published(world) as server:
        headers = {"Content-Type": "application/jose"}
        url = f"https://{HOST}:{server.port}/v1/faults?a=%2F"
        await client.request("POST", url, body=b"the fault", headers=headers)
        assert server.received.startswith(b"POST /v1/faults?a=%2F HTTP/1.1\r\n")
        assert b"\r\nContent-Type: application/jose\r\n" in server.received
        assert server.received.endswith(b"\r\n\r\nthe fault")


@pytest.mark.parametrize("tls12", [False, True])
async def test_another_server_gets_no_byte_of_the_request(
    world: World, client: DaneClient, tls12: bool
) -> None:
    world.host("tspa")
    stranger = world.identity(HOST)
    async with serving(stranger.certificate, stranger.key, tls12=tls12) as server:
        world.tls_server("tspa", server.port)
        for _ in range(2):
            assert await failure(client, server.port) is HttpFailure.TLSA_MISMATCH
        await until(lambda: server.failures == server.connections)
        assert server.received == b""


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not holds():
            await asyncio.sleep(0.01)


async def test_a_server_without_tlsa_is_not_talked_to(world: World, client: DaneClient) -> None:
    async with published(world) as server:
        world.remove(tlsa_owner(server.port), "TLSA")
        assert await failure(client, server.port) is HttpFailure.TLSA_MISSING
        assert server.connections == 0


async def test_tlsa_records_that_cannot_be_used_are_none(world: World, client: DaneClient) -> None:
    async with published(world) as server:
        world.set(tlsa_owner(server.port), "TLSA", f"3 1 9 {'ab' * 32}", f"7 1 1 {'ab' * 32}")
        assert await failure(client, server.port) is HttpFailure.TLSA_MISSING
        assert server.connections == 0


async def test_a_tlsa_record_that_nobody_can_read_is_ignored(world: World, client: DaneClient) -> None:
    short = r"\# 6 030101abcdef"
    identity = world.identity(HOST)
    async with serving(identity.certificate, identity.key) as server:
        world.host("tspa")
        world.set(tlsa_owner(server.port), "TLSA", short)
        assert await failure(client, server.port) is HttpFailure.TLSA_MISSING
        assert server.connections == 0
        world.set(tlsa_owner(server.port), "TLSA", short, identity.tlsa)
        assert (await get(client, server.port)).body == b"list"


@pytest.mark.parametrize(
    ("how", "kind"),
    [(Break.INSECURE, HttpFailure.TLSA_INSECURE), (Break.EXPIRED, HttpFailure.TLSA_BOGUS)],
)
async def test_a_server_in_a_broken_zone(
    world: World, client: DaneClient, how: Break, kind: HttpFailure
) -> None:
    host = "tspa.germany.raspidemo"
    async with published(world) as server:
        world.tls_server("tspa.germany", server.port)
        world.break_zone("germany.raspidemo", how)
        assert await failure(client, server.port, host) is kind
        assert server.connections == 0


async def test_without_dns_nothing_is_sent(world: World, client: DaneClient) -> None:
    async with published(world) as server:
        world.stop_unbound()
        assert await failure(client, server.port) is HttpFailure.TLSA_UNAVAILABLE
        assert server.connections == 0


async def test_a_server_without_address(world: World, client: DaneClient) -> None:
    async with published(world) as server:
        world.remove(HOST, "A")
        assert await failure(client, server.port) is HttpFailure.ADDRESS_UNAVAILABLE


async def test_a_server_that_is_down(world: World, client: DaneClient) -> None:
    port = free_port()
    world.tls_server("tspa", port)
    assert await failure(client, port) is HttpFailure.UNREACHABLE


async def test_every_address_is_tried(world: World, client: DaneClient) -> None:
    async with published(world) as server:
        world.set(HOST, "A", "127.0.0.1", "127.0.0.99")
        world.set(HOST, "AAAA", "::1")
        for _ in range(4):
            assert (await get(client, server.port)).body == b"list"
            await client.close()


async def test_an_insecure_address_is_refused(world: World, client: DaneClient) -> None:
    async with published(world) as server:
        world.remove(HOST, "A")
        world.host("host.germany")
        world.set(HOST, "CNAME", "host.germany.raspidemo.")
        world.break_zone("germany.raspidemo", Break.INSECURE)
        assert await failure(client, server.port) is HttpFailure.TLSA_INSECURE
        assert server.connections == 0


async def test_an_alias_is_described_where_it_leads_to(world: World, client: DaneClient) -> None:
    alias = "list.raspidemo"
    async with published(world) as server:
        world.set(alias, "CNAME", f"{HOST}.")
        assert (await get(client, server.port, alias)).body == b"list"
        assert server.names == [alias]
        world.set(tlsa_owner(server.port, alias), "TLSA", f"3 1 1 {'ab' * 32}")
        assert (await get(client, server.port, alias)).body == b"list"
        world.remove(tlsa_owner(server.port), "TLSA")
        assert await failure(client, server.port, alias) is HttpFailure.TLSA_MISMATCH


async def test_the_tlsa_record_may_be_an_alias_itself(world: World, client: DaneClient) -> None:
    identity = world.identity(HOST)
    async with serving(identity.certificate, identity.key) as server:
        world.host("tspa")
        world.set(tlsa_owner(server.port), "CNAME", "_dane.raspidemo.")
        world.set("_dane.raspidemo", "TLSA", identity.tlsa)
        assert (await get(client, server.port)).body == b"list"
        world.set("_dane.raspidemo", "TLSA", f"3 1 1 {'ab' * 32}")
        assert await failure(client, server.port) is HttpFailure.TLSA_MISMATCH


async def test_a_connection_is_used_again_while_the_records_stay(world: World, client: DaneClient) -> None:
    async with published(world) as server:
        for _ in range(3):
            await get(client, server.port)
        assert server.connections == 1


async def test_a_connection_is_not_used_after_its_key_is_withdrawn(world: World, client: DaneClient) -> None:
    async with published(world) as server:
        await get(client, server.port)
        received = server.received
        world.tls_server("tspa", server.port)
        assert await failure(client, server.port) is HttpFailure.TLSA_MISMATCH
        assert server.received == received


CLOSING = OK.replace(b"X-List: 7", b"Connection: close")


async def test_a_key_rolls_over_while_both_are_published(world: World, client: DaneClient) -> None:
    now, later = world.identity(HOST), world.identity(HOST)
    port = free_port()
    world.host("tspa")
    for described, served in (([now, later], now), ([now, later], later), ([later], later)):
        world.set(tlsa_owner(port), "TLSA", *(identity.tlsa for identity in described))
        async with serving(served.certificate, served.key, CLOSING, port=port):
            assert (await get(client, port)).body == b"list"


@pytest.mark.parametrize("tls12", [False, True])
async def test_a_later_connection_is_checked_as_the_first(
    world: World, client: DaneClient, tls12: bool
) -> None:
    port = free_port()
    identity = world.tls_server("tspa", port)
    async with serving(identity.certificate, identity.key, CLOSING, port=port, tls12=tls12):
        await get(client, port)
        await get(client, port)
    stranger = world.identity(HOST)
    async with serving(stranger.certificate, stranger.key, port=port, tls12=tls12) as server:
        assert await failure(client, port) is HttpFailure.TLSA_MISMATCH
        assert server.received == b""


@pytest.mark.parametrize("ttl", [300, 1])
async def test_a_cached_tlsa_record_holds_as_long_as_its_ttl(world: World, ttl: int) -> None:
    resolver = Resolver(port=world.resolver_port, cache=True)
    client = DaneClient(resolver)
    identity = world.identity(HOST)
    try:
        async with serving(identity.certificate, identity.key) as server:
            world.host("tspa")
            world.set(tlsa_owner(server.port), "TLSA", identity.tlsa, ttl=ttl)
            await get(client, server.port)
            world.set(tlsa_owner(server.port), "TLSA", f"3 1 1 {'ab' * 32}")
            if ttl == 300:
                await get(client, server.port)
                return
            async with asyncio.timeout(10):
                while await attempt(client, server.port) is not HttpFailure.TLSA_MISMATCH:
                    await asyncio.sleep(0.05)
    finally:
        await client.close()
        await resolver.close()


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (b"HTTP/1.1 302 Found\r\nLocation: http://evil/\r\nContent-Length: 0\r\n\r\n", HttpFailure.REDIRECT),
        (b"HTTP/1.1 308 There\r\nLocation: https://[\r\nContent-Length: 0\r\n\r\n", HttpFailure.REDIRECT),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2000\r\n\r\n" + b"x" * 2000, HttpFailure.TOO_LARGE),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"400\r\n%b\r\n" % (b"x" * 1024) * 9,
            HttpFailure.TOO_LARGE,
        ),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 20000 + b"\r\n\r\n", HttpFailure.PROTOCOL),
        (b"220 mail.example ESMTP\r\n\r\n", HttpFailure.PROTOCOL),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\nConnection: close\r\n\r\nhalf", HttpFailure.UNREACHABLE),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", HttpFailure.TIMEOUT),
        (b"HTTP/1.1 200 OK\r\nContent-", HttpFailure.TIMEOUT),
    ],
    ids=["redirect", "bad redirect", "large", "endless", "header", "no HTTP", "broken", "stalled", "slow"],
)
async def test_what_is_no_complete_answer(
    world: World, client: DaneClient, answer: bytes, kind: HttpFailure
) -> None:
    async with published(world, answer) as server:
        assert await failure(client, server.port, max_bytes=1000, timeout=1.0) is kind


async def test_an_answer_of_the_very_limit_and_every_other_status_is_given(
    world: World, client: DaneClient
) -> None:
    async with published(world) as server:
        assert (await get(client, server.port, max_bytes=4)).body == b"list"
        server.answer = b"HTTP/1.1 304 Not Modified\r\n\r\n"
        assert (await get(client, server.port)).status == 304
        server.answer = b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"
        assert (await get(client, server.port)).status == 503


async def test_a_server_without_tls(world: World, client: DaneClient) -> None:
    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    listener = await asyncio.start_server(plain, "127.0.0.1", 0)
    async with listener:
        port = listener.sockets[0].getsockname()[1]
        world.tls_server("tspa", port)
        assert await failure(client, port) is HttpFailure.PROTOCOL


def files(folder: Path, chain: Sequence[Holder]) -> Identity:
    """A chain as a server wants it."""
    certificate, key = folder / "chain.crt", folder / "chain.key"
    certificate.write_bytes(b"".join(holder.pem for holder in chain))
    key.write_bytes(chain[0].key_pem)
    return Identity(HOST, certificate, key, chain[0].der)


ROOT = make("root", ca=True)
MIDDLE = make("middle", ROOT, ca=True)
LEAF = make("leaf", MIDDLE, names=[HOST])
ELSEWHERE = make("leaf", MIDDLE, names=["elsewhere.raspidemo"])


def text(one: Record) -> str:
    return f"{one.usage} {one.selector} {one.mtype} {one.cert.hex()}"


@pytest.mark.parametrize(
    ("one", "leaf", "matches"),
    [
        (record(2, 0, 1, MIDDLE), LEAF, True),
        (record(2, 0, 1, ROOT), LEAF, True),
        (record(2, 0, 1, ROOT), ELSEWHERE, False),
        (record(1, 1, 1, LEAF), LEAF, True),
        (record(0, 0, 1, ROOT), LEAF, True),
    ],
)
async def test_the_chain_that_a_server_presents_is_judged(
    world: World, tmp_path: Path, one: Record, leaf: Holder, matches: bool
) -> None:
    identity = files(tmp_path, [leaf, MIDDLE, ROOT])
    resolver = Resolver(port=world.resolver_port)
    client = DaneClient(resolver, roots=[ROOT.der])
    try:
        async with serving(identity.certificate, identity.key) as server:
            world.host("tspa")
            world.set(tlsa_owner(server.port), "TLSA", text(one))
            if matches:
                assert (await get(client, server.port)).body == b"list"
            else:
                assert await failure(client, server.port) is HttpFailure.TLSA_MISMATCH
                assert server.received == b""
    finally:
        await client.close()
        await resolver.close()


PAST = make("leaf", MIDDLE, names=[HOST], begins=NOW - 3 * DAY, ends=NOW - 2 * DAY)
WILD = make("leaf", MIDDLE, names=["*.germany.raspidemo"])
SELF = make("self", names=[HOST])
SELF_CA = make("self", names=[HOST], ca=True)
OTHER = make("other", ca=True)
FORMS = [(selector, mtype) for selector in (0, 1) for mtype in (0, 1, 2)]
CASES: list[tuple[str, list[Record], list[Holder], str]] = [
    *(
        (
            f"{usage}{selector}{mtype} {position}",
            [record(usage, selector, mtype, holder)],
            [LEAF, MIDDLE, ROOT],
            HOST,
        )
        for usage in range(4)
        for selector, mtype in FORMS
        for position, holder in enumerate((LEAF, MIDDLE, ROOT, OTHER))
    ),
    *(
        (
            f"{usage}{selector}{mtype} root not sent",
            [record(usage, selector, mtype, ROOT)],
            [LEAF, MIDDLE],
            HOST,
        )
        for usage in (0, 2)
        for selector, mtype in FORMS
    ),
    ("wrong name, EE", [record(3, 1, 1, ELSEWHERE)], [ELSEWHERE, MIDDLE], HOST),
    ("wrong name, TA", [record(2, 0, 1, MIDDLE)], [ELSEWHERE, MIDDLE], HOST),
    ("wrong name, PKIX-EE", [record(1, 0, 1, ELSEWHERE)], [ELSEWHERE, MIDDLE], HOST),
    ("expired, EE", [record(3, 1, 1, PAST)], [PAST, MIDDLE], HOST),
    ("expired, TA", [record(2, 0, 1, MIDDLE)], [PAST, MIDDLE], HOST),
    ("expired, PKIX-EE", [record(1, 0, 1, PAST)], [PAST, MIDDLE], HOST),
    ("wildcard", [record(2, 0, 1, MIDDLE)], [WILD, MIDDLE], "tspa.germany.raspidemo"),
    ("wildcard, two labels", [record(2, 0, 1, MIDDLE)], [WILD, MIDDLE], "a.tspa.germany.raspidemo"),
    ("issuer not sent", [record(2, 0, 1, ROOT)], [LEAF, ROOT], HOST),
    ("order of the chain", [record(2, 0, 1, ROOT)], [LEAF, ROOT, MIDDLE], HOST),
    ("one of two", [record(3, 1, 1, OTHER), record(3, 1, 1, LEAF)], [LEAF], HOST),
    ("unusable first", [Record(3, 1, 9, b"abc"), record(3, 1, 1, LEAF)], [LEAF], HOST),
    ("wrong length first", [Record(3, 1, 1, b"abc"), record(3, 1, 1, LEAF)], [LEAF], HOST),
    ("EE wrong, TA right", [record(3, 1, 1, OTHER), record(2, 0, 1, ROOT)], [LEAF, MIDDLE, ROOT], HOST),
    (
        "TA of another name, EE right",
        [record(2, 0, 1, MIDDLE), record(3, 1, 1, ELSEWHERE)],
        [ELSEWHERE, MIDDLE],
        HOST,
    ),
    *(
        (
            f"self-signed {kind} {usage}{selector}{mtype}",
            [record(usage, selector, mtype, holder)],
            [holder],
            HOST,
        )
        for kind, holder in (("leaf", SELF), ("CA", SELF_CA))
        for usage in (2, 3)
        for selector, mtype in FORMS
    ),
]


def openssl(port: int, records: list[Record], name: str, roots: Path) -> bool:
    """What the reference implementation says."""
    data = [option for one in records for option in ("-dane_tlsa_rrdata", text(one))]
    done = subprocess.run(
        [
            *("openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-servername", name),
            *("-dane_tlsa_domain", name, *data, "-dane_ee_no_namechecks", "-verify_return_error"),
            *("-CAfile", str(roots), "-no-CApath", "-no-CAstore"),
        ],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    return done.returncode == 0 and "Verify return code: 0 (ok)" in done.stdout


async def test_openssl_says_the_same(tmp_path: Path) -> None:
    roots = tmp_path / "roots.pem"
    roots.write_bytes(ROOT.pem)
    matches, differences = 0, []
    ported: dict[tuple[bytes, ...], list[tuple[str, list[Record], str]]] = {}
    chains: dict[tuple[bytes, ...], list[Holder]] = {}
    for title, records, chain, name in CASES:
        key = tuple(holder.der for holder in chain)
        chains[key] = chain
        ported.setdefault(key, []).append((title, records, name))
    for key, cases in ported.items():
        identity = files(tmp_path, chains[key])
        async with serving(identity.certificate, identity.key) as server:
            for title, records, name in cases:
                outcome = tlsa_matches(records, key, [name], roots=[ROOT.der], now=datetime.now(UTC))
                theirs = await asyncio.to_thread(openssl, server.port, records, name, roots)
                matches += theirs
                if isinstance(outcome, Match) != theirs:
                    differences.append((title, outcome, theirs))
    assert not differences
    assert 0 < matches < len(CASES)


@pytest.mark.parametrize(
    "url",
    [
        "http://tspa.raspidemo/",
        "https://user@tspa.raspidemo/",
        "https://192.0.2.1/",
        # 253 octets: a name, but the TLSA record's owner name would be too long.
        f"https://{'a.' * 122}raspidemo:65535/",
    ],
)
async def test_a_url_that_names_no_server_is_not_asked_for(client: DaneClient, url: str) -> None:
    with pytest.raises(HttpError) as refused:
        await client.request("GET", url)
    assert refused.value.kind is HttpFailure.URL_REFUSED
