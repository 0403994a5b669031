"""Real keys and certificates, and well-formed documents for the tests to alter."""

import base64
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import dns.name
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from lightest_agents.trust import jws, names
from lightest_agents.trust.alarm import Alarm
from lightest_agents.trust.jws import VerificationKey
from lightest_agents.trust.notification import Measurement, Notification
from lightest_agents.trust.trust_list import SensorService, ServiceStatus, Supplier, TrustList

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
DOMAIN = names.trust_domain("raspidemo")
CLAIM = dns.name.from_text("sensor1.germany.raspidemo.")

P256 = ec.generate_private_key(ec.SECP256R1())
OTHER_P256 = ec.generate_private_key(ec.SECP256R1())
ED25519 = ed25519.Ed25519PrivateKey.generate()


def certificate(key: CertificateIssuerPrivateKeyTypes) -> x509.Certificate:
    """A certificate that `key` signed for itself."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sample")])
    digest = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW)
        .not_valid_after(NOW + timedelta(days=1))
        .sign(key, digest)
    )


P256_CERTIFICATE = certificate(P256)
ED25519_CERTIFICATE = certificate(ED25519)
P256_DER = P256_CERTIFICATE.public_bytes(Encoding.DER)
ED25519_DER = ED25519_CERTIFICATE.public_bytes(Encoding.DER)


def key(der: bytes = P256_DER) -> VerificationKey:
    return jws.key_of_certificate(der)


def notification(**changes: Any) -> Notification:
    sample = Notification(
        jti="019c9a4b-0000-7abc-8def-0123456789ab",
        iat=int(NOW.timestamp()),
        seq=12,
        sensor="sensor1",
        location="germany",
        fault="overtemperature",
        threshold=25.0,
        measurement=(Measurement("temperature", "Cel", 27.5, NOW.timestamp() - 0.25),),
    )
    return replace(sample, **changes)


def payload(**changes: Any) -> dict[str, Any]:
    """The payload of a notification; a change to `...` removes the member."""
    sample = {
        "jti": "019c9a4b-0000-7abc-8def-0123456789ab",
        "iat": int(NOW.timestamp()),
        "seq": 12,
        "sensor": "sensor1",
        "location": "germany",
        "fault": "overtemperature",
        "threshold": 25.0,
        "measurement": [{"n": "temperature", "u": "Cel", "v": 27.5, "t": NOW.timestamp() - 0.25}],
    }
    return {name: value for name, value in {**sample, **changes}.items() if value is not ...}


def supplier(name: str = "supplier1", *, available: bool = True) -> Supplier:
    return Supplier(name, "Repairs & Söhne", f"https://{name}.raspidemo:9443/v1/alarms", "", available)


def trust_list(**changes: Any) -> TrustList:
    sample = TrustList(
        sequence=3,
        issued=NOW,
        next_update=NOW + timedelta(days=1),
        operator="Operator",
        territory="DE",
        information="https://tspa.raspidemo/",
        manufacturer="Acme GmbH",
        manufacturer_label="acme",
        service=SensorService(CLAIM, P256_DER, ServiceStatus.GRANTED, NOW),
        suppliers=(supplier(), supplier("supplier2")),
    )
    return replace(sample, **changes)


def alarm(**changes: Any) -> Alarm:
    sample = Alarm(
        iss="verifier.raspidemo",
        aud="supplier1",
        iat=int(NOW.timestamp()),
        fault_id="0123456789abcdef" * 2,
        sensor="sensor1",
        location="germany",
        claim="sensor1.germany.raspidemo",
        fault="overtemperature",
        threshold=25.0,
        measurement=(Measurement("temperature", "Cel", 27.5, NOW.timestamp()),),
        raised=int(NOW.timestamp()),
        trace="https://verifier.raspidemo:8443/v1/faults/0123456789abcdef",
    )
    return replace(sample, **changes)


def segment(octets: bytes) -> bytes:
    return base64.urlsafe_b64encode(octets).rstrip(b"=")


def es256(signing_input: bytes) -> bytes:
    """A signature by `P256` as RFC 7518, section 3.4, has it; made without the code under test."""
    r, s = decode_dss_signature(P256.sign(signing_input, ec.ECDSA(hashes.SHA256())))
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def forge(
    header: object, content: object, sign: Callable[[bytes], bytes] = es256, *, raw: bool = False
) -> bytes:
    """A JWS of any header and payload: JSON values or, if `raw`, the octets themselves."""
    parts = [header, content] if raw else [json.dumps(part).encode() for part in (header, content)]
    signing_input = b".".join(segment(part) for part in parts if isinstance(part, bytes))
    return signing_input + b"." + segment(sign(signing_input))
