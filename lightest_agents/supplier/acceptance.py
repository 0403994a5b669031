"""Which alarms a supplier takes: those of its verifiers, whose keys the DNS names, meant for it and fresh."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum

import dns.rdatatype

from lightest_agents.dns.lookups import Lookup, Resolver, Status
from lightest_agents.dns.tlsa import NoMatch, smimea_matches
from lightest_agents.trust import names
from lightest_agents.trust.alarm import Alarm, AlarmError, AlarmSignatureError, SignedAlarm, open_alarm

MAX_AGE = 86400
"""Seconds since an alarm was made. A verifier makes a new one for each attempt; an older one is a replay."""

MAX_AHEAD = 60
"""Seconds by which a verifier's clock may be ahead."""


class AlarmReason(Enum):
    """Why an alarm is not taken: a stable code, the HTTP status of the answer and a title for people."""

    MALFORMED = ("alarm-malformed", 400, "This is not an alarm")
    SIGNATURE = ("alarm-signature", 403, "The alarm's signature is wrong")
    ISSUER = ("alarm-issuer", 403, "The alarm does not come from a verifier of this supplier")
    AUDIENCE = ("alarm-audience", 403, "The alarm is meant for another supplier")
    STALE = ("alarm-stale", 403, "The alarm was not made just now")
    SIGNER = ("alarm-signer", 403, "The DNS does not name the alarm's signer as the verifier's")
    SIGNER_UNKNOWN = ("alarm-signer-unknown", 503, "The DNS does not tell who the verifier's signer is")

    def __init__(self, code: str, status: int, title: str) -> None:
        """A member; its value is all three."""
        self.code, self.status, self.title = code, status, title


@dataclass(frozen=True, slots=True)
class AlarmRefusal:
    """An alarm that is not taken; `detail` says what was seen."""

    reason: AlarmReason
    detail: str


async def check_alarm(
    body: bytes, *, label: str, verifiers: Collection[str], resolver: Resolver, now: float
) -> Alarm | AlarmRefusal:
    """The alarm in a body that a verifier of ours has signed for us, or why it is refused.

    All that needs no look-up comes first, so that a stranger cannot make us ask the DNS.

    Args:
        body: what was received.
        label: what trust lists call this supplier.
        verifiers: DNS names, without the final dot.
        now: seconds since the epoch.
    """
    try:
        signed = open_alarm(body)
    except AlarmSignatureError as error:
        return AlarmRefusal(AlarmReason.SIGNATURE, str(error))
    except AlarmError as error:
        return AlarmRefusal(AlarmReason.MALFORMED, str(error))
    alarm = signed.alarm
    if alarm.iss not in verifiers:
        return AlarmRefusal(AlarmReason.ISSUER, f"{alarm.iss} is none of {', '.join(verifiers)}")
    if alarm.aud != label:
        return AlarmRefusal(AlarmReason.AUDIENCE, f"it is meant for {alarm.aud}, and this is {label}")
    if not now - MAX_AGE <= alarm.iat <= now + MAX_AHEAD:
        return AlarmRefusal(AlarmReason.STALE, f"it was made {_moment(alarm.iat, now)}")
    if alarm.raised > now + MAX_AHEAD:
        return AlarmRefusal(AlarmReason.STALE, f"its fault was raised {_moment(alarm.raised, now)}")
    owner = names.verdict_signer(names.trust_domain(alarm.iss))
    found = await resolver.lookup(owner, dns.rdatatype.SMIMEA)
    return _check_signer(signed, found, now) or alarm


def _check_signer(signed: SignedAlarm, found: Lookup, now: float) -> AlarmRefusal | None:
    """Whether the secure SMIMEA records (RFC 8162) of the verifier name the signer's certificate."""
    if found.status in (Status.BOGUS, Status.UNAVAILABLE):
        return AlarmRefusal(AlarmReason.SIGNER_UNKNOWN, f"SMIMEA of {found.name}: {found.detail}")
    if found.status is not Status.ANSWER or found.rrset is None:
        return AlarmRefusal(AlarmReason.SIGNER, f"SMIMEA of {found.name}: {found.detail}")
    match = smimea_matches(list(found.rrset), [signed.signer], now=datetime.fromtimestamp(now, UTC))
    if isinstance(match, NoMatch):
        return AlarmRefusal(AlarmReason.SIGNER, f"SMIMEA of {found.name}: {match.detail}")
    return None


def _moment(seconds: int, now: float) -> str:
    word = "before" if seconds < now else "after"
    return f"{abs(now - seconds):.0f} s {word} the supplier's clock"
