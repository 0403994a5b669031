"""What a manufacturer or a publisher can do who has gone bad; lists come from a real TSPA."""

import asyncio
import json
import sqlite3
from contextlib import closing

import dns.query
import dns.rcode
import dns.update
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from lightest_agents.dns.http import DaneClient, Response
from lightest_agents.dns.lookups import Resolver
from lightest_agents.dns.updates import UpdateKey
from lightest_agents.trust.verdict import Reason
from tests.publisher import Sensor
from tests.system import System
from tests.tspa_process import TspaProcess
from tests.unit.tspa.certificates import make_certificate
from tests.world import TTL, World

COUNTRY, SCHEME = "germany.raspidemo", "trust.germany.raspidemo"


def test_a_sensor_that_its_manufacturer_has_withdrawn(
    system: System, tspa: TspaProcess, listed: Sensor
) -> None:
    assert tspa.call("withdraw", listed.claim, "--reason", "stolen").returncode == 0
    system.refused(listed.fault(), Reason.SENSOR_WITHDRAWN)
    assert tspa.call("restore", listed.claim, "--reason", "found").returncode == 0
    system.accepted(system.verifier.raise_fault(listed.fault()))


@pytest.mark.parametrize("action", ["certificate", "suppliers", "withdraw"])
def test_a_manufacturer_who_writes_about_anothers_sensor_leaves_an_audit_entry_and_no_other_trace(
    system: System, tspa: TspaProcess, listed: Sensor, action: str
) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    bodies: dict[str, dict[str, object]] = {
        "certificate": {"certificate": make_certificate(listed.claim, key=key).decode()},
        "suppliers": {"suppliers": ["supplier2"]},
        "withdraw": {"reason": "sabotage"},
    }
    document, (database, audit) = get_list(system, tspa, listed), contents(tspa)
    answer = request(
        system,
        "POST" if action == "withdraw" else "PUT",
        f"{tspa.url}/v1/sensors/{listed.claim}/{action}",
        json.dumps(bodies[action]).encode(),
        (tspa.folder / "bolt.token").read_text().strip(),
    )
    assert (answer.status, json.loads(answer.body)["reason"]) == (403, "forbidden")

    database_after, audit_after = contents(tspa)
    assert get_list(system, tspa, listed) == document
    assert database_after == database
    assert audit_after[:-1] == audit
    assert audit_after[-1] == ("manufacturer:bolt", action, listed.claim, "refused")
    system.refused(listed.fault(key=key), Reason.SIGNATURE_INVALID)
    system.accepted(system.verifier.raise_fault(listed.fault()))


def request(system: System, method: str, url: str, body: bytes = b"", token: str = "") -> Response:
    """One request to the TSPA, whose key the DNS names."""

    async def send() -> Response:
        resolver = Resolver(port=system.world.resolver_port)
        client = DaneClient(resolver)
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}
        try:
            return await client.request(method, url, body=body, headers=headers if token else None)
        finally:
            await client.close()
            await resolver.close()

    return asyncio.run(send())


def get_list(system: System, tspa: TspaProcess, sensor: Sensor) -> bytes:
    """The sensor's list as it is served."""
    answer = request(system, "GET", tspa.list_url(sensor.claim))
    assert answer.status == 200
    return answer.body


def contents(tspa: TspaProcess) -> tuple[list[str], list[tuple[str, str, str, str]]]:
    """All that the TSPA keeps: the database without the audit, and the audit."""
    with closing(sqlite3.connect(f"file:{tspa.folder}/tspa.sqlite3?mode=ro", uri=True)) as database:
        kept = [line for line in database.iterdump() if "tspa_auditentry" not in line]
        audit = database.execute("SELECT actor, action, target, outcome FROM tspa_auditentry ORDER BY id")
        return kept, audit.fetchall()


# Keys for updates


FORGED = {
    "PTR": f"_scheme._trust.mallory.{SCHEME}.",
    "TLSA": f"3 1 1 {'0' * 64}",
    "URI": '10 1 "https://mallory.raspidemo/"',
    "SMIMEA": f"3 0 1 {'0' * 64}",
    "DS": f"1 13 2 {'0' * 64}",
    "NS": "mallory.raspidemo.",
    "A": "127.0.0.1",
}


def test_the_key_of_the_scheme_zone_writes_nothing_into_the_country_zone(
    system: System, world: World, listed: Sensor
) -> None:
    for rdtype in FORGED:
        owner = f"{SCHEME}." if rdtype in ("DS", "NS") else f"_scheme._trust.{listed.claim}."
        assert update(world, f"scheme.{SCHEME}", COUNTRY, owner, rdtype) == dns.rcode.REFUSED, rdtype
    system.accepted(system.verifier.raise_fault(listed.fault()))


def test_the_key_of_the_scheme_zone_writes_nothing_but_locations_and_signers(world: World) -> None:
    owner = f"_scheme._trust.mallory.{SCHEME}."
    taken = {rdtype for rdtype in FORGED if not update(world, f"scheme.{SCHEME}", SCHEME, owner, rdtype)}
    assert taken == {"URI", "SMIMEA"}


def test_the_operators_key_writes_no_locations_into_the_scheme_zone(world: World) -> None:
    owner = f"_scheme._trust.mallory.{SCHEME}."
    assert update(world, f"operator.{SCHEME}", SCHEME, owner, "URI") == dns.rcode.REFUSED


def update(world: World, key: str, zone: str, owner: str, rdtype: str) -> dns.rcode.Rcode:
    """What the name server says to a forged RRset under a TSIG key."""
    message = dns.update.UpdateMessage(zone, keyring=UpdateKey.read(world.key_file(key)).tsig)
    message.replace(owner, TTL, rdtype, FORGED[rdtype])
    answer = dns.query.tcp(message, "127.0.0.1", port=world.named_port, timeout=10)
    world.flush()
    return answer.rcode()
