"""The alarm: what a supplier believes, and what it does not."""

import base64
from dataclasses import asdict
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightest_agents.trust.alarm import (
    MAX_ALARM_BYTES,
    AlarmError,
    AlarmSignatureError,
    AlarmSigner,
    SignedAlarm,
    open_alarm,
)
from lightest_agents.trust.jws import KeyRefusedError
from tests.unit.trust import samples
from tests.unit.trust.samples import ED25519_DER, OTHER_P256, P256, P256_DER, alarm, forge

HEADER: dict[str, Any] = {
    "alg": "ES256",
    "typ": "alarm+jws",
    "x5c": [base64.b64encode(P256_DER).decode()],
}


def payload(**changes: Any) -> dict[str, Any]:
    """The payload of an alarm; a change to `...` removes the member."""
    sample = asdict(alarm())
    sample["measurement"] = [{"n": "temperature", "u": "Cel", "v": 27.5, "t": 1.7e9}]
    return {name: value for name, value in {**sample, **changes}.items() if value is not ...}


def test_what_a_verifier_signs_a_supplier_reads() -> None:
    signed = AlarmSigner(P256, samples.P256_CERTIFICATE).sign(alarm())
    assert open_alarm(signed) == SignedAlarm(alarm(), P256_DER)


def test_what_another_implementation_signs_is_read() -> None:
    assert open_alarm(forge(HEADER, payload())).signer == P256_DER


@pytest.mark.parametrize(
    "header",
    [
        {**HEADER, "alg": "none"},
        {**HEADER, "alg": "HS256"},
        {**HEADER, "alg": "Ed25519"},
        {**HEADER, "x5c": [base64.b64encode(ED25519_DER).decode()]},
    ],
)
def test_an_alarm_that_is_not_signed_by_its_certificate_is_refused(header: dict[str, Any]) -> None:
    with pytest.raises(AlarmSignatureError) as caught:
        open_alarm(forge(header, payload()))
    assert caught.value.reason == "alarm-signature"


def test_an_alarm_is_not_signed_by_a_key_without_its_certificate() -> None:
    with pytest.raises(KeyRefusedError):
        AlarmSigner(OTHER_P256, samples.P256_CERTIFICATE)


@pytest.mark.parametrize(
    "changes",
    [
        *({name: ...} for name in payload()),
        *({name: None} for name in payload()),
        {"more": 1},
        {"iss": ""},
        {"iss": "verifier.raspidemo."},
        {"iss": "Verifier.raspidemo"},
        {"iss": "../evil"},
        {"aud": "supplier1.raspidemo"},
        {"aud": ["supplier1"]},
        {"iat": 1.5},
        {"iat": -1},
        {"raised": True},
        {"fault_id": "0" * 31},
        {"fault_id": "G" * 32},
        {"fault_id": "../" + "0" * 29},
        {"sensor": "a.b"},
        {"location": ""},
        {"claim": "sensor1..raspidemo"},
        {"fault": "<script>"},
        {"threshold": "25"},
        {"measurement": []},
        {"trace": "javascript:alert(1)"},
        {"trace": "http://verifier.raspidemo/"},
    ],
    ids=str,
)
def test_what_is_not_an_alarm_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(AlarmError) as caught:
        open_alarm(forge(HEADER, payload(**changes)))
    assert caught.value.reason == "alarm-malformed"


@pytest.mark.parametrize("changes", [{"aud": ""}, {"trace": "x"}, {"threshold": float("inf")}], ids=str)
def test_a_verifier_does_not_sign_what_a_supplier_would_refuse(changes: dict[str, Any]) -> None:
    with pytest.raises(AlarmError):
        AlarmSigner(P256, samples.P256_CERTIFICATE).sign(alarm(**changes))


@pytest.mark.parametrize("kind", ["fault+jws", "lote+jws", None])
def test_no_other_document_passes_for_an_alarm(kind: str | None) -> None:
    with pytest.raises(AlarmError):
        open_alarm(forge({**HEADER, "typ": kind}, payload()))


def test_an_alarm_above_the_limit_is_refused() -> None:
    with pytest.raises(AlarmError, match="limit"):
        open_alarm(b"." * (MAX_ALARM_BYTES + 1))


@given(st.binary())
def test_no_bytes_raise_anything_else(body: bytes) -> None:
    with pytest.raises(AlarmError):
        open_alarm(body)
