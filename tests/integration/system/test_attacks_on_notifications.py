"""What an attacker can do with notifications: forge, alter, repeat, and name what is not theirs."""

import base64
import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from lightest_agents.trust import jws
from lightest_agents.trust.verdict import Reason, Step
from tests.publisher import Publisher, Sensor
from tests.system import System
from tests.verifier_process import signs


def payload_of(body: bytes) -> dict[str, Any]:
    segment = body.split(b".")[1]
    values: dict[str, Any] = json.loads(base64.urlsafe_b64decode(segment + b"=="))
    return values


def altered(body: bytes, **changes: object) -> bytes:
    """The notification with other values under the old signature."""
    head, _, signature = body.split(b".")
    payload = json.dumps(payload_of(body) | changes).encode()
    return b".".join((head, base64.urlsafe_b64encode(payload).rstrip(b"="), signature))


def unchecked(sensor: Sensor, members: dict[str, object]) -> bytes:
    """A notification with the sensor's true signature and members that its agent would not sign."""
    payload = payload_of(sensor.fault()) | members
    return jws.sign("fault+jws", json.dumps(payload).encode(), sensor.key)


def test_an_honest_fault_lights_the_lamp(system: System, sensor: Sensor) -> None:
    system.accepted(system.verifier.raise_fault(sensor.fault()))


FORGERIES: dict[str, Callable[[Sensor], bytes]] = {
    "signed by another key": lambda sensor: sensor.fault(key=ec.generate_private_key(ec.SECP256R1())),
    "altered payload": lambda sensor: altered(sensor.fault(), threshold=20.0),
    "altered jti": lambda sensor: altered(sensor.fault(), jti="01890a5d-ac96-774b-bcce-b302099a8057"),
}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_a_forged_notification(system: System, sensor: Sensor, forgery: str) -> None:
    system.refused(FORGERIES[forgery](sensor), Reason.SIGNATURE_INVALID)


def test_a_listed_sensor_in_the_name_of_another(system: System, publisher: Publisher, sensor: Sensor) -> None:
    traitor = system.new_sensor()
    publisher.publish(traitor, suppliers=[system.entry])
    system.refused(sensor.fault(key=traitor.key), Reason.SIGNATURE_INVALID)
    system.refused(altered(traitor.fault(), sensor=sensor.label), Reason.SIGNATURE_INVALID)
    system.accepted(system.verifier.raise_fault(sensor.fault()))


# Repeated


def test_a_replayed_body_is_the_same_fault_and_lights_no_lamp(system: System, sensor: Sensor) -> None:
    body = sensor.fault()
    fault = system.accepted(system.verifier.raise_fault(body))
    alarms = system.alarms()
    again = system.verifier.send(body)
    assert (again.status, again.json["id"], again.json["status"]) == (202, fault["id"], "accepted")
    assert system.verifier.fault(fault["id"]) == fault
    system.check_dark()
    assert system.alarms() == alarms


def test_the_same_jti_in_another_body(system: System, sensor: Sensor) -> None:
    first = sensor.notification()
    system.accepted(system.verifier.raise_fault(sensor.fault(jti=first.jti)))
    system.refused(sensor.fault(jti=first.jti), Reason.REPLAYED)


def test_the_same_sequence_number_in_another_body(system: System, sensor: Sensor) -> None:
    system.accepted(system.verifier.raise_fault(sensor.fault(seq=7)))
    system.refused(sensor.fault(seq=7), Reason.REPLAYED)


def test_a_replay_after_a_crash_of_the_verifier(system: System, sensor: Sensor) -> None:
    first = sensor.notification()
    system.accepted(system.verifier.raise_fault(sensor.fault(jti=first.jti)))
    system.verifier.kill()
    system.verifier.start()
    system.refused(sensor.fault(jti=first.jti), Reason.REPLAYED)


@pytest.mark.parametrize(("seconds", "reason"), [(-86460, Reason.STALE), (120, Reason.FUTURE)])
def test_a_notification_of_another_time(system: System, sensor: Sensor, seconds: int, reason: Reason) -> None:
    system.refused(sensor.fault(iat=int(time.time()) + seconds), reason)


# Names


