"""The fault notification: round trips, and what a hostile or broken sensor may send."""

import json
import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightest_agents.errors import NameRefusedError
from lightest_agents.trust import names
from lightest_agents.trust import notification as notifications
from lightest_agents.trust.notification import (
    MAX_BYTES,
    Measurement,
    Notification,
    NotificationError,
    SignedNotification,
    claim,
    new_jti,
    parse,
    sign,
    verify,
)
from lightest_agents.trust.verdict import Reason, Refusal
from tests.unit.trust import samples
from tests.unit.trust.samples import (
    CLAIM,
    DOMAIN,
    ED25519,
    ED25519_DER,
    NOW,
    OTHER_P256,
    P256,
    P256_DER,
    forge,
)

HEADER = {"alg": "ES256", "typ": "fault+jws"}
LABELS = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", fullmatch=True).filter(
    lambda label: label != "trust"
)
NUMBERS = st.floats(-(2.0**53) + 1, 2.0**53 - 1)
NOTIFICATIONS = st.builds(
    Notification,
    jti=st.integers(0, 2**48 - 1).map(new_jti),
    iat=st.integers(0, 2**53 - 1),
    seq=st.integers(0, 2**53 - 1),
    sensor=LABELS,
    location=LABELS,
    fault=st.from_regex(r"[a-z][a-z0-9-]{0,31}", fullmatch=True),
    threshold=NUMBERS,
    measurement=st.lists(
        st.builds(
            Measurement,
            name=st.from_regex(r"[A-Za-z0-9][A-Za-z0-9:./_-]{0,20}", fullmatch=True),
            unit=st.sampled_from(["Cel", "K", "%RH", "m/s", "1/min"]),
            value=NUMBERS,
            time=st.floats(2.0**28, 2.0**53 - 1),
        ),
        min_size=1,
        max_size=32,
    ).map(tuple),
)


def reason(body: bytes) -> Reason | None:
    result = parse(body)
    return result.reason if isinstance(result, Refusal) else None


def reason_of(**changes: Any) -> Reason | None:
    return reason(forge(HEADER, samples.payload(**changes)))


@given(NOTIFICATIONS)
def test_what_a_sensor_signs_a_verifier_reads(notification: Notification) -> None:
    for key, der in ((P256, P256_DER), (ED25519, ED25519_DER)):
        signed = parse(sign(notification, key))
        assert isinstance(signed, SignedNotification)
        assert signed.notification == notification
        assert verify(signed, samples.key(der)) is None


def test_what_another_implementation_signs_is_read() -> None:
    signed = parse(forge(HEADER, samples.payload()))
    assert isinstance(signed, SignedNotification)
    assert signed.notification == samples.notification()
    assert (signed.algorithm, verify(signed, samples.key())) == ("ES256", None)


@pytest.mark.parametrize(
    ("signer", "der"), [(OTHER_P256, P256_DER), (ED25519, P256_DER), (P256, ED25519_DER)], ids=str
)
def test_the_signature_of_another_key_is_refused(signer: Any, der: bytes) -> None:
    signed = parse(sign(samples.notification(), signer))
    assert isinstance(signed, SignedNotification)
    refusal = verify(signed, samples.key(der))
    assert refusal is not None
    assert refusal.reason is Reason.SIGNATURE_INVALID


def test_an_altered_payload_is_refused() -> None:
    header, _, signature = sign(samples.notification(), P256).split(b".")
    altered = samples.segment(json.dumps(samples.payload(sensor="sensor2")).encode())
    signed = parse(b".".join((header, altered, signature)))
    assert isinstance(signed, SignedNotification)
    refusal = verify(signed, samples.key())
    assert refusal is not None
    assert refusal.reason is Reason.SIGNATURE_INVALID


def test_a_header_cannot_choose_the_algorithm_of_a_key() -> None:
    for alg, signer, der in (("ES256", ED25519.sign, ED25519_DER), ("Ed25519", samples.es256, P256_DER)):
        signed = parse(forge({"alg": alg, "typ": "fault+jws"}, samples.payload(), signer))
        assert isinstance(signed, SignedNotification)
        assert verify(signed, samples.key(der)) is not None


