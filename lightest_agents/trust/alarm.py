"""The alarm: what a verifier tells a supplier after the chain of trust held.

A JWS in compact form, `typ` `alarm+jws`, signed by the verifier's alarm signer, whose certificate is in
`x5c`. The supplier finds out through the DNS whether that certificate is the verifier's: by the SMIMEA record
at `names.verdict_signer(iss)`.
"""

import re
from dataclasses import dataclass

from cryptography import x509

from lightest_agents.errors import LightestError, NameRefusedError
from lightest_agents.trust import jws, names, strict_json
from lightest_agents.trust.jws import PrivateKey
from lightest_agents.trust.notification import (
    FAULT,
    Measurement,
    measurement_from_json,
    measurement_to_json,
)
from lightest_agents.trust.strict_json import MalformedError, matching, number, text, whole
from lightest_agents.trust.urls import UrlRefusedError, parse_https_url

MAX_ALARM_BYTES = 16 * 1024
TYPE = "alarm+jws"

_FAULT_ID = re.compile(r"[0-9a-f]{32}")
_MEMBERS = frozenset(
    {
        "iss",
        "aud",
        "iat",
        "fault_id",
        "sensor",
        "location",
        "claim",
        "fault",
        "threshold",
        "measurement",
        "raised",
        "trace",
    }
)


class AlarmError(LightestError):
    """A document is not an alarm."""

    reason = "alarm-malformed"


class AlarmSignatureError(AlarmError):
    """An alarm's signature is not that of the certificate it carries."""

    reason = "alarm-signature"


@dataclass(frozen=True, slots=True)
class Alarm:
    """What happened, and who says so."""

    iss: str
    """The verifier's DNS name without the final dot, `verifier.raspidemo`."""
    aud: str
    """The supplier's label."""
    iat: int
    """When the alarm was made, in seconds since the epoch."""
    fault_id: str
    """The verifier's id of the notification, 32 hexadecimal digits: one fault is one alarm."""
    sensor: str
    location: str
    claim: str
    """The sensor's DNS name without the final dot."""
    fault: str
    threshold: float
    measurement: tuple[Measurement, ...]
    raised: int
    """The `iat` of the sensor's notification."""
    trace: str
    """The https address of the page that shows how the chain held."""


@dataclass(frozen=True, slots=True)
class SignedAlarm:
    """An alarm and the certificate (DER) whose key signed it, which the caller still has to know."""

    alarm: Alarm
    signer: bytes


class AlarmSigner:
    """Signs the alarms of one verifier."""

    def __init__(self, key: PrivateKey, certificate: x509.Certificate) -> None:
        """Prepare what is the same in all of them.

        Raises:
            KeyRefusedError: the key is neither P-256 nor Ed25519, or not the certificate's.
        """
        self._signer = jws.CertifiedSigner(TYPE, key, certificate)

    def sign(self, alarm: Alarm) -> bytes:
        """The body to send.

        Raises:
            AlarmError: a supplier would refuse it; the message says why.
        """
        values = _to_json(alarm)
        try:
            _from_json(values)
            body = self._signer.sign(strict_json.dump(values))
        except (MalformedError, NameRefusedError, UrlRefusedError, ValueError) as error:
            raise AlarmError(f"a supplier would refuse this alarm: {error}") from error
        if len(body) > MAX_ALARM_BYTES:
            raise AlarmError(f"{len(body)} bytes; {MAX_ALARM_BYTES} are the limit")
        return body


def open_alarm(body: bytes) -> SignedAlarm:
    """The alarm in a body that is signed by the certificate it carries.

    Raises:
        AlarmError: it is not an alarm.
        AlarmSignatureError: it is not signed by that certificate.
    """
    if len(body) > MAX_ALARM_BYTES:
        raise AlarmError(f"{len(body)} bytes; {MAX_ALARM_BYTES} are the limit")
    try:
        document = jws.read_with_certificate(body, TYPE)
        return SignedAlarm(_from_json(strict_json.load(document.payload)), document.signer)
    except (jws.AlgorithmRefusedError, jws.SignatureInvalidError) as error:
        raise AlarmSignatureError(str(error)) from error
    except (MalformedError, NameRefusedError, UrlRefusedError) as error:
        raise AlarmError(str(error)) from error


def _to_json(alarm: Alarm) -> dict[str, object]:
    return {
        "iss": alarm.iss,
        "aud": alarm.aud,
        "iat": alarm.iat,
        "fault_id": alarm.fault_id,
        "sensor": alarm.sensor,
        "location": alarm.location,
        "claim": alarm.claim,
        "fault": alarm.fault,
        "threshold": alarm.threshold,
        "measurement": measurement_to_json(alarm.measurement),
        "raised": alarm.raised,
        "trace": alarm.trace,
    }


def _from_json(value: object) -> Alarm:
    if type(value) is not dict or value.keys() != _MEMBERS:
        raise MalformedError(f"the payload must be an object with {', '.join(sorted(_MEMBERS))} and no more")
    return Alarm(
        iss=_name(value["iss"], "iss"),
        aud=names.check_label(text(value["aud"], "aud")),
        iat=whole(value["iat"], "iat"),
        fault_id=matching(_FAULT_ID, value["fault_id"], "fault_id"),
        sensor=names.check_label(text(value["sensor"], "sensor")),
        location=names.check_label(text(value["location"], "location")),
        claim=_name(value["claim"], "claim"),
        fault=matching(FAULT, value["fault"], "fault"),
        threshold=number(value["threshold"], "threshold"),
        measurement=measurement_from_json(value["measurement"]),
        raised=whole(value["raised"], "raised"),
        trace=_url(value["trace"], "trace"),
    )


def _name(value: object, member: str) -> str:
    return names.check_domain(text(value, member))


def _url(value: object, member: str) -> str:
    url = text(value, member)
    parse_https_url(url)
    return url
