"""The verifier as a process, between a real DNS, a publisher and suppliers over real TLS."""

import base64
import itertools
import json
import resource
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import dns.name
import dns.rdatatype
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from lightest_agents.dns.http import DaneClient
from lightest_agents.dns.lookups import Resolver
from lightest_agents.trust.names import trust_domain
from lightest_agents.trust.trust_list import ServiceStatus
from lightest_agents.trust.verdict import Reason, Refusal
from lightest_agents.verifier.claims import Claims
from lightest_agents.verifier.lists import ListCache, NoSequences, UsableList
from lightest_agents.verifier.store import FILE_NAME
from tests.publisher import Publisher, Sensor, utc_now
from tests.supplier_stub import SupplierStub
from tests.verifier_process import VerifierProcess, signs
from tests.world import World

P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


@pytest.fixture
def publisher(world: World) -> Iterator[Publisher]:
    with Publisher(world) as publisher:
        yield publisher


@pytest.fixture
def supplier(world: World) -> Iterator[SupplierStub]:
    with SupplierStub(world) as supplier:
        yield supplier


@pytest.fixture(scope="module")
def labels() -> Iterator[str]:
    """No label is used twice, so that what a verifier keeps from one test is of no use in the next."""
    return (f"sensor{number}" for number in itertools.count(1))


@pytest.fixture
def sensor(publisher: Publisher, supplier: SupplierStub, labels: Iterator[str]) -> Sensor:
    """A sensor that is listed with one supplier."""
    sensor = Sensor(next(labels))
    publisher.publish(sensor, suppliers=[supplier.entry])
    return sensor


