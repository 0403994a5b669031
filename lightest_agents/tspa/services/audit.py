"""Who acts, and the record of it."""

from dataclasses import dataclass

from django.utils import timezone

from lightest_agents.tspa.models import AuditEntry, Manufacturer

_MAX = {"target": 300, "reason": 500}


@dataclass(frozen=True, slots=True)
class Caller:
    """A manufacturer whose token was checked, and the address it calls from."""

    manufacturer: Manufacturer
    source: str

    @property
    def actor(self) -> str:
        """How the audit names it."""
        return f"manufacturer:{self.manufacturer.label}"


OPERATOR = "operator"
"""The actor of what is done on the TSPA's own host."""


def record(
    actor: str, action: str, target: str, *, refused: bool = False, reason: str = "", source: str = ""
) -> None:
    """Add an entry; inside a transaction it is kept only if the change is."""
    AuditEntry.objects.create(
        when=timezone.now(),
        actor=actor,
        action=action,
        target=target[: _MAX["target"]],
        outcome="refused" if refused else "done",
        reason=reason[: _MAX["reason"]],
        source=source,
    )
