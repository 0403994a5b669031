"""Look-ups through a real validating Unbound, over zones of a real BIND, whole and broken."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import cast

import dns.message
import dns.name
import dns.rdatatype
import pytest
from dns.rdatatype import AAAA, PTR, TLSA, URI, A, RdataType

from lightest_agents.dns.errors import ResolverRefusedError
from lightest_agents.dns.lookups import Lookup, Resolver, Status
from tests.world import Break, World, free_port

COUNTRY, SCHEME = "germany.raspidemo", "trust.germany.raspidemo"
POINTER = f"_scheme._trust.sensor1.{COUNTRY}"
TARGET = f"_scheme._trust.sensor1.{SCHEME}."


@pytest.fixture
async def resolver(world: World) -> AsyncIterator[Resolver]:
    resolver = Resolver(port=world.resolver_port)
    yield resolver
    await resolver.close()


@pytest.fixture
async def caching(world: World) -> AsyncIterator[Resolver]:
    resolver = Resolver(port=world.resolver_port, cache=True)
    yield resolver
    await resolver.close()


async def ask(resolver: Resolver, name: str, rdtype: RdataType) -> Lookup:
    return await resolver.lookup(dns.name.from_text(name), rdtype)


def texts(found: Lookup) -> set[str]:
    assert found.rrset is not None, found
    return {record.to_text() for record in found.rrset}


async def test_an_authentic_answer(world: World, resolver: Resolver) -> None:
    world.set(POINTER, "PTR", TARGET)
    found = await ask(resolver, POINTER, PTR)
    assert (found.status, texts(found)) == (Status.ANSWER, {TARGET})
    assert 0 < found.ttl <= 300
    assert found.canonical == dns.name.from_text(POINTER)


async def test_an_alias_is_followed_to_its_name(world: World, resolver: Resolver) -> None:
    world.host("tspa")
    world.set("list.raspidemo", "CNAME", "tspa.raspidemo.", ttl=30)
    found = await ask(resolver, "list.raspidemo", A)
    assert (found.status, texts(found)) == (Status.ANSWER, {"127.0.0.1"})
    assert found.canonical == dns.name.from_text("tspa.raspidemo")
    assert found.ttl <= 30
    assert (await ask(resolver, "list.raspidemo", AAAA)).status is Status.NODATA


async def test_denials_are_proved(world: World, resolver: Resolver) -> None:
    world.set(POINTER, "PTR", TARGET)
    assert (await ask(resolver, POINTER, URI)).status is Status.NODATA
    assert (await ask(resolver, f"_scheme._trust.sensor2.{COUNTRY}", PTR)).status is Status.NXDOMAIN


@pytest.mark.parametrize("zone", [COUNTRY, SCHEME])
@pytest.mark.parametrize(
    ("how", "status"),
    [
        (Break.INSECURE, Status.INSECURE),
        (Break.WRONG_DS, Status.BOGUS),
        (Break.EXPIRED, Status.BOGUS),
        (Break.STRIPPED, Status.BOGUS),
    ],
)
async def test_a_broken_chain(
    world: World, resolver: Resolver, zone: str, how: Break, status: Status
) -> None:
    owner = f"_scheme._trust.sensor1.{zone}"
    world.set(owner, "SMIMEA", f"3 0 1 {'00' * 32}")
    world.break_zone(zone, how)
    for name in (owner, owner, f"_scheme._trust.nobody.{zone}"):
        found = await ask(resolver, name, dns.rdatatype.SMIMEA)
        assert (found.status, found.rrset, found.ttl) == (status, None, 0), found.detail


@pytest.mark.parametrize(
    ("how", "told"),
    [(Break.WRONG_DS, "EDE 9 "), (Break.EXPIRED, "EDE 7 (Signature Expired)"), (Break.STRIPPED, "EDE 10 ")],
)
async def test_the_extended_error_is_told(world: World, resolver: Resolver, how: Break, told: str) -> None:
    world.break_zone(COUNTRY, how)
    assert told in (await ask(resolver, f"ns1.{COUNTRY}", A)).detail


async def test_a_broken_country_leaves_its_neighbour_alone(world: World, resolver: Resolver) -> None:
    world.break_zone(COUNTRY, Break.WRONG_DS)
    assert (await ask(resolver, "ns1.france.raspidemo", A)).status is Status.ANSWER


async def test_a_forged_answer_is_bogus(world: World, resolver: Resolver) -> None:
    world.set(POINTER, "PTR", TARGET)

    def forge(query: dns.message.Message, answer: dns.message.Message) -> dns.message.Message:
        forged = answer.to_text().replace("sensor1.trust.germany", "sensor1.trust.france")
        return dns.message.from_text(forged)

    world.intercept(COUNTRY, forge)
    assert (await ask(resolver, POINTER, PTR)).status is Status.BOGUS


async def test_what_the_resolver_does_not_know_is_unavailable(resolver: Resolver) -> None:
    found = await ask(resolver, "www.example.com", A)
    assert found.status is Status.UNAVAILABLE
    assert "REFUSED" in found.detail


async def test_a_name_server_that_is_down_and_up_again(world: World, resolver: Resolver) -> None:
    world.stop_named()
    assert (await ask(resolver, f"ns1.{COUNTRY}", A)).status is Status.UNAVAILABLE
    world.start_named()
    world.flush()
    assert (await ask(resolver, f"ns1.{COUNTRY}", A)).status is Status.ANSWER


async def test_a_resolver_that_is_down_and_up_again(world: World, resolver: Resolver) -> None:
    assert (await ask(resolver, f"ns1.{COUNTRY}", A)).status is Status.ANSWER
    world.stop_unbound()
    for _ in range(3):
        found = await ask(resolver, f"ns1.{COUNTRY}", A)
        assert found.status is Status.UNAVAILABLE
        assert "refused" in found.detail
    world.start_unbound()
    for _ in range(8):
        assert (await ask(resolver, f"ns1.{COUNTRY}", A)).status is Status.ANSWER


async def test_a_large_answer_comes_over_tcp(world: World, resolver: Resolver) -> None:
    addresses = {f"127.1.0.{last}" for last in range(90)}
    world.set(f"many.{COUNTRY}", "A", *addresses)
    assert texts(await ask(resolver, f"many.{COUNTRY}", A)) == addresses


async def test_several_at_once_come_in_their_order(world: World, resolver: Resolver) -> None:
    world.set(POINTER, "PTR", TARGET)
    name, absent = dns.name.from_text(POINTER), dns.name.from_text(f"absent.{COUNTRY}")
    found = await resolver.lookup_all([(absent, PTR), (name, PTR), (name, URI), (name, PTR)])
    assert [one.status for one in found] == [
        Status.NXDOMAIN,
        Status.ANSWER,
        Status.NODATA,
        Status.ANSWER,
    ]
    assert await resolver.lookup_all([]) == []


async def test_many_tasks_at_once_get_each_their_answer(world: World, resolver: Resolver) -> None:
    names = [f"h{number}.{COUNTRY}" for number in range(30)]
    for number, name in enumerate(names):
        world.set(name, "A", f"127.2.0.{number}")
    found = await asyncio.gather(*(ask(resolver, name, A) for name in names * 20))
    assert [texts(one) for one in found] == [{f"127.2.0.{number}"} for number in range(30)] * 20


async def test_a_cancelled_lookup_leaves_the_others_alone(world: World, resolver: Resolver) -> None:
    tasks = [asyncio.create_task(ask(resolver, f"ns1.{COUNTRY}", A)) for _ in range(20)]
    await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()
    done = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(one, asyncio.CancelledError) for one in done[::2])
    assert [one.status for one in done[1::2] if isinstance(one, Lookup)] == [Status.ANSWER] * 10


async def test_without_a_cache_a_change_is_seen_at_once(world: World, resolver: Resolver) -> None:
    world.set(f"tspa.{COUNTRY}", "A", "127.0.0.1")
    first = await ask(resolver, f"tspa.{COUNTRY}", A)
    again = await ask(resolver, f"tspa.{COUNTRY}", A)
    assert again.rrset is first.rrset, "the same answer is not parsed twice"
    world.set(f"tspa.{COUNTRY}", "A", "127.0.0.2")
    assert texts(await ask(resolver, f"tspa.{COUNTRY}", A)) == {"127.0.0.2"}
    world.break_zone(COUNTRY, Break.INSECURE)
    assert (await ask(resolver, f"tspa.{COUNTRY}", A)).status is Status.INSECURE


async def test_the_cache_keeps_what_is_proved_as_long_as_its_ttl(world: World, caching: Resolver) -> None:
    world.set(f"long.{COUNTRY}", "A", "127.0.0.1", ttl=300)
    world.set(f"short.{COUNTRY}", "A", "127.0.0.1", ttl=1)
    names = [f"{label}.{COUNTRY}" for label in ("long", "short")]
    for name in names:
        await ask(caching, name, A)
        world.set(name, "A", "127.0.0.2")
    assert texts(await ask(caching, names[0], A)) == {"127.0.0.1"}
    await until(lambda: ask(caching, names[1], A), lambda found: texts(found) == {"127.0.0.2"})
    assert texts(await ask(caching, names[0], A)) == {"127.0.0.1"}


async def test_the_cache_keeps_a_denial_not_longer_than_its_ttl(world: World, caching: Resolver) -> None:
    name = f"new.{COUNTRY}"
    assert (await ask(caching, name, A)).status is Status.NXDOMAIN
    world.set(name, "A", "127.0.0.1")
    await until(lambda: ask(caching, name, A), lambda found: found.status is Status.ANSWER)


@pytest.mark.parametrize("how", [Break.INSECURE, Break.WRONG_DS])
async def test_the_cache_never_keeps_what_is_not_proved(world: World, caching: Resolver, how: Break) -> None:
    world.break_zone(COUNTRY, how)
    assert (await ask(caching, f"ns1.{COUNTRY}", A)).status in (Status.INSECURE, Status.BOGUS)
    world.restore()
    assert (await ask(caching, f"ns1.{COUNTRY}", A)).status is Status.ANSWER


async def until(act: Callable[[], object], holds: Callable[[Lookup], bool]) -> None:
    """Repeat an awaited action until its outcome is as wanted."""
    async with asyncio.timeout(10):
        while not holds(await act()):  # type: ignore[misc]
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("address", ["192.0.2.1", "2001:db8::1", "resolver.raspidemo", "", "0.0.0.0"])  # noqa: S104
def test_a_resolver_elsewhere_is_refused(address: str) -> None:
    with pytest.raises(ResolverRefusedError, match="not on this host"):
        Resolver(address)


class Impostor(asyncio.DatagramProtocol):
    """A resolver that answers as a test says, and counts what it is asked."""

    def __init__(self, reply: Callable[[bytes], list[bytes]]) -> None:
        self.reply = reply
        self.asked: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.asked.append(data)
        for answer in self.reply(data):
            self.transport.sendto(answer, addr)


@asynccontextmanager
async def impostor(
    reply: Callable[[bytes], list[bytes]], timeout: float = 5.0
) -> AsyncIterator[tuple[Impostor, Resolver]]:
    """An impostor and somebody who asks it."""
    transport, server = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: Impostor(reply), local_addr=("127.0.0.1", 0)
    )
    resolver = Resolver(port=transport.get_extra_info("sockname")[1], timeout=timeout)
    try:
        yield server, resolver
    finally:
        await resolver.close()
        transport.close()


def silence(_query: bytes) -> list[bytes]:
    return []


def good_answer(query: bytes) -> bytes:
    message = dns.message.from_wire(query)
    answer = dns.message.make_response(message)
    answer.flags |= dns.flags.AD
    answer.answer.append(dns.rrset.from_text(message.question[0].name, 60, "IN", "A", "192.0.2.1"))
    return answer.to_wire()


async def test_a_lost_question_is_asked_again() -> None:
    def reply(query: bytes) -> list[bytes]:
        return [good_answer(query)] if len(server.asked) > 1 else []

    async with impostor(reply, timeout=1.0) as (server, resolver):
        assert (await ask(resolver, COUNTRY, A)).status is Status.ANSWER
        assert len(server.asked) == 2
        assert server.asked[0] == server.asked[1]


async def test_a_resolver_that_is_silent_times_out() -> None:
    async with impostor(silence, timeout=0.3) as (_, resolver):
        found = await ask(resolver, COUNTRY, A)
    assert found.status is Status.UNAVAILABLE
    assert "within 0.3 s" in found.detail


async def test_closing_ends_what_is_on_its_way() -> None:
    async with impostor(silence) as (server, resolver):
        task = asyncio.create_task(ask(resolver, COUNTRY, A))
        async with asyncio.timeout(5):
            while not server.asked:
                await asyncio.sleep(0.01)
        await resolver.close()
        assert (await task).status is Status.UNAVAILABLE


async def test_a_closed_resolver_may_be_asked_again() -> None:
    async with impostor(silence, timeout=0.3) as (_, resolver):
        for _ in range(2):
            task = asyncio.create_task(ask(resolver, COUNTRY, A))
            await asyncio.sleep(0)
            await resolver.close()
            assert (await task).status is Status.UNAVAILABLE
        async with asyncio.timeout(5):
            assert "within 0.3 s" in (await ask(resolver, COUNTRY, A)).detail


async def test_answers_to_other_questions_are_not_believed() -> None:
    def reply(query: bytes) -> list[bytes]:
        wrong_id = bytes([query[0] ^ 1]) + good_answer(query)[1:]
        wrong_name = good_answer(query).replace(b"\x07germany", b"\x07germanx")
        return [wrong_id, wrong_name, query, b"", b"\x00", good_answer(query)]

    async with impostor(reply) as (_, resolver):
        found = await ask(resolver, COUNTRY, A)
    assert (found.name, texts(found)) == (dns.name.from_text(COUNTRY), {"192.0.2.1"})


async def test_another_process_cannot_answer() -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as rogue:
        rogue.bind(("127.0.0.1", 0))

        def betray(data: bytes, addr: tuple[str, int]) -> None:
            rogue.sendto(good_answer(data), addr)

        async with impostor(silence, timeout=0.4) as (server, resolver):
            server.datagram_received = betray  # type: ignore[method-assign]
            assert (await ask(resolver, COUNTRY, A)).status is Status.UNAVAILABLE


async def test_ids_do_not_follow_one_another() -> None:
    async with impostor(lambda query: [good_answer(query)]) as (server, resolver):
        for _ in range(50):
            await ask(resolver, COUNTRY, A)
    ids = [int.from_bytes(query[:2]) for query in server.asked]
    assert len(set(ids)) > 45
    assert len({(after - before) % 65536 for before, after in pairwise(ids)}) > 40


async def test_a_port_where_nobody_listens() -> None:
    resolver = Resolver(port=free_port())
    found = await ask(resolver, COUNTRY, TLSA)
    await resolver.close()
    assert found.status is Status.UNAVAILABLE
    assert "refused" in found.detail
