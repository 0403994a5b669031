"""Steps 2 to 6: from the name that a notification claims to the key that must have signed it.

The walk starts from the one trust anchor that the validating resolver has. Every link is DNSSEC-secure data
of its owner, and nothing that a notification says is believed before step 6.
"""

import random
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import dns.name
import dns.rdatatype
import dns.rrset
from dns.rdtypes.ANY.URI import URI

from lightest_agents.dns.lookups import Lookup, Resolver, Status
from lightest_agents.errors import NameRefusedError
from lightest_agents.trust.decision import check_notification
from lightest_agents.trust.notification import SignedNotification
from lightest_agents.trust.verdict import Outcome, Reason, Refusal, Step
from lightest_agents.verifier.claims import Claim, Claims, Place
from lightest_agents.verifier.lists import ListCache, UsableList
from lightest_agents.verifier.progress import RECEIVED, Progress

_MAX_SCHEMES = 16
_MAX_LOCATIONS = 8
_MAX_KEPT = 10_000

_CLAIM_REASONS = {
    Status.INSECURE: Reason.CLAIM_INSECURE,
    Status.BOGUS: Reason.CLAIM_BOGUS,
    Status.NXDOMAIN: Reason.CLAIM_UNKNOWN,
    Status.UNAVAILABLE: Reason.CLAIM_UNAVAILABLE,
}
_SCHEME_REASONS = {
    Status.INSECURE: Reason.SCHEME_INSECURE,
    Status.BOGUS: Reason.SCHEME_BOGUS,
    Status.NXDOMAIN: Reason.SCHEME_MISSING,
    Status.NODATA: Reason.SCHEME_MISSING,
    Status.UNAVAILABLE: Reason.SCHEME_UNAVAILABLE,
}
_MAY_HAVE_CHANGED = frozenset({Reason.SIGNATURE_INVALID, Reason.SENSOR_WITHDRAWN})
"""What a list says that was kept from earlier; before a sensor is refused for it, the publisher is asked."""


@dataclass(frozen=True, slots=True)
class Walked:
    """Where a walk ended: at the list that vouches for the notification, or at a link that did not hold."""

    progress: Progress
    end: UsableList | Refusal


@dataclass(frozen=True, slots=True)
class _Case:
    """What is to be verified."""

    signed: SignedNotification
    received: datetime
    claim: Claim


@dataclass(frozen=True, slots=True)
class _Way:
    """A way from a claim to a usable list: as long as its questions get the same answers, it leads there.

    Attributes:
        answers: to all `questions`, as the same objects again while they are the same; see `Lookup.rrset`.
        location: of the list.
        details: of steps 2 to 4.
    """

    questions: tuple[tuple[dns.name.Name, dns.rdatatype.RdataType], ...]
    answers: tuple[dns.rrset.RRset | None, ...]
    location: str
    details: Mapping[Step, str]


