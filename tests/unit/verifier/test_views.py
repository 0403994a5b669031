"""A fault as others see it."""

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from lightest_agents.trust.notification import Measurement, Notification, new_jti, sign
from lightest_agents.trust.verdict import Reason
from lightest_agents.verifier.api import prefers_page
from lightest_agents.verifier.store import Fault, State, fault_id
from lightest_agents.verifier.views import fault_json
from lightest_agents.web import pages

NOW = 1_795_341_600


def make_fault() -> Fault:
    measurement = (Measurement("temperature", "Cel", 27.5, NOW - 1),)
    notification = Notification(
        new_jti(NOW * 1000), NOW, 7, "sensor1", "germany", "overtemperature", 25.0, measurement
    )
    body = sign(notification, ec.generate_private_key(ec.SECP256R1()))
    return Fault(
        id=fault_id(body),
        body=body,
        received=NOW + 0.25,
        state=State.DEFERRED,
        claim="sensor1.germany.raspidemo",
        jti=notification.jti,
        seq=7,
        attempts=2,
        next_attempt=NOW + 4.0,
        reason=Reason.CLAIM_UNAVAILABLE,
        detail="no answer",
    )


def test_json_has_what_a_script_needs() -> None:
    values = fault_json(make_fault())
    assert values["status"] == "deferred"
    assert values["reason"] == "claim-unavailable"
    assert values["received"] == "2026-11-22T10:00:00.250Z"
    assert values["next_attempt"] == "2026-11-22T10:00:04.000Z"
    assert values["measurement"] == {"value": 27.5, "unit": "Cel", "time": "2026-11-22T09:59:59.000Z"}
    trace = values["trace"]
    assert isinstance(trace, list)
    assert [link["link"] for link in trace][:2] == ["sensor", "claim"]


@pytest.mark.parametrize(
    ("accept", "page"),
    [
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", True),
        ("*/*", False),
        ("", False),
        ("application/json", False),
        ("application/json, text/html;q=0.5", False),
        ("application/json;q=0.5, text/html;q=0.5", True),
        ("text/html;q=0", False),
        ("TEXT/HTML;charset=utf-8", True),
    ],
)
def test_browsers_get_the_page(accept: str, page: bool) -> None:
    assert prefers_page(accept) is page


@given(st.text())
def test_no_accept_field_fails(accept: str) -> None:
    prefers_page(accept)


def test_no_template_is_missing() -> None:
    assert pages.environment("lightest_agents.verifier").get_template("fault.html")
