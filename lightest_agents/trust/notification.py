"""The fault notification: what a sensor says when its temperature crosses the threshold.

A JWS in compact form, `typ` `fault+jws`, at most 8 KiB. Its payload is one JSON object with exactly the
members `jti`, `iat`, `seq`, `sensor`, `location`, `fault`, `threshold` and `measurement`, the last a SenML
pack (RFC 8428) of resolved records. It cannot choose the trust domain: that is the verifier's own setting.

An ECDSA signature (r, s) can be rewritten by anybody into (r, n - s), which is valid, too. So the digest of a
body does not identify a notification: a replay is told by the claim and the `jti`, which are both signed.
"""

import re
import secrets
from dataclasses import dataclass

import dns.name

from lightest_agents.errors import LightestError, NameRefusedError
from lightest_agents.trust import jws, names, strict_json
from lightest_agents.trust.jws import Jws, PrivateKey, VerificationKey
from lightest_agents.trust.strict_json import MalformedError, matching, number, text, whole
from lightest_agents.trust.verdict import Reason, Refusal

MAX_BYTES = 8192
"""The size of a body."""
MAX_RECORDS = 32
"""The number of records in a measurement."""
TYPE = "fault+jws"
FAULT = re.compile(r"[a-z][a-z0-9-]{0,31}")
"""The words for faults."""

_FIRST_ABSOLUTE_TIME = 2**28  # RFC 8428, section 4.5.3: smaller times are relative
_MEMBERS = frozenset({"jti", "iat", "seq", "sensor", "location", "fault", "threshold", "measurement"})
_RECORD_MEMBERS = frozenset({"n", "u", "v", "t"})
_UUID7 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
_RECORD_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9:./_-]{0,254}")  # RFC 8428, section 4.5.1
_UNIT = re.compile(r"[!#-\[\]-~]{1,32}")  # RFC 8428, section 12.1: no space, quote or backslash


class NotificationError(LightestError):
    """A notification that no verifier would take was about to be signed."""

    reason = "notification-malformed"


@dataclass(frozen=True, slots=True)
class Measurement:
    """One SenML record: `name`, `unit` (`Cel`), `value` in that unit, `time` in seconds since the epoch."""

    name: str
    unit: str
    value: float
    time: float


@dataclass(frozen=True, slots=True)
class Notification:
    """A fault; `iat` is in seconds since the epoch, `seq` counts the sensor's notifications."""

    jti: str
    """A UUIDv7 in lower case; a sensor never uses one twice."""
    iat: int
    seq: int
    sensor: str
    """The label of the sensor, `sensor1`."""
    location: str
    """The label of the country, `germany`."""
    fault: str
    """A word such as `overtemperature`."""
    threshold: float
    """What the first record's value went beyond, in its unit."""
    measurement: tuple[Measurement, ...]


@dataclass(frozen=True, slots=True)
class SignedNotification:
    """A body and what it says: well formed, but NOT verified."""

    body: bytes
    notification: Notification
    jws: Jws

    @property
    def algorithm(self) -> str:
        """`ES256` or `Ed25519`."""
        return self.jws.algorithm


def new_jti(now_ms: int) -> str:
    """A UUIDv7 (RFC 9562, section 5.7) of the time `now_ms`, in milliseconds since the epoch."""
    bits = (now_ms & (2**48 - 1)) << 80 | secrets.randbits(80)
    bits = bits & ~(0xF << 76) & ~(0b11 << 62) | 0x7 << 76 | 0b10 << 62
    digits = f"{bits:032x}"
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def sign(notification: Notification, key: PrivateKey) -> bytes:
    """The body to send.

    Raises:
        NotificationError: a verifier would refuse it; the message says why.
        KeyRefusedError: `key` is neither a P-256 nor an Ed25519 key.
    """
    try:
        payload = strict_json.dump(_to_json(notification))
    except ValueError as error:
        raise NotificationError(f"the notification cannot be written as JSON: {error}") from error
    body = jws.sign(TYPE, payload, key)
    result = parse(body)
    if isinstance(result, Refusal):
        raise NotificationError(
            f"a verifier would refuse this notification as {result.reason}: {result.detail}"
        )
    return body