class ChainWalk:
    """Walks the chain for one notification after another, over shared caches."""

    def __init__(
        self,
        resolver: Resolver,
        lists: ListCache,
        claims: Claims,
        *,
        max_age: timedelta,
        max_ahead: timedelta,
        clock: Callable[[], float],
    ) -> None:
        """A walk in the trust domain of `claims`.

        Args:
            resolver: the validating resolver.
            lists: the trust lists.
            claims: makes names of what notifications say.
            max_age: how old a notification may be when it is received.
            max_ahead: how far a sensor's clock may be ahead.
            clock: gives seconds since the epoch.
        """
        self._resolver = resolver
        self._lists = lists
        self._claims = claims
        self._max_age = max_age
        self._max_ahead = max_ahead
        self._clock = clock
        self._ways: dict[str, _Way] = {}

    async def follow(self, signed: SignedNotification, received: float) -> Walked:
        """Walk steps 2 to 6; replays are for the caller to find, and so is the supplier.

        Where several pointers or locations lead on, all are tried until one holds. If none does, a refusal
        that may pass outweighs one that stays, for the way that gave no answer now may be the right one;
        among equals counts the one that came furthest, then the last. Once a usable list of a scheme is
        found, though, what it says is what the scheme says.

        Args:
            signed: a well-formed notification.
            received: when it came, in seconds since the epoch.
        """
        progress = Progress()
        try:
            with progress.timing(Step.SENSOR):
                claim = self._claims.of(signed.notification)
        except NameRefusedError as error:
            return Walked(progress, Refusal(Reason.NAME_REFUSED, str(error)))
        progress.held(Step.SENSOR, RECEIVED)
        case = _Case(signed, datetime.fromtimestamp(received, UTC), claim)
        way = self._ways.get(claim.text)
        if way is not None:
            walked = await self._follow_again(way, case, progress)
            if walked is not None:
                return walked
        with progress.timing(Step.CLAIM):
            found = await self._resolver.lookup(claim.owner, dns.rdatatype.PTR)
        if found.status not in (Status.ANSWER, Status.NODATA):
            return Walked(progress, Refusal(_CLAIM_REASONS[found.status], found.detail))
        progress.held(Step.CLAIM, f"{claim.text} is in a DNSSEC-secure zone")
        if found.rrset is None:
            return Walked(progress, Refusal(Reason.POINTER_MISSING, found.detail))
        if found.canonical != claim.owner:
            detail = f"{claim.text} has its pointer by an alias; it must have one itself"
            return Walked(progress, Refusal(Reason.POINTER_OUTSIDE, detail))
        with progress.timing(Step.POINTER):
            places = deque(claim.pointed(found.rrset))
        ends: list[Walked] = []
        while places and len(ends) < _MAX_SCHEMES:
            end = await self._follow_place(places.popleft(), found, case, progress.branch())
            if isinstance(end, tuple):
                places.extendleft(reversed(end))
            elif isinstance(end.end, UsableList):
                return end
            else:
                ends.append(end)
        return _furthest(ends)

    async def _follow_again(self, way: _Way, case: _Case, progress: Progress) -> Walked | None:
        """Steps 2 to 6 where the way is known, all of it asked at once; None if it is to be found anew."""
        with progress.timing(Step.CLAIM):
            found = await self._resolver.lookup_all(way.questions)
        for lookup, answer in zip(found, way.answers, strict=True):
            if lookup.rrset is None or lookup.rrset is not answer:
                return None
        with progress.timing(Step.LIST):
            usable = self._lists.kept(case.claim, way.location, found[-1], self._now())
        if usable is None:
            return None
        progress.held_again(way.details)
        progress.held(Step.LIST, usable.detail)
        refusal = self._check(case, usable, progress)
        if refusal is not None and refusal.reason in _MAY_HAVE_CHANGED:
            return None
        return Walked(progress, refusal or usable)

    async def _follow_place(
        self, place: Place, pointers: Lookup, case: _Case, progress: Progress
    ) -> Walked | tuple[Place, ...]:
        """Steps 3 to 6 for one name; further names where it only points on.

        Args:
            place: the name.
            pointers: those of the claim itself.
            case: what is to be verified.
            progress: of this way.
        """
        if place.refusal is not None:
            return Walked(progress, place.refusal)
        progress.held(Step.POINTER, f"points to {place.text}")
        with progress.timing(Step.SCHEME):
            locations, signers = await self._resolver.lookup_all(
                ((place.name, dns.rdatatype.URI), (place.name, dns.rdatatype.SMIMEA))
            )
            if locations.status is Status.NODATA:
                further = await self._resolver.lookup(place.name, dns.rdatatype.PTR)
                if further.rrset is not None and further.canonical == place.name:
                    return case.claim.follow(further.rrset, place.path)
                if further.status not in (Status.ANSWER, Status.NODATA):
                    locations = further
        for lookup in (locations, signers):
            if lookup.status is not Status.ANSWER:
                return Walked(progress, Refusal(_SCHEME_REASONS[lookup.status], lookup.detail))
            if lookup.canonical is not lookup.name and lookup.canonical != lookup.name:
                detail = f"{place.text} has its records by an alias; it must have them itself"
                return Walked(progress, Refusal(Reason.SCHEME_MISSING, detail))
        ends: list[Walked] = []
        for location in _in_order(locations):
            way = progress.branch()
            end = await self._follow_location(location, signers, case, way)
            if isinstance(end, UsableList) and place.path == (case.claim.owner, place.name):
                self._remember(location, (pointers, locations, signers), case.claim, way)
            if isinstance(end, UsableList) or end.step > Step.LIST:
                return Walked(way, end)
            ends.append(Walked(way, end))
        return _furthest(ends)

    async def _follow_location(
        self, location: str, signers: Lookup, case: _Case, progress: Progress
    ) -> UsableList | Refusal:
        """Steps 4 to 6 for one address of the trust list."""
        published = f"{location}; the keys of its signer and its host are DNSSEC-secure"
        revalidate = False
        while True:
            with progress.timing(Step.LIST):
                found = await self._lists.get(
                    case.claim, location, signers, self._now(), revalidate=revalidate
                )
            if isinstance(found, Refusal):
                if found.step > Step.SCHEME:
                    progress.held(Step.SCHEME, published)
                return found
            progress.held(Step.SCHEME, published)
            progress.held(Step.LIST, found.detail)
            refusal = self._check(case, found, progress)
            if refusal is None:
                return found
            if found.is_new or refusal.reason not in _MAY_HAVE_CHANGED:
                return refusal
            revalidate = True

    def _check(self, case: _Case, usable: UsableList, progress: Progress) -> Refusal | None:
        """Step 6."""
        with progress.timing(Step.SIGNATURE):
            refusal = check_notification(
                case.signed,
                usable.trust_list.service,
                usable.key,
                received=case.received,
                max_age=self._max_age,
                max_ahead=self._max_ahead,
            )
        if refusal is None:
            progress.held(Step.SIGNATURE, f"signed by the key that is listed for {case.claim.text}")
        return refusal

    def _remember(self, location: str, lookups: Sequence[Lookup], claim: Claim, progress: Progress) -> None:
        """Keep the way that was found; those of further pointers are rare, and found anew each time."""
        self._ways.pop(claim.text, None)
        if len(self._ways) >= _MAX_KEPT:
            del self._ways[next(iter(self._ways))]
        self._ways[claim.text] = _Way(
            tuple((lookup.name, lookup.rdtype) for lookup in lookups),
            tuple(lookup.rrset for lookup in lookups),
            location,
            progress.details(Step.CLAIM, Step.POINTER, Step.SCHEME),
        )

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock(), UTC)


def _in_order(found: Lookup) -> list[str]:
    """The addresses in URI records by priority, then drawn by weight (RFC 7553, section 4)."""
    records = [record for record in found.rrset or () if isinstance(record, URI)]
    if len(records) > 1:
        # The largest of u ** (1 / w) is a draw by weight w without replacement (Efraimidis and Spirakis).
        draws = {record: -(random.random() ** (1 / (record.weight or 0.01))) for record in records}  # noqa: S311
        records.sort(key=lambda record: (record.priority, draws[record]))
    return [record.target.decode("ascii", "backslashreplace") for record in records[:_MAX_LOCATIONS]]


def _furthest(ends: Sequence[Walked]) -> Walked:
    """The refusal to report of several ways that did not hold; see `ChainWalk.follow`."""

    def weight(walked: Walked) -> tuple[bool, Step]:
        assert isinstance(walked.end, Refusal)  # noqa: S101 - a way that held ends the walk
        return walked.end.outcome is Outcome.DEFERRED, walked.end.step

    return max(reversed(ends), key=weight)