def test_another_algorithm_is_refused() -> None:
    assert reason(forge({"alg": "none", "typ": "fault+jws"}, samples.payload())) is Reason.ALGORITHM_REFUSED


def test_another_kind_of_document_is_refused() -> None:
    assert (
        reason(forge({"alg": "ES256", "typ": "alarm+jws"}, samples.payload()))
        is Reason.NOTIFICATION_MALFORMED
    )


@pytest.mark.parametrize(
    "label",
    [
        "",
        "..",
        "../",
        "../../etc",
        "a" * 64,
        "a" * 300,
        "sensor1.evil",
        "sensör1",
        "SENSOR1",
        "-a",
        "a-",
        "*",
        "_scheme",
        "a b",
        "a\n",
        "a\x00",
        "1\u0661",
        "sensor1.",
    ],
)
def test_names_that_are_not_one_label_are_refused(label: str) -> None:
    assert reason_of(sensor=label) is Reason.NAME_REFUSED
    assert reason_of(location=label) is Reason.NAME_REFUSED


def test_no_sensor_has_the_scheme_zones_name() -> None:
    assert reason_of(sensor="trust") is Reason.NAME_REFUSED


@pytest.mark.parametrize("domain", ["domain", "iss", "claim", "x"])
def test_a_notification_cannot_choose_the_trust_domain(domain: str) -> None:
    assert reason_of(**{domain: "evil.example"}) is Reason.NOTIFICATION_MALFORMED


RECORD = {"n": "temperature", "u": "Cel", "v": 27.5, "t": 1.7e9}


@pytest.mark.parametrize(
    "changes",
    [
        *({name: ...} for name in samples.payload()),
        *({name: None} for name in samples.payload()),
        *({name: []} for name in samples.payload()),
        {"jti": "1"},
        {"jti": "019C9A4B-0000-7ABC-8DEF-0123456789AB"},
        {"jti": "019c9a4b-0000-4abc-8def-0123456789ab"},
        {"jti": "019c9a4b00007abc8def0123456789ab"},
        {"jti": "019c9a4b-0000-7abc-8def-0123456789ab\n"},
        {"iat": 1.5},
        {"iat": 1.0},
        {"iat": True},
        {"iat": "1"},
        {"iat": -1},
        {"iat": 2**53},
        {"seq": 1.0},
        {"seq": -1},
        {"fault": ""},
        {"fault": "Hot"},
        {"fault": "a" * 33},
        {"fault": "a\n"},
        {"fault": "<script>"},
        {"threshold": "25"},
        {"threshold": True},
        {"threshold": 10**400},
        {"measurement": {}},
        {"measurement": [RECORD] * 33},
        {"measurement": [1]},
        {"measurement": [{**RECORD, "bn": "x"}]},
        {"measurement": [{**RECORD, "vs": "hot"}]},
        {"measurement": [{"n": "a", "u": "Cel", "v": 1.0}]},
        {"measurement": [{**RECORD, "v": None}]},
        {"measurement": [{**RECORD, "v": True}]},
        {"measurement": [{**RECORD, "t": 0}]},
        {"measurement": [{**RECORD, "t": -5.0}]},
        {"measurement": [{**RECORD, "n": ""}]},
        {"measurement": [{**RECORD, "n": "-a"}]},
        {"measurement": [{**RECORD, "n": "a b"}]},
        {"measurement": [{**RECORD, "u": ""}]},
        {"measurement": [{**RECORD, "u": "°C"}]},
        {"measurement": [{**RECORD, "u": 'a"b'}]},
    ],
    ids=str,
)
def test_what_is_not_a_notification_is_refused(changes: dict[str, Any]) -> None:
    assert reason_of(**changes) is Reason.NOTIFICATION_MALFORMED


