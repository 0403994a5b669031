"""The trust list: what cannot be said in one, and the rules for using it."""

from datetime import datetime, timedelta, timezone
from typing import Any

import dns.name
import pytest

from lightest_agents.trust import names
from lightest_agents.trust.trust_list import (
    MAX_ISSUED_AHEAD,
    SensorService,
    ServiceStatus,
    Supplier,
    TrustListError,
    check_freshness,
    check_service,
    in_order,
)
from lightest_agents.trust.verdict import Reason
from tests.unit.trust.samples import CLAIM, NOW, P256_DER, supplier, trust_list

SECOND = timedelta(seconds=1)


@pytest.mark.parametrize(
    "changes",
    [
        {"sequence": 0},
        {"sequence": -1},
        {"sequence": 2**53},
        {"sequence": True},
        {"issued": NOW.replace(tzinfo=None)},
        {"issued": NOW + timedelta(microseconds=1)},
        {"issued": NOW.astimezone(timezone(timedelta(hours=1)))},
        {"next_update": NOW},
        {"next_update": NOW - SECOND},
        {"operator": ""},
        {"operator": " a"},
        {"operator": "a\nb"},
        {"operator": "\ud800"},
        {"operator": "a" * 501},
        {"territory": ""},
        {"territory": "de"},
        {"territory": "DEU"},
        {"territory": "DE\n"},
        {"information": "http://tspa.raspidemo/"},
        {"manufacturer": ""},
        {"manufacturer_label": "Acme"},
        {"suppliers": (supplier(), supplier(available=False))},
    ],
    ids=str,
)
def test_a_list_that_cannot_be_published_does_not_exist(changes: dict[str, Any]) -> None:
    with pytest.raises(TrustListError):
        trust_list(**changes)


@pytest.mark.parametrize(
    "claim",
    [
        dns.name.root,
        dns.name.from_text("sensor1.germany.raspidemo", None),
        dns.name.from_text("Sensor1.germany.raspidemo."),
        dns.name.from_text("_x.raspidemo."),
    ],
    ids=str,
)
def test_a_claim_is_an_absolute_name_in_lower_case(claim: dns.name.Name) -> None:
    with pytest.raises(TrustListError):
        SensorService(claim, P256_DER, ServiceStatus.GRANTED, NOW)


def test_a_service_has_a_certificate_and_a_time() -> None:
    with pytest.raises(TrustListError):
        SensorService(CLAIM, b"", ServiceStatus.GRANTED, NOW)
    with pytest.raises(TrustListError):
        SensorService(CLAIM, P256_DER, ServiceStatus.GRANTED, datetime(2026, 1, 1))  # noqa: DTZ001


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "a.b"},
        {"name": ""},
        {"title": ""},
        {"url": "http://supplier1.raspidemo/"},
        {"url": "https://10.0.0.1/"},
        {"address": "a\tb"},
        {"available": 1},
    ],
    ids=str,
)
def test_a_supplier_that_cannot_be_published_does_not_exist(changes: dict[str, Any]) -> None:
    fields = {
        "name": "supplier1",
        "title": "Repairs",
        "url": "https://supplier1.raspidemo/",
        "address": "",
        "available": True,
    }
    assert Supplier(**fields)  # type: ignore[arg-type]
    with pytest.raises(TrustListError):
        Supplier(**{**fields, **changes})


@pytest.mark.parametrize(
    ("seen", "now", "reason"),
    [
        (None, NOW, None),
        (2, NOW, None),
        (3, NOW, None),
        (4, NOW, Reason.LIST_ROLLBACK),
        (3, NOW + timedelta(days=1) - SECOND, None),
        (3, NOW + timedelta(days=1), Reason.LIST_EXPIRED),
        (3, NOW - MAX_ISSUED_AHEAD, None),
        (3, NOW - MAX_ISSUED_AHEAD - SECOND, Reason.LIST_NOT_YET_VALID),
    ],
)
def test_freshness(seen: int | None, now: datetime, reason: Reason | None) -> None:
    refusal = check_freshness(trust_list(), seen, now)
    assert (refusal and refusal.reason) == reason


def test_an_old_list_is_a_rollback_whether_it_expired_or_not() -> None:
    """So that nobody gets a list that is merely waited for by replaying one."""
    refusal = check_freshness(trust_list(), 4, NOW + timedelta(days=2))
    assert refusal is not None
    assert refusal.reason is Reason.LIST_ROLLBACK


@pytest.mark.parametrize(
    "claim",
    [
        "sensor2.germany.raspidemo.",
        "sensor1.france.raspidemo.",
        "sensor1.germany.raspidemo.evil.",
        "evil.sensor1.germany.raspidemo.",
        "germany.raspidemo.",
    ],
)
def test_a_list_about_another_sensor_is_refused(claim: str) -> None:
    refusal = check_service(trust_list(), dns.name.from_text(claim))
    assert refusal is not None
    assert refusal.reason is Reason.LIST_OTHER_SENSOR
    assert check_service(trust_list(), CLAIM) is None


def test_suppliers_that_are_away_are_left_out() -> None:
    first, second, third = supplier("b"), supplier("c", available=False), supplier("a")
    assert in_order((first, second, third)) == (first, third)
    assert in_order((second,)) == ()


def test_the_alarm_signers_name() -> None:
    owner = names.verdict_signer(names.trust_domain("verifier.raspidemo"))
    assert owner.to_text() == "_verdict._trust.verifier.raspidemo."
