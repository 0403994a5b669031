"""What an attacker can do on the path to a name server, or as one, and what a careless operator can."""

import itertools
from collections.abc import Sequence
from hashlib import sha256

import dns.dnssec
import dns.dnssectypes
import dns.message
import dns.name
import dns.rdatatype
import dns.rrset
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from lightest_agents.trust.verdict import Reason
from tests.interceptor import Tamper
from tests.publisher import Publisher, Sensor
from tests.system import System, honest
from tests.world import TTL, Break, World

COUNTRY, SCHEME = "germany.raspidemo", "trust.germany.raspidemo"


def impersonate(zone: str, forged: Sequence[dns.rrset.RRset]) -> Tamper:
    """A rogue name server: as the true one, but for `forged`, which it signs with a zone key of its own."""
    origin = dns.name.from_text(zone)
    key = ec.generate_private_key(ec.SECP256R1())
    dnskey = dns.dnssec.make_dnskey(key.public_key(), dns.dnssectypes.Algorithm.ECDSAP256SHA256, flags=257)
    records = {(rrset.name, rrset.rdtype): rrset for rrset in forged}
    records[origin, dns.rdatatype.DNSKEY] = dns.rrset.from_rdata(origin, TTL, dnskey)

    def answer(query: dns.message.Message, true: dns.message.Message) -> dns.message.Message:
        rrset = records.get((query.question[0].name, query.question[0].rdtype))
        if rrset is not None:
            rrsig = dns.dnssec.sign(rrset, key, origin, dnskey, lifetime=3600)
            true.answer[:] = [rrset, dns.rrset.from_rdata(rrset.name, rrset.ttl, rrsig)]
            true.authority.clear()
        return true

    return answer


@pytest.mark.parametrize(
    ("zone", "how", "reason"),
    [
        (COUNTRY, Break.STRIPPED, Reason.CLAIM_BOGUS),
        (COUNTRY, Break.EXPIRED, Reason.CLAIM_BOGUS),
        (SCHEME, Break.STRIPPED, Reason.SCHEME_BOGUS),
        (SCHEME, Break.EXPIRED, Reason.SCHEME_BOGUS),
    ],
    ids=str,
)
def test_a_zone_whose_signatures_do_not_hold_delays_the_alarm_but_does_not_stop_it(
    system: System, world: World, sensor: Sensor, zone: str, how: Break, reason: Reason
) -> None:
    world.break_zone(zone, how)
    fault = system.refused(sensor.fault(), reason)
    world.intercept(zone, honest)
    system.accepted(fault["id"])


@pytest.mark.parametrize(
    ("zone", "reason"), [(COUNTRY, Reason.CLAIM_INSECURE), (SCHEME, Reason.SCHEME_INSECURE)]
)
def test_an_insecure_delegation(
    system: System, world: World, sensor: Sensor, zone: str, reason: Reason
) -> None:
    world.break_zone(zone, Break.INSECURE)
    system.refused(sensor.fault(), reason)


def test_a_rogue_server_of_the_country_points_to_another_scheme(
    system: System, world: World, sensor: Sensor
) -> None:
    pointer = dns.rrset.from_text(
        f"_scheme._trust.{sensor.claim}.", TTL, "IN", "PTR", f"_scheme._trust.mallory.{SCHEME}."
    )
    world.intercept(COUNTRY, impersonate(COUNTRY, [pointer]))
    fault = system.refused(sensor.fault(), Reason.CLAIM_BOGUS)
    world.intercept(COUNTRY, honest)
    system.accepted(fault["id"])