@pytest.mark.parametrize(
    "content",
    [b"", b"null", b"[]", b'"a"', b"{}", b"\xff", b"[" * 5000, b'{"threshold":NaN}', b'{"jti":1,"jti":2}'],
    ids=lambda content: str(content[:20]),
)
def test_a_payload_that_is_no_proper_object_is_refused(content: bytes) -> None:
    body = forge(json.dumps(HEADER).encode(), content, raw=True)
    assert reason(body) is Reason.NOTIFICATION_MALFORMED


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"threshold": 25.0', '"threshold": NaN'),
        ('"threshold": 25.0', '"threshold": 1e999'),
        ('"threshold": 25.0', '"threshold": 25.0, "threshold": 25.0'),
        ('"v": 27.5', '"v": Infinity'),
        ('"v": 27.5', '"v": 27.5, "v": 20.0'),
        ('"germany"', '"germany\\ud800"'),
    ],
)
def test_json_that_readers_take_differently_is_refused(old: str, new: str) -> None:
    text = json.dumps(samples.payload())
    assert old in text
    body = forge(json.dumps(HEADER).encode(), text.replace(old, new).encode(), raw=True)
    assert reason(body) is Reason.NOTIFICATION_MALFORMED


def test_the_limit_of_the_size_is_exact() -> None:
    def of_size(padding: int) -> bytes:
        records = [{**RECORD, "n": "n" * 200}] * 22 + [{**RECORD, "n": "n" * padding}]
        return forge(HEADER, samples.payload(measurement=records))

    bodies = [of_size(padding) for padding in range(1, 255)]
    assert {reason(body) for body in bodies if len(body) <= MAX_BYTES} == {None}
    assert {reason(body) for body in bodies if len(body) > MAX_BYTES} == {Reason.NOTIFICATION_TOO_LARGE}


@given(st.binary(max_size=MAX_BYTES + 1))
def test_no_bytes_make_it_raise(body: bytes) -> None:
    assert isinstance(parse(body), Refusal)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=10,
)


@given(
    JSON
    | st.dictionaries(st.sampled_from(sorted(samples.payload())), JSON).map(
        lambda odd: samples.payload(**odd)
    )
)
def test_no_signed_json_makes_it_raise(content: object) -> None:
    result = parse(forge(HEADER, content))
    assert isinstance(result, Refusal | SignedNotification)


@given(st.dictionaries(st.sampled_from(["alg", "typ", "crit", "x5c", "jwk", ""]), JSON) | JSON)
def test_no_header_makes_it_raise(header: object) -> None:
    assert isinstance(parse(forge(header, samples.payload())), Refusal)


@pytest.mark.parametrize(
    "changes",
    [
        {"sensor": "a.b"},
        {"jti": "1"},
        {"measurement": ()},
        {"threshold": float("nan")},
        {"fault": "\ud800"},
        {"measurement": (Measurement("n" * 255, "Cel", 1.0, 1.7e9),) * 32},
    ],
    ids=str,
)
def test_a_sensor_does_not_sign_what_a_verifier_would_refuse(changes: dict[str, Any]) -> None:
    with pytest.raises(NotificationError):
        sign(samples.notification(**changes), P256)


@given(st.integers(0, 2**48 - 1))
def test_an_id_is_a_uuid_of_its_time(milliseconds: int) -> None:
    value = uuid.UUID(new_jti(milliseconds))
    assert (value.version, value.variant) == (7, uuid.RFC_4122)
    assert value.int >> 80 == milliseconds


def test_ids_of_the_same_time_differ() -> None:
    assert len({new_jti(0) for _ in range(1000)}) == 1000


def test_a_claim_is_in_the_verifiers_domain() -> None:
    assert claim(samples.notification(), DOMAIN) == CLAIM
    assert claim(samples.notification(), names.trust_domain("plant.example")).to_text() == (
        "sensor1.germany.plant.example."
    )
    with pytest.raises(NameRefusedError):
        claim(samples.notification(sensor="a" * 63), names.trust_domain(".".join(["b" * 63] * 3)))


def test_the_type_is_what_the_format_says() -> None:
    assert (notifications.TYPE, MAX_BYTES, int(NOW.timestamp())) == (
        "fault+jws",
        8192,
        samples.payload()["iat"],
    )
