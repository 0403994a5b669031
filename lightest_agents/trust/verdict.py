"""What the walk along the chain of trust says: its seven links, its three outcomes and its reason codes.

A notification is *rejected* when authentic data say no: that is permanent. It is *deferred* when no authentic
answer could be had now, for whatever reason: it is tried again and never lost, so that nobody who disturbs
the network can suppress an alarm for good.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Self

from lightest_agents.errors import LightestError


class TraceError(LightestError):
    """Stored JSON is not the trace of a walk."""

    reason = "trace-malformed"


class Step(IntEnum):
    """The seven links of the chain, in the order in which they are walked."""

    SENSOR = 1
    CLAIM = 2
    POINTER = 3
    SCHEME = 4
    LIST = 5
    SIGNATURE = 6
    SUPPLIER = 7

    @property
    def word(self) -> str:
        """The link's name in all views: `sensor`, `claim`, …"""
        return self.name.lower()


class Outcome(StrEnum):
    """What becomes of a notification."""

    ACCEPTED = "accepted"
    REJECTED = "rejected"
    DEFERRED = "deferred"


class Reason(StrEnum):
    """Why a notification was not accepted: a stable code. What each says is in the table below."""

    NOTIFICATION_MALFORMED = "notification-malformed"
    NOTIFICATION_TOO_LARGE = "notification-too-large"
    ALGORITHM_REFUSED = "algorithm-refused"
    NAME_REFUSED = "name-refused"
    INTERNAL_ERROR = "internal-error"
    CLAIM_INSECURE = "claim-insecure"
    CLAIM_BOGUS = "claim-bogus"
    CLAIM_UNKNOWN = "claim-unknown"
    CLAIM_UNAVAILABLE = "claim-unavailable"
    POINTER_MISSING = "pointer-missing"
    POINTER_OUTSIDE = "pointer-outside"
    POINTER_LOOP = "pointer-loop"
    SCHEME_INSECURE = "scheme-insecure"
    SCHEME_BOGUS = "scheme-bogus"
    SCHEME_MISSING = "scheme-missing"
    SCHEME_UNAVAILABLE = "scheme-unavailable"
    URI_REFUSED = "uri-refused"
    TLSA_MISSING = "tlsa-missing"
    TLSA_INSECURE = "tlsa-insecure"
    TLSA_BOGUS = "tlsa-bogus"
    TLSA_MISMATCH = "tlsa-mismatch"
    PUBLISHER_UNREACHABLE = "publisher-unreachable"
    LIST_UNAVAILABLE = "list-unavailable"
    LIST_TOO_LARGE = "list-too-large"
    LIST_MALFORMED = "list-malformed"
    LIST_SIGNATURE = "list-signature"
    LIST_SIGNER = "list-signer"
    LIST_EXPIRED = "list-expired"
    LIST_ROLLBACK = "list-rollback"
    LIST_NOT_YET_VALID = "list-not-yet-valid"
    LIST_OTHER_SENSOR = "list-other-sensor"
    SIGNATURE_INVALID = "signature-invalid"
    SENSOR_WITHDRAWN = "sensor-withdrawn"
    REPLAYED = "replayed"
    STALE = "stale"
    FUTURE = "future"
    SUPPLIER_NONE_AVAILABLE = "supplier-none-available"
    SUPPLIER_UNREACHABLE = "supplier-unreachable"
    SUPPLIER_REFUSED = "supplier-refused"

    @property
    def step(self) -> Step:
        """The link that did not hold."""
        return _REASONS[self][0]

    @property
    def outcome(self) -> Outcome:
        """`REJECTED` or `DEFERRED`."""
        return _REASONS[self][1]

    @property
    def meaning(self) -> str:
        """One sentence for people: what it means and what to do."""
        return _REASONS[self][2]


