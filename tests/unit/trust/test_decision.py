"""The decision: which refusal follows from what, and which comes first."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import dns.name
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from lightest_agents.trust.decision import decide, verification_key
from lightest_agents.trust.jws import VerificationKey
from lightest_agents.trust.notification import SignedNotification, parse, sign
from lightest_agents.trust.trust_list import ServiceStatus
from lightest_agents.trust.verdict import Reason, Refusal
from tests.unit.trust import samples
from tests.unit.trust.samples import CLAIM, ED25519_DER, NOW, OTHER_P256, P256, notification, trust_list

DAY, MINUTE, SECOND = timedelta(days=1), timedelta(minutes=1), timedelta(seconds=1)


def signed(key: ec.EllipticCurvePrivateKey = P256) -> SignedNotification:
    result = parse(sign(notification(), key))
    assert isinstance(result, SignedNotification)
    return result


WITHDRAWN = trust_list(service=replace(trust_list().service, status=ServiceStatus.WITHDRAWN))


def reason(
    what: SignedNotification | None = None, listed: Any = None, received: datetime = NOW, **changes: Any
) -> Reason | None:
    listed = listed or trust_list()
    key = verification_key(listed.service)
    assert isinstance(key, VerificationKey)
    arguments = {"claim": CLAIM, "seen": 3, "now": NOW, "max_age": DAY, "max_ahead": MINUTE, **changes}
    refusal = decide(what or signed(), listed, key, received=received, **arguments)
    return None if refusal is None else refusal.reason


def test_a_genuine_notification_is_not_refused() -> None:
    assert reason() is None


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"claim": dns.name.from_text("sensor2.germany.raspidemo.")}, Reason.LIST_OTHER_SENSOR),
        ({"seen": 4}, Reason.LIST_ROLLBACK),
        ({"now": NOW + DAY}, Reason.LIST_EXPIRED),
        ({"now": NOW - DAY}, Reason.LIST_NOT_YET_VALID),
        ({"listed": WITHDRAWN}, Reason.SENSOR_WITHDRAWN),
        ({"what": signed(OTHER_P256)}, Reason.SIGNATURE_INVALID),
        ({"received": NOW + DAY}, None),
        ({"received": NOW + DAY + SECOND}, Reason.STALE),
        ({"received": NOW - MINUTE}, None),
        ({"received": NOW - MINUTE - SECOND}, Reason.FUTURE),
    ],
)
def test_each_rule_has_its_reason(arguments: dict[str, Any], expected: Reason | None) -> None:
    assert reason(**arguments) is expected


def test_a_notification_does_not_grow_stale_by_waiting_for_a_list() -> None:
    late = NOW + timedelta(days=6)
    renewed = trust_list(issued=late, next_update=late + DAY)
    assert reason(listed=renewed, now=late, received=NOW) is None


def test_what_the_list_says_comes_first_and_the_time_last() -> None:
    forged, late = signed(OTHER_P256), NOW + 2 * DAY
    assert reason(forged, WITHDRAWN, late, seen=4) is Reason.LIST_ROLLBACK
    assert reason(forged, WITHDRAWN, late) is Reason.SENSOR_WITHDRAWN
    assert reason(forged, None, late) is Reason.SIGNATURE_INVALID


def test_a_key_of_another_kind_in_the_list_does_not_verify() -> None:
    listed = trust_list(service=replace(trust_list().service, certificate=ED25519_DER))
    assert reason(listed=listed) is Reason.SIGNATURE_INVALID


@pytest.mark.parametrize("certificate", [b"garbage", samples.P256_DER[:-1]])
def test_a_list_whose_certificate_cannot_be_used_is_malformed(certificate: bytes) -> None:
    key = verification_key(replace(trust_list().service, certificate=certificate))
    assert isinstance(key, Refusal)
    assert key.reason is Reason.LIST_MALFORMED