@pytest.mark.parametrize("location", ["atlantis", "com", "trust"])
def test_an_unknown_location(system: System, sensor: Sensor, location: str) -> None:
    system.refused(sensor.fault(location=location), Reason.CLAIM_UNKNOWN)


ESCAPES = ("../", "..%2f", "*", "", ".", "sensor1\x00", "sensor1\\.evil")
FURTHER_NAMES = ("sensor1.evil", "sensor1.germany.evil.", "sensor1.", "_scheme", "trust")
NO_LABELS = ("a" * 300, "a-", "-a", "SENSOR1", "sénsor1", "\u0455ensor1", "sensor1\u3002evil")


@pytest.mark.parametrize("label", ESCAPES + FURTHER_NAMES + NO_LABELS, ids=ascii)
def test_a_sensor_whose_name_is_no_label(system: System, label: str) -> None:
    check_turned_away(system, unchecked(Sensor(), {"sensor": label}), Reason.NAME_REFUSED)


@pytest.mark.parametrize("location", ["germany.evil", "germany.evil.", "../germany", "", "g" * 64])
def test_a_location_in_a_foreign_trust_domain(system: System, location: str) -> None:
    check_turned_away(system, unchecked(Sensor(), {"location": location}), Reason.NAME_REFUSED)


@pytest.mark.parametrize("member", ["domain", "claim", "iss", "verifier"])
def test_a_member_that_would_choose_the_trust_domain(system: System, member: str) -> None:
    check_turned_away(system, unchecked(Sensor(), {member: "evil"}), Reason.NOTIFICATION_MALFORMED)


def test_a_sensor_of_a_foreign_trust_domain_claims_a_name_in_the_verifiers_own(system: System) -> None:
    fault = system.refused(Sensor("sensor1", "evil", "foreign").fault(), Reason.CLAIM_UNKNOWN)
    assert fault["claim"] == "sensor1.evil.raspidemo"


@pytest.mark.parametrize("algorithm", ["none", "HS256", "RS256", "EdDSA", "ES384"])
def test_an_algorithm_that_is_not_accepted(system: System, algorithm: str) -> None:
    header = json.dumps({"alg": algorithm, "typ": "fault+jws"}).encode()
    _, payload, signature = Sensor().fault().split(b".")
    head = base64.urlsafe_b64encode(header).rstrip(b"=")
    for end in (signature, b""):
        check_turned_away(system, b".".join((head, payload, end)), Reason.ALGORITHM_REFUSED)


def test_a_key_that_comes_with_the_notification(system: System) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    numbers = key.public_key().public_numbers()
    point = (base64.urlsafe_b64encode(number.to_bytes(32)).decode() for number in (numbers.x, numbers.y))
    jwk = {"kty": "EC", "crv": "P-256", **dict(zip("xy", point, strict=True))}
    payload = json.dumps(payload_of(Sensor().fault())).encode()
    for members in (
        {"jwk": jwk},
        {"kid": "0"},
        {"jku": "https://tspa.raspidemo/"},
        {"crit": ["kid"], "kid": "0"},
    ):
        check_turned_away(system, jws.sign("fault+jws", payload, key, members), Reason.NOTIFICATION_MALFORMED)


def test_what_is_turned_away_is_broken_at_the_first_link(system: System) -> None:
    file = system.verifier.state.parent / "fault.jws"
    file.write_bytes(unchecked(Sensor(), {"sensor": "../"}))
    done = system.verifier.run("verify", str(file), "--json")
    shown = json.loads(done.stdout)
    assert (done.returncode, shown["reason"], signs(shown)) == (1, Reason.NAME_REFUSED, "bnnnnnn")


def test_a_notification_that_is_too_large(system: System) -> None:
    answer = system.verifier.send(Sensor().fault() + b"A" * 8192)
    assert (answer.status, answer.json["reason"]) == (413, Reason.NOTIFICATION_TOO_LARGE)


def check_turned_away(system: System, body: bytes, reason: Reason) -> None:
    """The first link breaks before there is a fault; nothing is asked, and the lamp stays dark."""
    answer = system.verifier.send(body)
    assert (answer.status, answer.json["reason"]) == (400, reason), answer
    assert reason.step is Step.SENSOR
    system.check_dark()
