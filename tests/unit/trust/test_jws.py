"""Signed documents: what is accepted, and every envelope that is not."""

import base64
import hashlib
import hmac
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from lightest_agents.trust import jws
from lightest_agents.trust.strict_json import MalformedError
from tests.unit.trust import samples
from tests.unit.trust.samples import ED25519, ED25519_DER, OTHER_P256, P256, P256_DER, forge, segment

HEADER = {"alg": "ES256", "typ": "fault+jws"}
X5C = {"x5c": [base64.b64encode(P256_DER).decode()]}


@given(st.binary())
def test_what_was_signed_is_verified_by_its_key_alone(payload: bytes) -> None:
    for signer, der, others in ((P256, P256_DER, ED25519_DER), (ED25519, ED25519_DER, P256_DER)):
        read = jws.read(jws.sign("fault+jws", payload, signer), "fault+jws")
        assert read.payload == payload
        assert samples.key(der).verifies(read)
        assert not samples.key(others).verifies(read)


def test_a_signature_made_by_others_is_understood() -> None:
    read = jws.read(forge(HEADER, {}), "fault+jws")
    assert samples.key().verifies(read)


def test_the_example_of_rfc_8037_verifies_under_the_name_of_rfc_9864() -> None:
    """RFC 8037, appendix A, but for the header's `alg`, which RFC 9864 deprecates."""
    assert jws.read(jws.sign("a", b"Example of Ed25519 signing", ED25519), "a").algorithm == "Ed25519"
    with pytest.raises(jws.AlgorithmRefusedError):
        jws.read(forge({"alg": "EdDSA", "typ": "a"}, {}), "a")


@pytest.mark.parametrize(
    "algorithm", ["none", "None", "HS256", "RS256", "PS256", "ES384", "ES256K", "EdDSA", "Ed448"]
)
def test_other_algorithms_are_refused(algorithm: str) -> None:
    with pytest.raises(jws.AlgorithmRefusedError):
        jws.read(forge({"alg": algorithm, "typ": "fault+jws"}, {}), "fault+jws")


def test_an_unsigned_document_is_refused() -> None:
    with pytest.raises(jws.AlgorithmRefusedError):
        jws.read(forge({"alg": "none", "typ": "fault+jws"}, {}, lambda _: b""), "fault+jws")


@pytest.mark.parametrize("form", [PublicFormat.SubjectPublicKeyInfo])
def test_the_public_key_is_no_shared_secret(form: PublicFormat) -> None:
    secret = P256.public_key().public_bytes(Encoding.PEM, form)
    body = forge({"alg": "HS256", "typ": "a"}, {}, lambda text: hmac.digest(secret, text, hashlib.sha256))
    with pytest.raises(jws.AlgorithmRefusedError):
        jws.read(body, "a")


@pytest.mark.parametrize(
    "change",
    [
        {"typ": "alarm+jws"},
        {"typ": None},
        {"typ": "FAULT+JWS"},
        {"alg": None},
        {"alg": ["ES256"]},
        {"crit": ["exp"]},
        {"crit": []},
        {"b64": False},
        {"b64": False, "crit": ["b64"]},
        {"kid": "1"},
        {"jku": "https://evil.example/keys"},
        {"x5u": "https://evil.example/keys"},
        {"jwk": {"kty": "EC"}},
        X5C,
        {"cty": "JWT"},
        {"zip": "DEF"},
        {"iat": 1},
    ],
    ids=str,
)
def test_a_header_with_anything_else_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(MalformedError):
        jws.read(forge({**HEADER, **change}, {}), "fault+jws")


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"[]",
        b"null",
        b"{}",
        b'{"alg":"ES256"}',
        b'{"alg":"none","alg":"ES256","typ":"a"}',
        b"\xff",
        b"[",
    ],
)
def test_a_header_that_is_no_proper_object_is_refused(header: bytes) -> None:
    with pytest.raises(MalformedError):
        jws.read(forge(header, b"", raw=True), "a")


def test_a_signature_over_the_document_in_another_spelling_is_refused() -> None:
    header, payload, signature = forge(HEADER, {"a": 1}).split(b".")
    assert len(signature) % 4 == 2
    last = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    twin = last[last.index(signature[-1:]) + 1 :][:1]  # differs in bits that no octet has
    for other in (
        signature + b"==",
        signature[:-1] + twin,
        signature[:5] + b"\n" + signature[5:],
        b" " + signature,
        signature + b"!",
        signature + b"A==A",
        signature.replace(signature[5:6], b"+"),
        signature.replace(signature[5:6], b"/"),
        signature[:-1],
        signature + b"." + signature,
        signature + b".",
    ):
        with pytest.raises(MalformedError):
            jws.read(b".".join((header, payload, other)), "fault+jws")
    for body in (b"", b".", b"..", b"...", header, header + b"." + payload, payload + b"." + signature):
        with pytest.raises(MalformedError):
            jws.read(body, "fault+jws")


