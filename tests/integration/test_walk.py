"""The walk for a claim whose way is known: one round trip, and nothing is believed that is no longer so."""

import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from datetime import timedelta

import dns.name
import pytest
from dns.rdatatype import RdataType

from lightest_agents.dns.http import DaneClient
from lightest_agents.dns.lookups import Lookup, Resolver
from lightest_agents.trust.names import trust_domain
from lightest_agents.trust.notification import SignedNotification, parse
from lightest_agents.trust.trust_list import ServiceStatus
from lightest_agents.trust.verdict import LinkState, Reason, Refusal
from lightest_agents.verifier.claims import Claims
from lightest_agents.verifier.lists import ListCache, NoSequences
from lightest_agents.verifier.walk import ChainWalk
from tests.publisher import Publisher, Sensor
from tests.world import Break, World


class CountingResolver(Resolver):
    """Keeps nothing, and counts how often somebody waited for it."""

    waits = 0

    async def lookup_all(self, questions: Sequence[tuple[dns.name.Name, RdataType]]) -> list[Lookup]:
        self.waits += 1
        return await super().lookup_all(questions)


class Walker:
    def __init__(self, world: World) -> None:
        self.resolver = CountingResolver(port=world.resolver_port)
        self.client = DaneClient(self.resolver)
        self.walk = ChainWalk(
            self.resolver,
            ListCache(self.client, NoSequences()),
            Claims(trust_domain("raspidemo"), ()),
            max_age=timedelta(days=1),
            max_ahead=timedelta(minutes=1),
            clock=time.time,
        )

    async def follow(self, body: bytes) -> Reason | None:
        """Why the chain does not hold, if so; links 1 to 6 have their times."""
        signed = parse(body)
        assert isinstance(signed, SignedNotification)
        walked = await self.walk.follow(signed, time.time())
        if isinstance(walked.end, Refusal):
            return walked.end.reason
        links = walked.progress.trace().links[:6]
        assert all(link.state is LinkState.HELD and link.milliseconds is not None for link in links)
        return None


@pytest.fixture
def publisher(world: World) -> Iterator[Publisher]:
    with Publisher(world) as publisher:
        yield publisher


@pytest.fixture
async def walker(world: World) -> AsyncIterator[Walker]:
    walker = Walker(world)
    yield walker
    await walker.client.close()
    await walker.resolver.close()


async def test_a_known_way_takes_one_round_trip(publisher: Publisher, walker: Walker) -> None:
    sensor = Sensor()
    publisher.publish(sensor)
    assert await walker.follow(sensor.fault()) is None
    walker.resolver.waits = 0
    assert await walker.follow(sensor.fault()) is None
    assert walker.resolver.waits == 1
    assert publisher.asked(sensor) == 1


async def test_a_list_is_fetched_again_when_it_is_no_longer_fresh(
    publisher: Publisher, walker: Walker
) -> None:
    sensor = Sensor()
    publisher.max_age = 0
    publisher.publish(sensor)
    for _ in range(2):
        assert await walker.follow(sensor.fault()) is None
    assert publisher.asked(sensor) == 2


CHANGES: list[tuple[Callable[[World, Sensor], None], Reason]] = [
    (lambda world, sensor: world.remove(f"_scheme._trust.{sensor.claim}", "PTR"), Reason.CLAIM_UNKNOWN),
    (
        lambda world, sensor: world.set(
            f"_scheme._trust.{sensor.claim}", "PTR", "_scheme._trust.sensor1.trust.france.raspidemo."
        ),
        Reason.POINTER_OUTSIDE,
    ),
    (lambda world, sensor: world.remove(f"_scheme._trust.{sensor.scheme}", "URI"), Reason.SCHEME_MISSING),
    (
        lambda world, sensor: world.set(f"_scheme._trust.{sensor.scheme}", "URI", '10 1 "http://x/"'),
        Reason.URI_REFUSED,
    ),
    (
        lambda world, sensor: world.smimea(f"_scheme._trust.{sensor.scheme}", b"another signer"),
        Reason.LIST_SIGNER,
    ),
    (lambda world, _: world.break_zone("germany.raspidemo", Break.INSECURE), Reason.CLAIM_INSECURE),
    (lambda world, _: world.break_zone("germany.raspidemo", Break.EXPIRED), Reason.CLAIM_BOGUS),
    (lambda world, _: world.break_zone("trust.germany.raspidemo", Break.EXPIRED), Reason.SCHEME_BOGUS),
    (lambda world, _: world.stop_unbound(), Reason.CLAIM_UNAVAILABLE),
]


@pytest.mark.parametrize(("change", "reason"), CHANGES, ids=[reason.value for _, reason in CHANGES])
async def test_what_no_longer_holds_is_seen_on_a_known_way(
    world: World,
    publisher: Publisher,
    walker: Walker,
    change: Callable[[World, Sensor], None],
    reason: Reason,
) -> None:
    sensor = Sensor()
    publisher.publish(sensor)
    assert await walker.follow(sensor.fault()) is None
    change(world, sensor)
    assert await walker.follow(sensor.fault()) is reason


async def test_a_sensor_is_refused_after_the_publisher_was_asked(
    publisher: Publisher, walker: Walker
) -> None:
    sensor, successor = Sensor(), Sensor()
    publisher.publish(sensor)
    assert await walker.follow(sensor.fault()) is None
    publisher.publish(sensor, certificate=successor.certificate)
    assert await walker.follow(successor.fault()) is None
    assert await walker.follow(sensor.fault()) is Reason.SIGNATURE_INVALID
    publisher.publish(sensor, status=ServiceStatus.WITHDRAWN)
    assert await walker.follow(sensor.fault()) is Reason.SENSOR_WITHDRAWN
