"""Signed updates against a real BIND, and against servers that lie."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import dns.message
import dns.name
import dns.rcode
import dns.rdata
import dns.rdatatype
import dns.tsig
import pytest
from dns.rdatatype import NS, SMIMEA, URI, A, RdataType

from lightest_agents.dns.errors import UpdateError
from lightest_agents.dns.lookups import Resolver, Status
from lightest_agents.dns.updates import UpdateKey, replace_rrsets
from tests.world import World, free_port

ZONE = dns.name.from_text("trust.germany.raspidemo")
OWNER = dns.name.from_text("_scheme._trust.sensor1", ZONE)
LIST = '10 1 "https://tspa.raspidemo/lists/germany/sensor1"'
SIGNER = f"3 0 1 {'ab' * 32}"


def rdata(rdtype: RdataType, text: str) -> dns.rdata.Rdata:
    return dns.rdata.from_text("IN", rdtype, text)


def scheme_key(world: World) -> UpdateKey:
    return UpdateKey.read(world.key_file("scheme.trust.germany.raspidemo"))


async def update(
    world: World,
    rrsets: dict[tuple[dns.name.Name, RdataType], list[dns.rdata.Rdata]],
    *,
    zone: dns.name.Name = ZONE,
    key: UpdateKey | None = None,
    port: int = 0,
) -> None:
    await replace_rrsets(
        zone, "127.0.0.1", port or world.named_port, key or scheme_key(world), rrsets, ttl=60, timeout=5
    )


async def published(world: World, rdtype: RdataType) -> list[str]:
    world.flush()
    resolver = Resolver(port=world.resolver_port)
    found = await resolver.lookup(OWNER, rdtype)
    await resolver.close()
    assert found.status in (Status.ANSWER, Status.NODATA, Status.NXDOMAIN), found.detail
    assert found.ttl <= 60
    return sorted(record.to_text() for record in found.rrset or ())


async def test_rrsets_are_replaced_and_removed_in_one_message(world: World) -> None:
    other = LIST.replace("tspa", "tspa2")
    await update(world, {(OWNER, URI): [rdata(URI, LIST)], (OWNER, SMIMEA): [rdata(SMIMEA, SIGNER)]})
    assert await published(world, URI) == [LIST]
    assert await published(world, SMIMEA) == [SIGNER]
    await update(world, {(OWNER, URI): [rdata(URI, LIST), rdata(URI, other)], (OWNER, SMIMEA): []})
    assert await published(world, URI) == [LIST, other]
    assert await published(world, SMIMEA) == []
    await update(world, {(OWNER, URI): [rdata(URI, other)]})
    assert await published(world, URI) == [other]


async def test_the_same_again_changes_nothing(world: World) -> None:
    rrsets = {(OWNER, URI): [rdata(URI, LIST)]}
    await update(world, rrsets)
    await update(world, rrsets)
    assert await published(world, URI) == [LIST]
    await update(world, {(OWNER, URI): []})
    await update(world, {(OWNER, URI): []})
    assert await published(world, URI) == []


async def test_what_the_key_may_not_write_hinders_all(world: World) -> None:
    with pytest.raises(UpdateError, match="update policy") as refused:
        await update(world, {(OWNER, URI): [rdata(URI, LIST)], (ZONE, NS): [rdata(NS, "evil.raspidemo.")]})
    assert refused.value.rcode == "REFUSED"
    assert await published(world, URI) == []


@pytest.mark.parametrize("zone", ["germany.raspidemo", "trust.france.raspidemo", "raspidemo"])
async def test_the_key_of_one_scheme_writes_no_other_zone(world: World, zone: str) -> None:
    name = dns.name.from_text(zone)
    owner = dns.name.from_text("_scheme._trust.sensor1", name)
    with pytest.raises(UpdateError, match="REFUSED"):
        await update(world, {(owner, URI): [rdata(URI, LIST)]}, zone=name)


async def test_a_zone_the_server_does_not_have(world: World) -> None:
    zone = dns.name.from_text("poland.raspidemo")
    with pytest.raises(UpdateError, match="not the primary server") as refused:
        await update(world, {(dns.name.from_text("x", zone), URI): [rdata(URI, LIST)]}, zone=zone)
    assert refused.value.rcode == "NOTAUTH"


async def test_a_name_outside_the_zone(world: World) -> None:
    owner = dns.name.from_text("tspa.raspidemo")
    with pytest.raises(UpdateError, match="outside the zone"):
        await update(world, {(owner, A): [rdata(A, "192.0.2.1")]})


def other_key(folder: Path, name: str, secret: str) -> UpdateKey:
    path = folder / "other.key"
    path.write_text(f'key "{name}" {{ algorithm hmac-sha256; secret "{secret}"; }};')
    return UpdateKey.read(path)


@pytest.mark.parametrize(
    ("name", "rcode", "advice"),
    [
        ("unknown", "BADKEY", "does not know the key"),
        ("scheme.trust.germany.raspidemo", "BADSIG", "another secret"),
    ],
)
async def test_a_key_that_is_not_the_servers(
    world: World, tmp_path: Path, name: str, rcode: str, advice: str
) -> None:
    key = other_key(tmp_path, name, "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")
    with pytest.raises(UpdateError, match=advice) as refused:
        await update(world, {(OWNER, URI): [rdata(URI, LIST)]}, key=key)
    assert refused.value.rcode == rcode
    assert "AAAA" not in str(refused.value)
    assert await published(world, URI) == []


async def test_a_server_that_is_down(world: World) -> None:
    with pytest.raises(UpdateError, match="cannot be reached"):
        await update(world, {(OWNER, URI): [rdata(URI, LIST)]}, port=free_port())


Reply = Callable[[dns.message.Message], bytes]


async def with_liar(reply: Reply, act: Callable[[int], Awaitable[None]]) -> None:
    """Do something against a server that answers every update with `reply`."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            wire = await reader.readexactly(int.from_bytes(await reader.readexactly(2)))
            answer = reply(dns.message.from_wire(wire, keyring=False))
            if answer:
                writer.write(len(answer).to_bytes(2) + answer)
        finally:
            writer.close()
            await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        await act(server.sockets[0].getsockname()[1])


def unsigned(query: dns.message.Message) -> bytes:
    return dns.message.make_response(query).to_wire()


def wrongly_signed(query: dns.message.Message) -> bytes:
    answer = dns.message.make_response(query)
    answer.use_tsig(dns.tsig.Key("scheme.trust.germany.raspidemo", "AAAA", "hmac-sha256"))
    return answer.to_wire()


@pytest.mark.parametrize("reply", [unsigned, wrongly_signed, lambda _: b"garbage", lambda _: b""])
async def test_an_answer_that_the_key_does_not_sign_proves_nothing(world: World, reply: Reply) -> None:
    async def act(port: int) -> None:
        with pytest.raises(UpdateError) as refused:
            await update(world, {(OWNER, URI): [rdata(URI, LIST)]}, port=port)
        assert refused.value.rcode == ""

    await with_liar(reply, act)
