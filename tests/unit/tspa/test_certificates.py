"""Which certificates the TSPA takes from a manufacturer."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from ssl import PEM_cert_to_DER_cert

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from hypothesis import given
from hypothesis import strategies as st

from lightest_agents.tspa.certificates import read_sensor_certificate
from lightest_agents.tspa.errors import CertificateRefusedError
from tests.unit.tspa.certificates import make_certificate

CLAIM = "sensor1.germany.raspidemo"


def read(pem: bytes) -> str:
    return read_sensor_certificate(pem, CLAIM, datetime.now(UTC)).fingerprint


@pytest.mark.parametrize(
    "key", [ec.generate_private_key(ec.SECP256R1()), ed25519.Ed25519PrivateKey.generate()]
)
def test_keys_that_verifiers_know_are_taken(
    key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey,
) -> None:
    pem = make_certificate(CLAIM, key=key)
    assert read(pem) == sha256(PEM_cert_to_DER_cert(pem.decode())).hexdigest()


@pytest.mark.parametrize(
    ("pem", "reason"),
    [
        (b"", "no certificate in PEM"),
        (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "no certificate in PEM"),
        (make_certificate(CLAIM) + make_certificate(CLAIM), "2 certificates"),
        (
            make_certificate(CLAIM, key=ec.generate_private_key(ec.SECP384R1())),
            "neither on P-256 nor Ed25519",
        ),
        (make_certificate(CLAIM, key=rsa.generate_private_key(65537, 2048)), "neither on P-256 nor Ed25519"),
        (make_certificate(), "no dNSName"),
        (make_certificate("sensor2.germany.raspidemo"), "has sensor2.germany.raspidemo; it has to have"),
        (make_certificate(CLAIM, "sensor2.germany.raspidemo"), "alone"),
        (make_certificate(f"evil.{CLAIM}"), "alone"),
        (make_certificate(CLAIM, since=timedelta(hours=1)), "not valid before"),
        (make_certificate(CLAIM, since=timedelta(days=-2), until=timedelta(days=-1)), "expired"),
    ],
    ids=["empty", "rubbish", "two", "P-384", "RSA", "nameless", "other", "more", "below", "early", "late"],
)
def test_others_are_refused(pem: bytes, reason: str) -> None:
    with pytest.raises(CertificateRefusedError, match=reason):
        read(pem)


def test_a_clock_that_is_a_little_ahead_is_forgiven() -> None:
    assert read(make_certificate(CLAIM, since=timedelta(minutes=2)))


@given(st.binary(max_size=200), st.integers(min_value=0), st.binary(max_size=4))
def test_no_input_breaks_it(rubbish: bytes, place: int, wrong: bytes) -> None:
    pem = _PEM
    place %= len(pem)
    for text in (rubbish, pem[:place] + wrong + pem[place + len(wrong) :]):
        with suppress(CertificateRefusedError):
            read(text)


_PEM = make_certificate(CLAIM)
