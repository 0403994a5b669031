"""The decision: from a notification and the trust list of the sensor that it claims to a refusal, or none."""

from datetime import datetime, timedelta

import dns.name

from lightest_agents.trust import jws
from lightest_agents.trust.jws import VerificationKey
from lightest_agents.trust.notification import Notification, SignedNotification, verify
from lightest_agents.trust.trust_list import (
    SensorService,
    ServiceStatus,
    TrustList,
    check_freshness,
    check_service,
)
from lightest_agents.trust.verdict import Reason, Refusal


def verification_key(service: SensorService) -> VerificationKey | Refusal:
    """The listed key of a sensor, to be made once for each list (`list-malformed` if it cannot be used).

    The list is the authority on this certificate, so its dates and issuer are not looked at, as with DANE-EE
    (RFC 7671, section 5.1).
    """
    try:
        return jws.key_of_certificate(service.certificate)
    except jws.KeyRefusedError as error:
        return Refusal(Reason.LIST_MALFORMED, f"the sensor's certificate: {error}")


def decide(
    signed: SignedNotification,
    trust_list: TrustList,
    key: VerificationKey,
    *,
    claim: dns.name.Name,
    seen: int | None,
    now: datetime,
    received: datetime,
    max_age: timedelta,
    max_ahead: timedelta,
) -> Refusal | None:
    """Whether the list of the claimed sensor, fit for use, bears out the notification (steps 5 and 6).

    Whether it is a replay has to be decided by who remembers what was accepted.

    Args:
        signed: the notification.
        trust_list: a list whose signer was found to be the one that the trust scheme names.
        key: the `verification_key` of the list's service.
        claim: the name that the notification claims, under the verifier's trust domain.
        seen: the highest sequence of the sensor's lists that was used before.
        now: the time, aware.
        received: when the notification was received, aware; it does not grow stale by waiting here.
        max_age: how old it may have been then.
        max_ahead: how far the sensor's clock may be ahead.
    """
    return (
        check_service(trust_list, claim)
        or check_freshness(trust_list, seen, now)
        or check_notification(
            signed, trust_list.service, key, received=received, max_age=max_age, max_ahead=max_ahead
        )
    )


def check_notification(
    signed: SignedNotification,
    service: SensorService,
    key: VerificationKey,
    *,
    received: datetime,
    max_age: timedelta,
    max_ahead: timedelta,
) -> Refusal | None:
    """Whether the listed sensor made the notification, and in time (step 6); arguments as for `decide`.

    The time is looked at last, so that what is said about it is about a genuine notification.

    Refusals: `sensor-withdrawn`, `signature-invalid`, `stale`, `future`.
    """
    return (
        _check_status(service)
        or verify(signed, key)
        or _check_time(signed.notification, received, max_age, max_ahead)
    )


def _check_status(service: SensorService) -> Refusal | None:
    if service.status is not ServiceStatus.GRANTED:
        return Refusal(Reason.SENSOR_WITHDRAWN, f"withdrawn since {service.since:%Y-%m-%d %H:%M:%S}Z")
    return None


def _check_time(
    notification: Notification, received: datetime, max_age: timedelta, max_ahead: timedelta
) -> Refusal | None:
    age = received.timestamp() - notification.iat
    if age > max_age.total_seconds():
        return Refusal(Reason.STALE, f"{age:.0f} s old when it was received")
    if age < -max_ahead.total_seconds():
        return Refusal(Reason.FUTURE, f"made {-age:.0f} s ahead of its reception")
    return None