def parse(body: bytes) -> SignedNotification | Refusal:
    """What a body says, if it is a well-formed notification; nothing is verified yet.

    Refusals: `notification-too-large`, `algorithm-refused`, `name-refused`, `notification-malformed`.
    """
    if len(body) > MAX_BYTES:
        return Refusal(Reason.NOTIFICATION_TOO_LARGE, f"{len(body)} bytes; {MAX_BYTES} are the limit")
    try:
        envelope = jws.read(body, TYPE)
        return SignedNotification(body, _notification(strict_json.load(envelope.payload)), envelope)
    except jws.AlgorithmRefusedError as error:
        return Refusal(Reason.ALGORITHM_REFUSED, str(error))
    except NameRefusedError as error:
        return Refusal(Reason.NAME_REFUSED, str(error))
    except MalformedError as error:
        return Refusal(Reason.NOTIFICATION_MALFORMED, str(error))


def verify(signed: SignedNotification, key: VerificationKey) -> Refusal | None:
    """Refuse a notification that was not signed by the owner of `key` (`signature-invalid`)."""
    if key.verifies(signed.jws):
        return None
    return Refusal(
        Reason.SIGNATURE_INVALID,
        f"the {signed.algorithm} signature is not that of the sensor's listed {key.algorithm} key",
    )


def claim(notification: Notification, domain: dns.name.Name) -> dns.name.Name:
    """The name that a notification claims in the verifier's trust `domain`: `sensor1.germany.raspidemo.`

    Raises:
        NameRefusedError: the domain is so long that the name exceeds 255 octets.
    """
    return names.child(notification.sensor, names.child(notification.location, domain))


def measurement_to_json(measurement: tuple[Measurement, ...]) -> list[dict[str, object]]:
    """The SenML pack of a measurement."""
    return [
        {"n": record.name, "u": record.unit, "v": record.value, "t": record.time} for record in measurement
    ]


def measurement_from_json(value: object) -> tuple[Measurement, ...]:
    """The measurement in a SenML pack.

    Raises:
        MalformedError: it is not a pack of 1 to 32 resolved records with exactly the fields n, u, v and t.
    """
    if type(value) is not list or not 1 <= len(value) <= MAX_RECORDS:
        raise MalformedError(f"measurement must be 1 to {MAX_RECORDS} SenML records")
    return tuple([_record(item) for item in value])


def _to_json(notification: Notification) -> dict[str, object]:
    return {
        "jti": notification.jti,
        "iat": notification.iat,
        "seq": notification.seq,
        "sensor": notification.sensor,
        "location": notification.location,
        "fault": notification.fault,
        "threshold": notification.threshold,
        "measurement": measurement_to_json(notification.measurement),
    }


def _notification(value: object) -> Notification:
    if type(value) is not dict or value.keys() != _MEMBERS:
        raise MalformedError(f"the payload must be an object with {', '.join(sorted(_MEMBERS))} and no more")
    return Notification(
        matching(_UUID7, value["jti"], "jti"),
        whole(value["iat"], "iat"),
        whole(value["seq"], "seq"),
        _sensor_label(text(value["sensor"], "sensor")),
        names.check_label(text(value["location"], "location")),
        matching(FAULT, value["fault"], "fault"),
        number(value["threshold"], "threshold"),
        measurement_from_json(value["measurement"]),
    )


def _sensor_label(label: str) -> str:
    if label == names.SCHEME_LABEL:
        raise NameRefusedError(f"{label!r} is the label of scheme zones; no sensor may have it")
    return names.check_label(label)


def _record(value: object) -> Measurement:
    if type(value) is not dict or value.keys() != _RECORD_MEMBERS:
        raise MalformedError("a SenML record must be an object with n, u, v and t and no more")
    time = number(value["t"], "t")
    if time < _FIRST_ABSOLUTE_TIME:
        raise MalformedError("t must be seconds since the epoch")
    return Measurement(
        matching(_RECORD_NAME, value["n"], "n"),
        matching(_UNIT, value["u"], "u"),
        number(value["v"], "v"),
        time,
    )