@pytest.fixture(scope="module")
def verifier(running_world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[VerifierProcess]:
    """A process for all tests that let it run."""
    with VerifierProcess(running_world, tmp_path_factory.mktemp("verifier")) as verifier:
        yield verifier


@pytest.fixture
def own_verifier(world: World, tmp_path: Path) -> Iterator[VerifierProcess]:
    """A process to be stopped, killed or starved."""
    with VerifierProcess(world, tmp_path) as verifier:
        yield verifier


def wait_for(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def same_signature_otherwise(body: bytes) -> bytes:
    """Another valid signature of the same payload: (r, n - s) for (r, s)."""
    head, payload, signature = body.split(b".")
    octets = base64.urlsafe_b64decode(signature + b"==")
    s = P256_ORDER - int.from_bytes(octets[32:])
    rewritten = base64.urlsafe_b64encode(octets[:32] + s.to_bytes(32)).rstrip(b"=")
    return b".".join((head, payload, rewritten))


# The chain holds


def test_all_seven_links_hold_and_the_supplier_hears_of_it(
    verifier: VerifierProcess, sensor: Sensor, supplier: SupplierStub
) -> None:
    fault = verifier.decide(sensor.fault(31.5))
    assert signs(fault) == "hhhhhhh", fault
    assert (fault["status"], fault["supplier"], fault["reason"]) == ("accepted", "supplier1", None)
    assert all(link["milliseconds"] is not None for link in fault["trace"])
    (alarm,) = supplier.alarms
    assert alarm.iss == "verifier.raspidemo"
    assert (alarm.fault_id, alarm.claim) == (fault["id"], sensor.claim)
    assert alarm.measurement[0].value == 31.5
    assert alarm.trace == f"{verifier.url}/v1/faults/{fault['id']}"
    assert supplier.signers == [verifier.signer.der]


def test_the_chain_holds_through_a_second_pointer(
    world: World, verifier: VerifierProcess, publisher: Publisher, sensor: Sensor
) -> None:
    first, second = (f"_scheme._trust.{label}.trust.germany.raspidemo" for label in ("fleet", sensor.label))
    world.set(f"_scheme._trust.{sensor.claim}", "PTR", f"{first}.")
    world.set(first, "PTR", f"{second}.")
    assert verifier.decide(sensor.fault())["status"] == "accepted"


def test_all_pointers_and_all_locations_are_tried(
    world: World, verifier: VerifierProcess, publisher: Publisher, sensor: Sensor
) -> None:
    scheme = f"_scheme._trust.{sensor.scheme}"
    lost = "_scheme._trust.aaa.trust.germany.raspidemo"
    world.set(f"_scheme._trust.{sensor.claim}", "PTR", f"{lost}.", f"{scheme}.")
    missing = f"https://{publisher.name}:{publisher.port}/lists/nobody"
    world.set(scheme, "URI", f'20 1 "{publisher.url(sensor)}"', f'10 1 "{missing}"', '5 1 "http://x/"')
    assert verifier.decide(sensor.fault())["status"] == "accepted"
    assert [request.path for request in publisher.requests] == ["/lists/nobody", publisher.path(sensor)]


def test_suppliers_are_called_in_order_until_one_takes_the_alarm(
    world: World, verifier: VerifierProcess, publisher: Publisher, labels: Iterator[str]
) -> None:
    sensor = Sensor(next(labels))
    away = SupplierStub(world, "away", available=False)
    down = SupplierStub(world, "down")
    with SupplierStub(world, "refuses") as refuses, SupplierStub(world, "takes") as takes:
        refuses.status = 403
        publisher.publish(sensor, suppliers=[away.entry, down.entry, refuses.entry, takes.entry])
        fault = verifier.decide(sensor.fault())
        assert (fault["status"], fault["supplier"]) == ("accepted", "takes")
        assert takes.fault_ids == [fault["id"]]


def test_a_burst_of_faults_does_not_drive_alarms_to_the_next_supplier(
    world: World,
    verifier: VerifierProcess,
    publisher: Publisher,
    supplier: SupplierStub,
    labels: Iterator[str],
) -> None:
    sensors = [Sensor(next(labels)) for _ in range(40)]
    with SupplierStub(world, "second") as second:
        for sensor in sensors:
            publisher.publish(sensor, suppliers=[supplier.entry, second.entry])
        supplier.held = True
        names = [verifier.raise_fault(sensor.fault()) for sensor in sensors]
        wait_for(lambda: len(supplier.alarms) == 16 and publisher.asked(sensors[-1]))
        supplier.held = False
        assert {verifier.wait(name)["supplier"] for name in names} == {"supplier1"}
        assert sorted(supplier.fault_ids) == sorted(names)
        assert second.alarms == []


# Pointers and schemes that do not lead to a list


@pytest.mark.parametrize(
    "target",
    [
        "_scheme._trust.sensor.trust.france.raspidemo.",
        "_scheme._trust.sensor.eviltrust.germany.raspidemo.",
        "_scheme._trust.germany.raspidemo.",
        "sensor.trust.germany.raspidemo.",
        "_scheme._trust.",
        ".",
    ],
)
def test_a_pointer_out_of_the_scheme_zones_is_refused(
    world: World, verifier: VerifierProcess, labels: Iterator[str], target: str
) -> None:
    sensor = Sensor(next(labels))
    world.set(f"_scheme._trust.{sensor.claim}", "PTR", target)
    fault = verifier.decide(sensor.fault())
    assert (fault["status"], fault["reason"], signs(fault)) == ("rejected", "pointer-outside", "hhbnnnn")


def test_a_further_scheme_zone_can_be_allowed(
    world: World, tmp_path: Path, publisher: Publisher, sensor: Sensor
) -> None:
    scheme = f"_scheme._trust.{sensor.label}.trust.france.raspidemo"
    world.set(f"_scheme._trust.{sensor.claim}", "PTR", f"{scheme}.")
    world.set(scheme, "URI", f'10 1 "{publisher.url(sensor)}"')
    world.smimea(scheme, publisher.signer.der)
    with VerifierProcess(world, tmp_path, 'scheme_zones = ["trust.france.raspidemo"]') as verifier:
        assert verifier.decide(sensor.fault())["status"] == "accepted"


def test_pointers_in_a_circle_are_refused(world: World, verifier: VerifierProcess, sensor: Sensor) -> None:
    one, two = (f"_scheme._trust.{label}.trust.germany.raspidemo" for label in ("one", "two"))
    world.set(f"_scheme._trust.{sensor.claim}", "PTR", f"{one}.")
    world.set(one, "PTR", f"{two}.")
    world.set(two, "PTR", f"{one}.")
    fault = verifier.decide(sensor.fault())
    assert (fault["status"], fault["reason"], signs(fault)) == ("rejected", "pointer-loop", "hhbnnnn")


def test_more_than_eight_pointers_are_refused(
    world: World, verifier: VerifierProcess, sensor: Sensor
) -> None:
    places = [f"_scheme._trust.p{number}.trust.germany.raspidemo" for number in range(9)]
    world.set(f"_scheme._trust.{sensor.claim}", "PTR", f"{places[0]}.")
    for place, following in itertools.pairwise(places):
        world.set(place, "PTR", f"{following}.")
    assert verifier.decide(sensor.fault())["reason"] == "pointer-loop"


def test_a_claim_without_pointer_is_refused(
    world: World, verifier: VerifierProcess, labels: Iterator[str]
) -> None:
    unknown, without = Sensor(next(labels)), Sensor(next(labels))
    fault = verifier.decide(unknown.fault())
    assert (fault["reason"], signs(fault)) == ("claim-unknown", "hbnnnnn")
    world.set(f"_scheme._trust.{without.claim}", "TXT", "nothing")
    fault = verifier.decide(without.fault())
    assert (fault["reason"], signs(fault)) == ("pointer-missing", "hhbnnnn")


@pytest.mark.parametrize("missing", ["URI", "SMIMEA"])
def test_a_scheme_without_its_records_is_refused(
    world: World, verifier: VerifierProcess, sensor: Sensor, missing: str
) -> None:
    world.remove(f"_scheme._trust.{sensor.scheme}", missing)
    fault = verifier.decide(sensor.fault())
    assert (fault["status"], fault["reason"], signs(fault)) == ("rejected", "scheme-missing", "hhhbnnn")


# Once and only once


def test_the_same_notification_again_is_the_same_fault(
    verifier: VerifierProcess, sensor: Sensor, supplier: SupplierStub
) -> None:
    body = sensor.fault()
    fault = verifier.decide(body)
    answer = verifier.send(body)
    assert (answer.status, answer.json["id"], answer.json["status"]) == (202, fault["id"], "accepted")
    assert supplier.fault_ids == [fault["id"]]


def test_the_same_notification_with_another_signature_is_a_replay(
    verifier: VerifierProcess, sensor: Sensor, supplier: SupplierStub
) -> None:
    body = sensor.fault()
    first = verifier.decide(body)
    second = verifier.decide(same_signature_otherwise(body))
    assert first["id"] != second["id"]
    assert (second["status"], second["reason"], signs(second)) == ("rejected", "replayed", "hhhhhbn")
    assert supplier.fault_ids == [first["id"]]


def test_a_replay_is_known_after_a_restart(
    own_verifier: VerifierProcess, sensor: Sensor, supplier: SupplierStub
) -> None:
    body = sensor.fault()
    own_verifier.decide(body)
    own_verifier.kill()
    own_verifier.start()
    assert own_verifier.decide(same_signature_otherwise(body))["reason"] == "replayed"
    assert len(supplier.alarms) == 1


# Nothing is lost


def test_faults_survive_a_kill_while_the_list_is_fetched(
    own_verifier: VerifierProcess, publisher: Publisher, sensor: Sensor, supplier: SupplierStub
) -> None:
    publisher.held = True
    names = [own_verifier.raise_fault(sensor.fault()) for _ in range(20)]
    wait_for(lambda: publisher.requests)
    own_verifier.kill()
    publisher.held = False
    own_verifier.start()
    assert {own_verifier.wait(name)["status"] for name in names} == {"accepted"}
    assert sorted(supplier.fault_ids) == sorted(names)


def test_faults_survive_a_kill_while_the_supplier_is_told(
    own_verifier: VerifierProcess, sensor: Sensor, supplier: SupplierStub
) -> None:
    supplier.held = True
    names = [own_verifier.raise_fault(sensor.fault()) for _ in range(20)]
    wait_for(lambda: supplier.alarms)
    own_verifier.kill()
    supplier.held = False
    own_verifier.start()
    assert {own_verifier.wait(name)["status"] for name in names} == {"accepted"}
    # Nobody can know whether the first one's answer was lost: it is told again, under the same id.
    assert supplier.fault_ids[0] == names[0]
    assert sorted(supplier.fault_ids[1:]) == sorted(names)


def test_faults_survive_a_kill_while_they_are_deferred(
    world: World, own_verifier: VerifierProcess, sensor: Sensor, supplier: SupplierStub
) -> None:
    world.stop_unbound()
    names = [own_verifier.raise_fault(sensor.fault()) for _ in range(5)]
    for name in names:
        fault = own_verifier.wait(name, "deferred")
        assert (fault["reason"], signs(fault)) == ("claim-unavailable", "hwnnnnn")
    own_verifier.kill()
    world.start_unbound()
    own_verifier.start()
    assert {own_verifier.wait(name)["status"] for name in names} == {"accepted"}
    assert sorted(supplier.fault_ids) == sorted(names)


def test_a_fault_waits_for_the_publisher_and_for_the_supplier(
    verifier: VerifierProcess, publisher: Publisher, sensor: Sensor, supplier: SupplierStub
) -> None:
    publisher.stop()
    supplier.stop()
    name = verifier.raise_fault(sensor.fault())
    fault = verifier.wait(name, "deferred")
    assert (fault["reason"], signs(fault)) == ("publisher-unreachable", "hhhwnnn")
    assert fault["next_attempt"] is not None
    publisher.start()
    wait_for(lambda: verifier.fault(name)["reason"] == "supplier-unreachable")
    assert signs(verifier.fault(name)) == "hhhhhhw"
    supplier.start()
    fault = verifier.wait(name)
    assert (fault["status"], fault["reason"], fault["next_attempt"]) == ("accepted", None, None)
    assert fault["attempts"] > 2
    assert supplier.fault_ids == [name]


def test_a_fault_waits_for_a_supplier_to_be_there(
    own_verifier: VerifierProcess, publisher: Publisher, sensor: Sensor, supplier: SupplierStub
) -> None:
    publisher.publish(sensor)
    name = own_verifier.raise_fault(sensor.fault())
    assert own_verifier.wait(name, "deferred")["reason"] == "supplier-none-available"
    publisher.max_age = 0
    publisher.publish(sensor, suppliers=[supplier.entry])
    supplier.status = 403
    own_verifier.stop()
    own_verifier.start()
    wait_for(lambda: own_verifier.fault(name)["reason"] == "supplier-refused")
    supplier.status = 202
    assert own_verifier.wait(name)["status"] == "accepted"


def test_a_fault_is_given_up_in_the_end(
    world: World, tmp_path: Path, publisher: Publisher, sensor: Sensor
) -> None:
    publisher.stop()
    with VerifierProcess(world, tmp_path, "retry_first = 0.1\nretry_for = 0.5") as verifier:
        fault = verifier.wait(verifier.raise_fault(sensor.fault()))
    assert (fault["status"], fault["reason"], signs(fault)) == (
        "rejected",
        "publisher-unreachable",
        "hhhbnnn",
    )
    assert "given up after" in fault["detail"]


def test_a_full_inbox_takes_no_more_and_forgets_nothing(
    world: World, tmp_path: Path, sensor: Sensor, supplier: SupplierStub
) -> None:
    with VerifierProcess(world, tmp_path, "inbox_limit = 3") as verifier:
        world.stop_unbound()
        bodies = [sensor.fault() for _ in range(4)]
        names = [verifier.raise_fault(body) for body in bodies[:3]]
        full = verifier.send(bodies[3])
        assert (full.status, full.json["reason"]) == (429, "inbox-full")
        assert int(full.headers["Retry-After"]) > 0
        assert verifier.raise_fault(bodies[0]) == names[0], "one that is there is not refused"
        world.start_unbound()
        assert {verifier.wait(name)["status"] for name in names} == {"accepted"}
        names.append(verifier.raise_fault(bodies[3]))
        assert verifier.wait(names[3])["status"] == "accepted"
    assert sorted(supplier.fault_ids) == sorted(names)


def test_a_disk_that_takes_no_more_loses_nothing_and_heals(
    own_verifier: VerifierProcess, sensor: Sensor, supplier: SupplierStub
) -> None:
    names = [own_verifier.decide(sensor.fault())["id"]]
    write_ahead_log = own_verifier.state / f"{FILE_NAME}-wal"
    _, most = resource.prlimit(own_verifier.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(own_verifier.pid, resource.RLIMIT_FSIZE, (write_ahead_log.stat().st_size + 20_000, most))
    refused: list[bytes] = []
    while not refused:
        body = sensor.fault()
        answer = own_verifier.send(body)
        if answer.status == 202:
            names.append(answer.json["id"])
        else:
            assert (answer.status, answer.json["reason"]) == (503, "inbox-unavailable")
            assert int(answer.headers["Retry-After"]) > 0
            refused.append(body)
    resource.prlimit(own_verifier.pid, resource.RLIMIT_FSIZE, (1, most))
    assert own_verifier.request("GET", "/readyz").status == 503
    assert own_verifier.request("GET", "/healthz").status == 200
    resource.prlimit(own_verifier.pid, resource.RLIMIT_FSIZE, (most, most))
    names += [own_verifier.raise_fault(body) for body in refused]
    assert {own_verifier.wait(name)["status"] for name in names} == {"accepted"}
    assert set(supplier.fault_ids) == set(names)


# Lists


def test_a_list_is_asked_for_once_while_it_may_be_kept(
    verifier: VerifierProcess, publisher: Publisher, sensor: Sensor
) -> None:
    for _ in range(5):
        assert verifier.decide(sensor.fault())["status"] == "accepted"
    assert publisher.asked(sensor) == 1


def test_a_list_that_may_not_be_kept_is_asked_for_each_time(
    verifier: VerifierProcess, publisher: Publisher, sensor: Sensor
) -> None:
    publisher.max_age = 0
    for _ in range(3):
        assert verifier.decide(sensor.fault())["status"] == "accepted"
    assert [request.status for request in publisher.requests] == [200, 304, 304]


async def test_a_list_is_kept_for_exactly_as_long_as_it_may(
    world: World, publisher: Publisher, sensor: Sensor
) -> None:
    clock = [0.0]
    resolver = Resolver(port=world.resolver_port)
    client = DaneClient(resolver)
    lists = ListCache(client, NoSequences(), monotonic=lambda: clock[0])
    claim = Claims(trust_domain(sensor.domain), ()).of(sensor.notification())
    scheme = dns.name.from_text(f"_scheme._trust.{sensor.scheme}")
    signers = await resolver.lookup(scheme, dns.rdatatype.SMIMEA)
    now = utc_now()
    asked = []
    for clock[0] in (0, 299, 300, 301, 599, 600):
        found = await lists.get(claim, publisher.url(sensor), signers, now)
        assert isinstance(found, UsableList)
        asked.append(found.is_new)
    assert asked == [True, False, True, False, False, True]
    assert [request.status for request in publisher.requests] == [200, 304, 304]
    late = await lists.get(claim, publisher.url(sensor), signers, now + timedelta(days=1))
    assert isinstance(late, Refusal)
    assert late.reason is Reason.LIST_EXPIRED
    assert publisher.requests[-1].status == 200, "the publisher was asked for a better one"
    await client.close()
    await resolver.close()


def test_a_list_that_has_expired_is_deferred_until_there_is_a_new_one(
    verifier: VerifierProcess, publisher: Publisher, sensor: Sensor, supplier: SupplierStub
) -> None:
    issued = utc_now() - timedelta(days=2)
    publisher.publish(sensor, issued=issued, next_update=issued + timedelta(days=1))
    name = verifier.raise_fault(sensor.fault())
    fault = verifier.wait(name, "deferred")
    assert (fault["reason"], signs(fault)) == ("list-expired", "hhhhwnn")
    publisher.publish(sensor, suppliers=[supplier.entry])
    assert verifier.wait(name)["status"] == "accepted"


def test_an_older_list_is_refused_also_after_a_restart(
    own_verifier: VerifierProcess, publisher: Publisher, sensor: Sensor, supplier: SupplierStub
) -> None:
    old = publisher.publish(sensor, suppliers=[supplier.entry])
    publisher.publish(sensor, suppliers=[supplier.entry])
    assert own_verifier.decide(sensor.fault())["status"] == "accepted"
    publisher.serve(sensor, old)
    own_verifier.kill()
    own_verifier.start()
    fault = own_verifier.decide(sensor.fault())
    assert (fault["status"], fault["reason"], signs(fault)) == ("rejected", "list-rollback", "hhhhbnn")


def test_a_new_key_is_believed_before_the_old_list_is_forgotten(
    verifier: VerifierProcess, publisher: Publisher, sensor: Sensor, supplier: SupplierStub
) -> None:
    assert verifier.decide(sensor.fault())["status"] == "accepted"
    sensor.key = ec.generate_private_key(ec.SECP256R1())
    sensor.seq = 0
    publisher.publish(sensor, suppliers=[supplier.entry])
    assert verifier.decide(sensor.fault())["status"] == "accepted"


def test_a_sensor_that_is_restored_is_believed_at_once(
    verifier: VerifierProcess, publisher: Publisher, sensor: Sensor, supplier: SupplierStub
) -> None:
    publisher.publish(sensor, status=ServiceStatus.WITHDRAWN, suppliers=[supplier.entry])
    fault = verifier.decide(sensor.fault())
    assert (fault["reason"], signs(fault)) == ("sensor-withdrawn", "hhhhhbn")
    publisher.publish(sensor, suppliers=[supplier.entry])
    assert verifier.decide(sensor.fault())["status"] == "accepted"


def test_a_list_by_another_signer_is_refused(
    world: World, verifier: VerifierProcess, publisher: Publisher, sensor: Sensor
) -> None:
    publisher.publish(sensor, signer=world.identity("mallory"))
    fault = verifier.decide(sensor.fault())
    assert (fault["status"], fault["reason"], signs(fault)) == ("rejected", "list-signer", "hhhhbnn")


def test_a_list_about_another_sensor_is_refused(
    verifier: VerifierProcess, publisher: Publisher, sensor: Sensor
) -> None:
    publisher.publish(sensor, claim="another.germany.raspidemo")
    assert verifier.decide(sensor.fault())["reason"] == "list-other-sensor"


# What it says to people and machines


def test_the_page_shows_the_chain(verifier: VerifierProcess, sensor: Sensor) -> None:
    fault = verifier.decide(sensor.fault())
    page = verifier.request("GET", f"/v1/faults/{fault['id']}", headers={"Accept": "text/html"})
    assert page.status == 200
    assert page.headers["Content-Type"].startswith("text/html")
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    assert page.text.count('class="link held"') == 7
    assert 'http-equiv="refresh"' not in page.text


def test_the_page_of_a_deferred_fault_renews_itself(
    verifier: VerifierProcess, publisher: Publisher, sensor: Sensor
) -> None:
    publisher.stop()
    fault = verifier.decide(sensor.fault())
    page = verifier.request("GET", f"/v1/faults/{fault['id']}", headers={"Accept": "text/html"})
    assert 'http-equiv="refresh"' in page.text
    assert "publisher-unreachable" in page.text


@pytest.mark.parametrize(
    ("method", "path", "kind", "body", "status", "reason"),
    [
        ("POST", "/v1/faults", "text/plain", b"x", 415, "media-type"),
        ("POST", "/v1/faults", "application/jose", b"garbage", 400, "notification-malformed"),
        ("POST", "/v1/faults", "application/jose", b"x" * 8193, 413, "notification-too-large"),
        ("GET", "/v1/faults/0123", "", None, 404, "fault-unknown"),
        ("GET", "/v1/faults/" + "0" * 32, "", None, 404, "fault-unknown"),
        ("GET", "/v1/faults/..%2F..%2Fetc%2Fpasswd", "", None, 404, "fault-unknown"),
    ],
)
def test_bad_requests_are_told_why(
    verifier: VerifierProcess,
    method: str,
    path: str,
    kind: str,
    body: bytes | None,
    status: int,
    reason: str,
) -> None:
    answer = verifier.request(method, path, body, {"Content-Type": kind} if kind else None)
    assert (answer.status, answer.json["reason"]) == (status, reason)
    assert answer.headers["Content-Type"].startswith("application/problem+json")


def test_faults_cannot_be_listed_and_huge_ones_are_not_read(verifier: VerifierProcess) -> None:
    assert verifier.request("GET", "/v1/faults").status == 405
    assert verifier.send(b"x" * 200_000).status == 413


def test_it_is_not_ready_without_a_secure_resolver(world: World, own_verifier: VerifierProcess) -> None:
    assert own_verifier.request("GET", "/readyz").status == 200
    world.stop_unbound()
    wait_for(lambda: own_verifier.request("GET", "/readyz").status == 503)
    assert own_verifier.request("GET", "/healthz").status == 200
    world.start_unbound()
    wait_for(lambda: own_verifier.request("GET", "/readyz").status == 200)


def test_the_command_line_shows_the_same(
    own_verifier: VerifierProcess,
    publisher: Publisher,
    sensor: Sensor,
    supplier: SupplierStub,
    tmp_path: Path,
) -> None:
    accepted = own_verifier.decide(sensor.fault())
    forged = own_verifier.decide(sensor.fault(key=ec.generate_private_key(ec.SECP256R1())))
    shown = own_verifier.run("verifier", "trace", accepted["id"], "--wait", "5")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert shown.stdout.startswith("● ● ● ● ● ● ●\n")
    shown = own_verifier.run("verifier", "trace", forged["id"], "--json")
    assert shown.returncode == 1
    assert json.loads(shown.stdout) == forged
    listed = own_verifier.run("verifier", "faults", "--json")
    assert [fault["id"] for fault in json.loads(listed.stdout)] == [forged["id"], accepted["id"]]

    file = tmp_path / "fault.jws"
    file.write_bytes(sensor.fault() + b"\n")
    verified = own_verifier.run("verify", str(file))
    assert verified.returncode == 0, verified
    assert verified.stdout.startswith("● ● ● ● ● ● ·\n")
    assert len(supplier.alarms) == 1, "nobody is notified"
    file.write_bytes(sensor.fault(key=ec.generate_private_key(ec.SECP256R1())))
    verified = own_verifier.run("verify", str(file), "--json")
    assert verified.returncode == 1
    values = json.loads(verified.stdout)
    assert (values["outcome"], values["reason"]) == ("rejected", "signature-invalid")


def test_it_does_not_start_without_its_keys(world: World, tmp_path: Path) -> None:
    verifier = VerifierProcess(world, tmp_path)
    (verifier.state / "signer.crt").write_bytes(
        x509.load_der_x509_certificate(verifier.identity.der).public_bytes(Encoding.PEM)
    )
    done = verifier.run("verifier", "run")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "is not the certificate of" in done.stderr
    (verifier.state / "signer.key").unlink()
    done = verifier.run("verifier", "run")
    assert done.returncode == 2
    assert "signer.key: cannot be read" in done.stderr
    verifier.configure("inbox = 3")
    done = verifier.run("verifier", "faults")
    assert (done.returncode, done.stdout) == (2, "")
    assert "inbox: is not a known key" in done.stderr