def test_a_rogue_server_of_the_scheme_leads_to_a_list_of_its_own(
    system: System, world: World, publisher: Publisher, sensor: Sensor
) -> None:
    """All that is missing to the attacker is the zone's key: list, host and supplier are ready."""
    twin = Sensor(sensor.label)
    with Publisher(world, "mallory") as mallory:
        mallory.publish(twin, suppliers=[system.entry], records=False)
        place = f"_scheme._trust.{sensor.scheme}."
        location = dns.rrset.from_text(place, TTL, "IN", "URI", f'10 1 "{mallory.url(twin)}"')
        digest = sha256(mallory.signer.der).hexdigest()
        signer = dns.rrset.from_text(place, TTL, "IN", "SMIMEA", f"3 0 1 {digest}")
        world.intercept(SCHEME, impersonate(SCHEME, [location, signer]))
        fault = system.refused(twin.fault(), Reason.SCHEME_BOGUS)
        world.intercept(SCHEME, honest)
        system.check_refused(system.verifier.wait(fault["id"]), Reason.SIGNATURE_INVALID)
        assert mallory.requests == []


# Pointers


@pytest.mark.parametrize(
    "target",
    [
        "_scheme._trust.{label}.trust.france.raspidemo.",
        "_scheme._trust.{label}.eviltrust.germany.raspidemo.",
        "_scheme._trust.{label}.trust.germany.raspidemo.evil.",
        "_scheme._trust.{label}.germany.raspidemo.",
        "{label}.trust.germany.raspidemo.",
        ".",
    ],
)
def test_a_pointer_out_of_the_allowed_scheme_zones(
    system: System, world: World, publisher: Publisher, sensor: Sensor, target: str
) -> None:
    """Where it leads to, all is there that the true scheme has."""
    name = target.format(label=sensor.label)
    world.set(f"_scheme._trust.{sensor.claim}", "PTR", name)
    if name.endswith(".raspidemo."):
        world.set(name, "URI", f'10 1 "{publisher.url(sensor)}"')
        world.smimea(name, publisher.signer.der)
    system.refused(sensor.fault(), Reason.POINTER_OUTSIDE)


def test_pointers_in_a_circle(system: System, world: World, sensor: Sensor) -> None:
    places = [f"_scheme._trust.{name}.{SCHEME}" for name in (f"{sensor.label}-a", f"{sensor.label}-b")]
    point(world, f"_scheme._trust.{sensor.claim}", *places, places[0])
    fault = system.refused(sensor.fault(), Reason.POINTER_LOOP)
    assert fault["detail"] == f"the pointers lead back to {places[0]}"


@pytest.mark.parametrize(("pointers", "reason"), [(8, None), (9, Reason.POINTER_LOOP)])
def test_pointers_too_many_in_a_row(
    system: System, world: World, sensor: Sensor, pointers: int, reason: Reason | None
) -> None:
    between = [f"_scheme._trust.{sensor.label}-{n}.{SCHEME}" for n in range(pointers - 1)]
    point(world, f"_scheme._trust.{sensor.claim}", *between, f"_scheme._trust.{sensor.scheme}")
    if reason is None:
        system.accepted(system.verifier.raise_fault(sensor.fault()))
    else:
        system.refused(sensor.fault(), reason)


def point(world: World, *places: str) -> None:
    """Let each place point to the next one."""
    for place, following in itertools.pairwise(places):
        world.set(place, "PTR", f"{following}.")


# The records of the list's host


def test_no_tlsa_record(system: System, world: World, publisher: Publisher, sensor: Sensor) -> None:
    world.remove(f"_{publisher.port}._tcp.{publisher.name}", "TLSA")
    system.refused(sensor.fault(), Reason.TLSA_MISSING)
    assert publisher.requests == []


@pytest.mark.parametrize(
    ("how", "reason"), [(Break.INSECURE, Reason.TLSA_INSECURE), (Break.STRIPPED, Reason.TLSA_BOGUS)], ids=str
)
def test_a_tlsa_record_that_nobody_vouches_for(
    system: System, world: World, how: Break, reason: Reason
) -> None:
    sensor = system.new_sensor()
    with Publisher(world, "tspa.france") as publisher:
        publisher.publish(sensor, suppliers=[system.entry])
        world.break_zone("france.raspidemo", how)
        fault = system.refused(sensor.fault(), reason)
        assert publisher.requests == []
        if fault["status"] == "deferred":
            world.intercept("france.raspidemo", honest)
            system.accepted(fault["id"])