_REASONS: Mapping[Reason, tuple[Step, Outcome, str]] = {
    Reason.NOTIFICATION_MALFORMED: (
        Step.SENSOR,
        Outcome.REJECTED,
        "What was sent is not a fault notification; compare the sensor's software with the format.",
    ),
    Reason.NOTIFICATION_TOO_LARGE: (
        Step.SENSOR,
        Outcome.REJECTED,
        "The notification is larger than 8 KiB; send fewer measurements.",
    ),
    Reason.ALGORITHM_REFUSED: (
        Step.SENSOR,
        Outcome.REJECTED,
        "The notification is not signed by ES256 or Ed25519; give the sensor a P-256 or Ed25519 key.",
    ),
    Reason.NAME_REFUSED: (
        Step.SENSOR,
        Outcome.REJECTED,
        "The sensor's name or location is not a single DNS label; correct the sensor's configuration.",
    ),
    Reason.INTERNAL_ERROR: (
        Step.SENSOR,
        Outcome.DEFERRED,
        "The verifier failed in a way that nobody foresaw and will try again; report what its log says.",
    ),
    Reason.CLAIM_INSECURE: (
        Step.CLAIM,
        Outcome.REJECTED,
        "The claim's zone is not signed, so anybody could have answered; publish the zone's DS in its"
        " parent.",
    ),
    Reason.CLAIM_BOGUS: (
        Step.CLAIM,
        Outcome.DEFERRED,
        "The answer for the claim fails DNSSEC; look for a forger, expired signatures or a wrong clock.",
    ),
    Reason.CLAIM_UNKNOWN: (
        Step.CLAIM,
        Outcome.REJECTED,
        "The DNS proves that there is no such sensor or location; add the sensor to the inventory.",
    ),
    Reason.CLAIM_UNAVAILABLE: (
        Step.CLAIM,
        Outcome.DEFERRED,
        "The DNS gave no answer for the claim; see whether the resolver and the country's name server run.",
    ),
    Reason.POINTER_MISSING: (
        Step.POINTER,
        Outcome.REJECTED,
        "The claim has no pointer to a trust scheme; publish its PTR record.",
    ),
    Reason.POINTER_OUTSIDE: (
        Step.POINTER,
        Outcome.REJECTED,
        "The pointer leads out of the scheme zones that the verifier allows; correct it, or allow that zone.",
    ),
    Reason.POINTER_LOOP: (
        Step.POINTER,
        Outcome.REJECTED,
        "The pointers lead in a circle or deeper than eight; let the claim point to its trust scheme "
        "directly.",
    ),
    Reason.SCHEME_INSECURE: (
        Step.SCHEME,
        Outcome.REJECTED,
        "The scheme's zone is not signed, so anybody could have answered; publish the zone's DS in "
        "its parent.",
    ),
    Reason.SCHEME_BOGUS: (
        Step.SCHEME,
        Outcome.DEFERRED,
        "The answer for the scheme fails DNSSEC; look for a forger, expired signatures or a wrong clock.",
    ),
    Reason.SCHEME_MISSING: (
        Step.SCHEME,
        Outcome.REJECTED,
        "The scheme has no URI or no SMIMEA record; let the manufacturer publish the sensor's list again.",
    ),
    Reason.SCHEME_UNAVAILABLE: (
        Step.SCHEME,
        Outcome.DEFERRED,
        "The DNS gave no answer for the scheme; see whether the resolver and the scheme's name server run.",
    ),
    Reason.URI_REFUSED: (
        Step.SCHEME,
        Outcome.REJECTED,
        "The scheme's URI is not a plain https address of a named host; publish the list again.",
    ),
    Reason.TLSA_MISSING: (
        Step.SCHEME,
        Outcome.REJECTED,
        "The list's host has no TLSA record, so its key is unknown; publish the TLSA record.",
    ),
    Reason.TLSA_INSECURE: (
        Step.SCHEME,
        Outcome.REJECTED,
        "The TLSA record of the list's host is in an unsigned zone; publish the zone's DS in its parent.",
    ),
    Reason.TLSA_BOGUS: (
        Step.SCHEME,
        Outcome.DEFERRED,
        "The TLSA record of the list's host fails DNSSEC; look for a forger or expired signatures.",
    ),
    Reason.TLSA_MISMATCH: (
        Step.SCHEME,
        Outcome.DEFERRED,
        "The list's host showed a key that its TLSA record does not name; look for a man in the middle.",
    ),
    Reason.PUBLISHER_UNREACHABLE: (
        Step.SCHEME,
        Outcome.DEFERRED,
        "No TLS connection to the list's host could be made; see whether it and the network are up.",
    ),
    Reason.LIST_UNAVAILABLE: (
        Step.LIST,
        Outcome.DEFERRED,
        "The list's host is genuine but gave no list; see whether the publisher works.",
    ),
    Reason.LIST_TOO_LARGE: (
        Step.LIST,
        Outcome.REJECTED,
        "The trust list is larger than 1 MiB; let its publisher mend it.",
    ),
    Reason.LIST_MALFORMED: (
        Step.LIST,
        Outcome.REJECTED,
        "The document is not a trust list that the verifier understands; let its publisher mend it.",
    ),
    Reason.LIST_SIGNATURE: (
        Step.LIST,
        Outcome.REJECTED,
        "The trust list's signature is missing or wrong; the document was altered or badly made.",
    ),
    Reason.LIST_SIGNER: (
        Step.LIST,
        Outcome.REJECTED,
        "The trust list was not signed by whom the scheme's SMIMEA record names; find out who signed it.",
    ),
    Reason.LIST_EXPIRED: (
        Step.LIST,
        Outcome.DEFERRED,
        "The trust list was due for renewal; see why the publisher is late.",
    ),
    Reason.LIST_ROLLBACK: (
        Step.LIST,
        Outcome.REJECTED,
        "The trust list is older than one that was used before; find out who serves old lists.",
    ),
    Reason.LIST_NOT_YET_VALID: (
        Step.LIST,
        Outcome.REJECTED,
        "The trust list was issued in the future; set the clocks of publisher and verifier.",
    ),
    Reason.LIST_OTHER_SENSOR: (
        Step.LIST,
        Outcome.REJECTED,
        "The trust list is about another sensor; let the publisher correct the scheme's URI.",
    ),
    Reason.SIGNATURE_INVALID: (
        Step.SIGNATURE,
        Outcome.REJECTED,
        "The notification was not signed by the sensor's listed key: it was forged or altered, or the"
        " key is new; enrol the sensor again if it is yours.",
    ),
    Reason.SENSOR_WITHDRAWN: (
        Step.SIGNATURE,
        Outcome.REJECTED,
        "The manufacturer has withdrawn this sensor; replace it, or have it restored.",
    ),
    Reason.REPLAYED: (
        Step.SIGNATURE,
        Outcome.REJECTED,
        "This notification was accepted before; if the sensor did not send it twice, somebody else did.",
    ),
    Reason.STALE: (
        Step.SIGNATURE,
        Outcome.REJECTED,
        "The notification is too old; look for a replay, or set the sensor's clock.",
    ),
    Reason.FUTURE: (
        Step.SIGNATURE,
        Outcome.REJECTED,
        "The notification was made in the future; set the sensor's clock.",
    ),
    Reason.SUPPLIER_NONE_AVAILABLE: (
        Step.SUPPLIER,
        Outcome.DEFERRED,
        "The trust list names no supplier that is available; let the manufacturer name one.",
    ),
    Reason.SUPPLIER_UNREACHABLE: (
        Step.SUPPLIER,
        Outcome.DEFERRED,
        "No available supplier could be reached over DANE-checked TLS; see whether the supplier's "
        "host is up.",
    ),
    Reason.SUPPLIER_REFUSED: (
        Step.SUPPLIER,
        Outcome.DEFERRED,
        "The supplier did not take the alarm; see whether it knows this verifier.",
    ),
}


