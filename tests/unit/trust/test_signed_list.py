"""The trust list as it is served: an unsigned or half-signed document never yields one."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightest_agents.trust import jws
from lightest_agents.trust.lote import to_lote
from lightest_agents.trust.signed_list import MAX_LIST_BYTES, SignedList, open_list, sign_list
from lightest_agents.trust.trust_list import TrustListError
from lightest_agents.trust.verdict import Reason, Refusal
from tests.unit.trust import samples
from tests.unit.trust.samples import ED25519, ED25519_DER, NOW, OTHER_P256, P256, P256_DER, forge, trust_list

HEADER: dict[str, Any] = {
    "alg": "ES256",
    "typ": "lote+jws",
    "iat": int(NOW.timestamp()),
    "x5t#S256": jws.thumbprint(P256_DER),
    "x5c": [base64.b64encode(P256_DER).decode()],
}
DOCUMENT = to_lote(trust_list())


def reason(body: bytes) -> Reason | None:
    result = open_list(body)
    return result.reason if isinstance(result, Refusal) else None


def header(**changes: Any) -> dict[str, Any]:
    """The header of a list; a change to `...` removes the member."""
    return {name: value for name, value in {**HEADER, **changes}.items() if value is not ...}


def test_what_a_publisher_signs_a_verifier_reads() -> None:
    for key, certificate, der in (
        (P256, samples.P256_CERTIFICATE, P256_DER),
        (ED25519, samples.ED25519_CERTIFICATE, ED25519_DER),
    ):
        body = sign_list(trust_list(), key, certificate)
        assert open_list(body) == SignedList(trust_list(), der)


def test_what_another_implementation_signs_is_read() -> None:
    assert open_list(forge(HEADER, DOCUMENT)) == SignedList(trust_list(), P256_DER)


def test_the_header_is_that_of_a_jades_baseline_signature() -> None:
    first = sign_list(trust_list(), P256, samples.P256_CERTIFICATE).split(b".")[0]
    assert json.loads(base64.urlsafe_b64decode(first + b"==")) == HEADER


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"alg": "none"}, Reason.LIST_SIGNATURE),
        ({"alg": "HS256"}, Reason.LIST_SIGNATURE),
        ({"alg": "RS256"}, Reason.LIST_SIGNATURE),
        ({"alg": "Ed25519"}, Reason.LIST_SIGNATURE),
        ({"x5t#S256": jws.thumbprint(ED25519_DER)}, Reason.LIST_SIGNATURE),
        ({"x5t#S256": None}, Reason.LIST_SIGNATURE),
        ({"x5c": [base64.b64encode(ED25519_DER).decode()]}, Reason.LIST_SIGNATURE),
        ({"x5c": [base64.b64encode(b"garbage").decode()]}, Reason.LIST_SIGNATURE),
        ({"x5c": []}, Reason.LIST_MALFORMED),
        ({"x5c": HEADER["x5c"] * 2}, Reason.LIST_MALFORMED),
        ({"x5c": ...}, Reason.LIST_MALFORMED),
        ({"x5t#S256": ...}, Reason.LIST_MALFORMED),
        ({"iat": ...}, Reason.LIST_MALFORMED),
        ({"iat": "now"}, Reason.LIST_MALFORMED),
        ({"typ": "fault+jws"}, Reason.LIST_MALFORMED),
        ({"typ": ...}, Reason.LIST_MALFORMED),
        ({"jwk": {"kty": "EC"}}, Reason.LIST_MALFORMED),
        ({"jku": "https://evil.example/"}, Reason.LIST_MALFORMED),
        ({"crit": ["b64"], "b64": False}, Reason.LIST_MALFORMED),
        ({"kid": "1"}, Reason.LIST_MALFORMED),
    ],
    ids=lambda value: str(value)[:40],
)
def test_another_header_is_refused(changes: dict[str, Any], expected: Reason) -> None:
    assert reason(forge(header(**changes), DOCUMENT)) is expected


def test_an_altered_list_is_refused() -> None:
    first, _, last = forge(HEADER, DOCUMENT).split(b".")
    altered = samples.segment(json.dumps(to_lote(trust_list(sequence=4))).encode())
    assert reason(b".".join((first, altered, last))) is Reason.LIST_SIGNATURE


@pytest.mark.parametrize("sign", [lambda _: b"", lambda _: b"\x01" * 64, lambda _: bytes(64)])
def test_a_list_with_half_a_signature_is_refused(sign: Any) -> None:
    assert reason(forge(HEADER, DOCUMENT, sign)) is Reason.LIST_SIGNATURE


@pytest.mark.parametrize("body", [json.dumps(DOCUMENT).encode(), b"", b"a.b.c", b"{}", b"<xml/>"])
def test_an_unsigned_list_is_refused(body: bytes) -> None:
    assert reason(body) is Reason.LIST_MALFORMED


@pytest.mark.parametrize("document", [None, [], {}, {"LoTE": {}}, {**DOCUMENT, "more": 1}], ids=str)
def test_a_signed_document_that_is_no_trust_list_is_refused(document: object) -> None:
    assert reason(forge(HEADER, document)) is Reason.LIST_MALFORMED


def test_a_member_that_is_named_twice_is_refused() -> None:
    text = json.dumps(DOCUMENT).replace(
        '"LoTESequenceNumber": 3', '"LoTESequenceNumber": 9, "LoTESequenceNumber": 3'
    )
    assert reason(forge(json.dumps(HEADER).encode(), text.encode(), raw=True)) is Reason.LIST_MALFORMED


def test_a_list_above_the_limit_is_refused_unread() -> None:
    assert reason(b"." * MAX_LIST_BYTES) is Reason.LIST_MALFORMED
    assert reason(b"." * (MAX_LIST_BYTES + 1)) is Reason.LIST_TOO_LARGE


def test_a_list_above_the_limit_is_not_signed() -> None:
    suppliers = tuple(samples.supplier(f"supplier{i}") for i in range(6000))
    with pytest.raises(TrustListError):
        sign_list(trust_list(suppliers=suppliers), P256, samples.P256_CERTIFICATE)


def test_a_list_is_not_signed_by_a_key_without_its_certificate() -> None:
    with pytest.raises(jws.KeyRefusedError):
        sign_list(trust_list(), OTHER_P256, samples.P256_CERTIFICATE)


@given(st.binary())
def test_no_bytes_make_it_raise(body: bytes) -> None:
    assert isinstance(open_list(body), Refusal)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(sorted(HEADER)), JSON).map(lambda odd: header(**odd)), JSON)
def test_no_signed_json_makes_it_raise(odd: dict[str, Any], document: object) -> None:
    assert isinstance(open_list(forge(odd, document)), Refusal)
