"""A fault as others see it: JSON for scripts, and what the page shows."""

from datetime import UTC, datetime

from lightest_agents.trust.notification import Notification, SignedNotification, parse
from lightest_agents.trust.verdict import Trace
from lightest_agents.verifier.progress import trace_before_walk
from lightest_agents.verifier.store import Fault, State


def fault_json(fault: Fault) -> dict[str, object]:
    """A fault with its verdict; times in RFC 3339, the trace as `Trace.to_json` gives it."""
    values: dict[str, object] = {
        "id": fault.id,
        "status": fault.state.value,
        "received": _moment(fault.received),
        "claim": fault.claim,
    }
    notification = notification_of(fault)
    if notification is not None:
        first = notification.measurement[0]
        values |= {
            "sensor": notification.sensor,
            "location": notification.location,
            "fault": notification.fault,
            "threshold": notification.threshold,
            "measurement": {"value": first.value, "unit": first.unit, "time": _moment(first.time)},
            "raised": _moment(notification.iat),
        }
    return values | {
        "attempts": fault.attempts,
        "next_attempt": None if fault.next_attempt is None else _moment(fault.next_attempt),
        "decided": None if fault.decided is None else _moment(fault.decided),
        "reason": None if fault.reason is None else fault.reason.value,
        "meaning": None if fault.reason is None else fault.reason.meaning,
        "detail": fault.detail or None,
        "supplier": fault.supplier,
        "trace": trace_of(fault).to_json(),
    }


def trace_of(fault: Fault) -> Trace:
    """The chain as the last walk found it, or as it is before the first."""
    return fault.trace or trace_before_walk()


def notification_of(fault: Fault) -> Notification | None:
    """What the sensor said; None if it was taken by a release with other rules."""
    signed = parse(fault.body)
    return signed.notification if isinstance(signed, SignedNotification) else None


def is_decided(fault: Fault) -> bool:
    """Whether there is a verdict, so that nothing more will happen."""
    return fault.state in (State.ACCEPTED, State.REJECTED)


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
