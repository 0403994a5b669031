"""The names that a notification claims, and where the claim's pointers may lead."""

from collections.abc import Sequence
from dataclasses import dataclass

import dns.name
import dns.rrset
from dns.rdtypes.ANY.PTR import PTR

from lightest_agents.trust.names import CountryNames, pointer
from lightest_agents.trust.notification import Notification
from lightest_agents.trust.notification import claim as claim_of
from lightest_agents.trust.verdict import Reason, Refusal

_MAX_DEPTH = 8
_MAX_CLAIMS = 10_000
_PREFIX_LENGTH = len(pointer(dns.name.root)) - 1


@dataclass(frozen=True, slots=True)
class Place:
    """A name that should have trust records.

    Attributes:
        text: the name without the final dot.
        path: the names through which the pointers led to it, itself included.
        refusal: why it must not be looked at.
    """

    name: dns.name.Name
    text: str
    path: tuple[dns.name.Name, ...]
    refusal: Refusal | None


@dataclass(slots=True)
class Claim:
    """The names around one sensor's claim.

    Attributes:
        name: `sensor1.germany.raspidemo.`
        text: the same without the final dot.
        owner: where the claim's pointers are, `_scheme._trust.sensor1.germany.raspidemo.`
        zones: the scheme zones into which they may lead.
    """

    name: dns.name.Name
    text: str
    owner: dns.name.Name
    zones: tuple[dns.name.Name, ...]
    _pointed: tuple[dns.rrset.RRset, tuple[Place, ...]] | None = None

    def pointed(self, records: dns.rrset.RRset) -> tuple[Place, ...]:
        """Where the claim's own pointers lead; found out once for the same records."""
        if self._pointed is None or self._pointed[0] is not records:
            self._pointed = (records, self.follow(records, (self.owner,)))
        return self._pointed[1]

    def follow(self, records: dns.rrset.RRset, path: tuple[dns.name.Name, ...]) -> tuple[Place, ...]:
        """Where pointers at the end of a path lead, in a stable order."""
        targets = sorted(record.target for record in records if isinstance(record, PTR))
        return tuple([self._place(target, path) for target in targets])

    def _place(self, name: dns.name.Name, path: tuple[dns.name.Name, ...]) -> Place:
        return Place(name, _show(name), (*path, name), self._check(name, path))

    def _check(self, name: dns.name.Name, path: tuple[dns.name.Name, ...]) -> Refusal | None:
        """Refuse a pointer out of the scheme zones, in a circle or too deep."""
        scheme = _scheme_of(name)
        if scheme is None:
            return Refusal(Reason.POINTER_OUTSIDE, f"{_show(name)} does not begin with _scheme._trust")
        if not any(scheme.is_subdomain(zone) for zone in self.zones):
            zones = ", ".join(map(_show, self.zones))
            return Refusal(Reason.POINTER_OUTSIDE, f"{_show(name)} is not under {zones}")
        if name in path:
            return Refusal(Reason.POINTER_LOOP, f"the pointers lead back to {_show(name)}")
        if len(path) > _MAX_DEPTH:
            return Refusal(
                Reason.POINTER_LOOP, f"{_show(name)} is the end of more than {_MAX_DEPTH} pointers in a row"
            )
        return None


class Claims:
    """The claims in one trust domain; those that came last are kept ready."""

    def __init__(self, domain: dns.name.Name, scheme_zones: Sequence[dns.name.Name]) -> None:
        """Claims in `domain`; `scheme_zones` may have schemes of every country."""
        self._domain = domain
        self._scheme_zones = tuple(scheme_zones)
        self._known: dict[tuple[str, str], Claim] = {}

    def of(self, notification: Notification) -> Claim:
        """The claim of a notification.

        Raises:
            NameRefusedError: the trust domain is so long that a name exceeds 255 octets.
        """
        key = (notification.sensor, notification.location)
        claim = self._known.get(key)
        if claim is None:
            if len(self._known) >= _MAX_CLAIMS:
                del self._known[next(iter(self._known))]
            claim = self._known[key] = self._make(notification)
        return claim

    def _make(self, notification: Notification) -> Claim:
        name = claim_of(notification, self._domain)
        own = CountryNames.under(self._domain, notification.location).scheme
        return Claim(name, _show(name), pointer(name), (own, *self._scheme_zones))


def _scheme_of(name: dns.name.Name) -> dns.name.Name | None:
    """The trust scheme whose records are at a name; None if it is no place for such records."""
    scheme = dns.name.Name(name.labels[_PREFIX_LENGTH:])
    return scheme if len(scheme) > 1 and pointer(scheme) == name else None


def _show(name: dns.name.Name) -> str:
    return name.to_text(omit_final_dot=True)