def test_json_serialization_with_two_signatures_is_refused() -> None:
    header, payload, signature = (part.decode() for part in forge(HEADER, {}).split(b"."))
    one = {"protected": header, "signature": signature}
    with pytest.raises(MalformedError):
        jws.read(json.dumps({"payload": payload, "signatures": [one, one]}).encode(), "fault+jws")


@pytest.mark.parametrize("length", [0, 1, 63, 65, 72])
def test_a_signature_of_another_length_does_not_verify(length: int) -> None:
    for alg, der in (("ES256", P256_DER), ("Ed25519", ED25519_DER)):
        body = forge({"alg": alg, "typ": "a"}, {}, lambda _: b"\x01" * length)
        assert not samples.key(der).verifies(jws.read(body, "a"))


@pytest.mark.parametrize("value", [b"\x00" * 64, b"\xff" * 64])
def test_a_signature_of_numbers_out_of_range_does_not_verify(value: bytes) -> None:
    for alg, der in (("ES256", P256_DER), ("Ed25519", ED25519_DER)):
        assert not samples.key(der).verifies(
            jws.read(forge({"alg": alg, "typ": "a"}, {}, lambda _: value), "a")
        )


def test_an_ecdsa_signature_can_be_rewritten() -> None:
    """Why a replay is not told by the digest of a body."""
    read = jws.read(jws.sign("a", b"{}", P256), "a")
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    s = order - int.from_bytes(read.signature[32:], "big")
    twin = read.signing_input + b"." + segment(read.signature[:32] + s.to_bytes(32, "big"))
    assert samples.key().verifies(jws.read(twin, "a"))


def test_only_p256_and_ed25519_sign() -> None:
    for key in (ec.generate_private_key(ec.SECP384R1()), rsa.generate_private_key(65537, 2048)):
        with pytest.raises(jws.KeyRefusedError):
            jws.sign("a", b"", key)  # type: ignore[arg-type]
        with pytest.raises(jws.KeyRefusedError):
            samples.key(samples.certificate(key).public_bytes(Encoding.DER))


@pytest.mark.parametrize("der", [b"", b"garbage", P256_DER[:-1], P256_DER[:100]])
def test_garbage_is_no_certificate(der: bytes) -> None:
    with pytest.raises(jws.KeyRefusedError):
        jws.key_of_certificate(der)


def test_a_document_with_its_certificate_verifies_with_that() -> None:
    body = jws.CertifiedSigner("a", P256, samples.P256_CERTIFICATE, {"iat": 1}).sign(b"{}")
    document = jws.read_with_certificate(body, "a", frozenset({"iat"}))
    assert (document.signer, document.payload, document.header["iat"]) == (P256_DER, b"{}", 1)


def test_a_document_is_not_signed_with_another_certificate() -> None:
    with pytest.raises(jws.KeyRefusedError):
        jws.CertifiedSigner("a", OTHER_P256, samples.P256_CERTIFICATE)


@pytest.mark.parametrize(
    "x5c",
    [None, "", [], [1], ["!"], ["ä"], {"0": ""}, X5C["x5c"] * 2, X5C["x5c"][0], [X5C["x5c"]]],
    ids=lambda value: str(value)[:20],
)
def test_x5c_is_one_certificate(x5c: object) -> None:
    with pytest.raises(MalformedError):
        jws.read_with_certificate(forge({"alg": "ES256", "typ": "a", "x5c": x5c}, {}), "a")


@pytest.mark.parametrize(
    "der",
    [b"", b"garbage", P256_DER[:-1], ED25519_DER, samples.certificate(OTHER_P256).public_bytes(Encoding.DER)],
    ids=["empty", "garbage", "cut", "other algorithm", "other key"],
)
def test_the_certificate_in_the_header_must_have_signed(der: bytes) -> None:
    header = {"alg": "ES256", "typ": "a", "x5c": [base64.b64encode(der).decode()]}
    with pytest.raises(jws.SignatureInvalidError):
        jws.read_with_certificate(forge(header, {}), "a")