@dataclass(frozen=True, slots=True)
class Refusal:
    """A link that did not hold, as a value; `detail` says what was seen, without a final stop."""

    reason: Reason
    detail: str

    @property
    def step(self) -> Step:
        """The link that did not hold."""
        return self.reason.step

    @property
    def outcome(self) -> Outcome:
        """`REJECTED` or `DEFERRED`."""
        return self.reason.outcome


class LinkState(StrEnum):
    """How far one link is."""

    HELD = "held"
    BROKEN = "broken"
    WAITING = "waiting"
    NOT_REACHED = "not-reached"

    @property
    def sign(self) -> str:
        """One character for the terminal."""
        return _SIGNS[self]


_SIGNS = {
    LinkState.HELD: "●",
    LinkState.BROKEN: "○",
    LinkState.WAITING: "◌",
    LinkState.NOT_REACHED: "·",
}


@dataclass(frozen=True, slots=True)
class Link:
    """One link of the chain as it was found; `milliseconds` is the time it took, if it was walked."""

    step: Step
    state: LinkState
    milliseconds: float | None
    detail: str
    reason: Reason | None


@dataclass(frozen=True, slots=True)
class Trace:
    """A walk along the chain: always seven links, in order."""

    links: tuple[Link, ...]

    def __post_init__(self) -> None:
        """Refuse anything but the seven links in order (ValueError)."""
        if [link.step for link in self.links] != list(Step):
            raise ValueError("a trace has the seven links in order")

    @property
    def signs(self) -> str:
        """The chain in one line: `● ● ● ○ · · ·`."""
        return " ".join(link.state.sign for link in self.links)

    def to_json(self) -> list[dict[str, object]]:
        """One object per link: step, link, state, milliseconds, detail, reason."""
        return [
            {
                "step": int(link.step),
                "link": link.step.word,
                "state": link.state.value,
                "milliseconds": link.milliseconds,
                "detail": link.detail,
                "reason": None if link.reason is None else link.reason.value,
            }
            for link in self.links
        ]

    @classmethod
    def from_json(cls, items: Sequence[Mapping[str, object]]) -> Self:
        """The trace that `to_json` wrote.

        Raises:
            TraceError: it is not such a trace.
        """
        try:
            return cls(tuple(_link(item) for item in items))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise TraceError(f"not a trace of the seven links: {error}") from error


def _link(item: Mapping[str, object]) -> Link:
    step, milliseconds, detail, reason = (item[key] for key in ("step", "milliseconds", "detail", "reason"))
    if (
        type(step) is not int
        or not isinstance(milliseconds, int | float | None)
        or not isinstance(detail, str)
    ):
        raise TypeError(f"wrong type in {item}")
    return Link(
        Step(step),
        LinkState(str(item["state"])),
        milliseconds,
        detail,
        None if reason is None else Reason(str(reason)),
    )
