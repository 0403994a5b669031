"""Step 5: the trust list of a claim, fetched, checked, and kept as long as it may be."""

import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from hashlib import sha256
from typing import Protocol

import dns.rrset

from lightest_agents.dns.errors import HttpError, HttpFailure
from lightest_agents.dns.http import DaneClient, Response
from lightest_agents.dns.lookups import Lookup
from lightest_agents.dns.tlsa import NoMatch, Usage, smimea_matches
from lightest_agents.trust.decision import verification_key
from lightest_agents.trust.jws import VerificationKey
from lightest_agents.trust.signed_list import MAX_LIST_BYTES, SignedList, open_list
from lightest_agents.trust.trust_list import TrustList, check_freshness, check_service
from lightest_agents.trust.verdict import Reason, Refusal
from lightest_agents.verifier.claims import Claim
from lightest_agents.verifier.http_caching import seconds_fresh

_MAX_CLAIMS = 10_000
_MAX_LISTS_OF_CLAIM = 8
_FETCH_SECONDS = 10.0

_REASONS: Mapping[HttpFailure, Reason] = {
    HttpFailure.URL_REFUSED: Reason.URI_REFUSED,
    HttpFailure.TLSA_MISSING: Reason.TLSA_MISSING,
    HttpFailure.TLSA_INSECURE: Reason.TLSA_INSECURE,
    HttpFailure.TLSA_BOGUS: Reason.TLSA_BOGUS,
    HttpFailure.TLSA_UNAVAILABLE: Reason.SCHEME_UNAVAILABLE,
    HttpFailure.TLSA_MISMATCH: Reason.TLSA_MISMATCH,
    HttpFailure.ADDRESS_UNAVAILABLE: Reason.PUBLISHER_UNREACHABLE,
    HttpFailure.UNREACHABLE: Reason.PUBLISHER_UNREACHABLE,
    HttpFailure.TIMEOUT: Reason.LIST_UNAVAILABLE,
    HttpFailure.TOO_LARGE: Reason.LIST_TOO_LARGE,
    HttpFailure.REDIRECT: Reason.LIST_UNAVAILABLE,
    HttpFailure.PROTOCOL: Reason.PUBLISHER_UNREACHABLE,
}


class Sequences(Protocol):
    """Remembers the newest list of each claim, so that no older one is used after it."""

    async def newest_list(self, claim: str) -> int | None:
        """The highest sequence number that was used for a claim."""

    async def saw_list(self, claim: str, sequence: int) -> None:
        """Keep that a list is used."""


class NoSequences:
    """Remembers nothing: for a single walk."""

    async def newest_list(self, _claim: str) -> int | None:
        """Nothing was used before."""
        return None

    async def saw_list(self, _claim: str, _sequence: int) -> None:
        """There will be no second list to compare with."""


@dataclass(frozen=True, slots=True)
class UsableList:
    """A list whose signer is the one that the trust scheme names, and which is current.

    Attributes:
        key: of the sensor.
        certificate_digest: of the sensor's certificate, SHA-256 in hexadecimal.
        is_new: whether its publisher has been asked just now.
        detail: what the list is, for people.
    """

    trust_list: TrustList
    key: VerificationKey
    certificate_digest: str
    is_new: bool
    detail: str


@dataclass(slots=True)
class _Kept:
    signed: SignedList
    key: VerificationKey
    certificate_digest: str
    title: str
    etag: str | None
    checked: float  # on the monotonic clock, as is the next
    fresh_until: float
    pinned_by: dns.rrset.RRset | None = None  # the records that have been found to name the signer
    usable: UsableList | None = None  # once all of it was checked


@dataclass(slots=True)
class _Known:
    seen: int | None
    lists: dict[str, _Kept] = field(default_factory=dict)


class ListCache:
    """The trust lists of the claims that were walked last; one caller at a time for each claim.

    A list is used again without asking as long as HTTP caching and its NextUpdate allow; afterwards its
    publisher is asked whether it has changed. Its signer is compared with the SMIMEA records each time.
    """

    def __init__(
        self,
        client: DaneClient,
        sequences: Sequences,
        *,
        roots: Sequence[bytes] = (),
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """An empty cache.

        Args:
            client: fetches the lists.
            sequences: remembers the newest list of each claim.
            roots: DER certificates that SMIMEA records of usage 0 and 1 may lead to.
            monotonic: a clock, in seconds, that never goes back.
        """
        self._client = client
        self._sequences = sequences
        self._roots = roots
        self._monotonic = monotonic
        self._known: OrderedDict[str, _Known] = OrderedDict()

    async def get(
        self,
        claim: Claim,
        url: str,
        signers: Lookup,
        now: datetime,
        *,
        revalidate: bool = False,
    ) -> UsableList | Refusal:
        """The list at `url`, if it can be used for `claim`.

        Its sequence number is remembered before the list is used for anything.

        Args:
            claim: whose list it has to be.
            url: where the scheme's URI record says that it is.
            signers: the scheme's SMIMEA records.
            now: the time, aware.
            revalidate: ask the publisher even where the answer may be used again.
        """
        if not revalidate and (again := self.kept(claim, url, signers, now)) is not None:
            return again
        known = await self._of(claim)
        kept = known.lists.get(url)
        if not revalidate and kept is not None and self._monotonic() < kept.fresh_until:
            kept = None  # it cannot be used; perhaps the publisher has a better one
        asked = self._monotonic()
        fetched = await self._fetch(url, kept, asked)
        if isinstance(fetched, Refusal):
            return fetched
        refusal = check_service(fetched.signed.trust_list, claim.name) or self._check(
            fetched, known, signers, now
        )
        if refusal is not None:
            known.lists.pop(url, None)
            return refusal
        usable = UsableList(
            fetched.signed.trust_list,
            fetched.key,
            fetched.certificate_digest,
            is_new=True,
            detail=f"{fetched.title}, from its publisher",
        )
        fetched.usable = replace(usable, is_new=False, detail=f"{fetched.title}, kept since {now:%H:%M:%S}Z")
        sequence = usable.trust_list.sequence
        if known.seen is None or sequence > known.seen:
            await self._sequences.saw_list(claim.text, sequence)
            known.seen = sequence
        if len(known.lists) >= _MAX_LISTS_OF_CLAIM:
            known.lists.clear()
        known.lists[url] = fetched
        return usable

    def kept(self, claim: Claim, url: str, signers: Lookup, now: datetime) -> UsableList | None:
        """The list at `url` if it can be used for `claim` again without asking; arguments as for `get`."""
        known = self._known.get(claim.text)
        kept = None if known is None else known.lists.get(url)
        if known is None or kept is None or self._monotonic() >= kept.fresh_until:
            return None
        self._known.move_to_end(claim.text)
        return None if self._check(kept, known, signers, now) is not None else kept.usable

    async def _of(self, claim: Claim) -> _Known:
        known = self._known.get(claim.text)
        if known is None:
            known = self._known[claim.text] = _Known(await self._sequences.newest_list(claim.text))
            if len(self._known) > _MAX_CLAIMS:
                self._known.popitem(last=False)
        else:
            self._known.move_to_end(claim.text)
        return known

    async def _fetch(self, url: str, kept: _Kept | None, asked: float) -> _Kept | Refusal:
        headers = {"Accept": "application/jose"}
        if kept is not None and kept.etag is not None:
            headers["If-None-Match"] = kept.etag
        try:
            response = await self._client.request(
                "GET", url, headers=headers, max_bytes=MAX_LIST_BYTES, timeout=_FETCH_SECONDS
            )
        except HttpError as error:
            return Refusal(_REASONS[error.kind], str(error))
        if response.status == 304 and kept is not None:
            kept.checked, kept.fresh_until = asked, asked + seconds_fresh(response.headers)
            return kept
        if response.status != 200:
            return Refusal(Reason.LIST_UNAVAILABLE, f"{url} was answered with HTTP status {response.status}")
        return _open(response, asked)

    def _check(self, kept: _Kept, known: _Known, signers: Lookup, now: datetime) -> Refusal | None:
        refusal = self._check_signer(kept, signers, now)
        return refusal or check_freshness(kept.signed.trust_list, known.seen, now)

    def _check_signer(self, kept: _Kept, signers: Lookup, now: datetime) -> Refusal | None:
        records = signers.rrset
        if records is not None and (records is kept.pinned_by or records == kept.pinned_by):
            return None
        match = smimea_matches(tuple(records or ()), (kept.signed.signer,), roots=self._roots, now=now)
        if isinstance(match, NoMatch):
            return Refusal(Reason.LIST_SIGNER, match.detail)
        # Only DANE-EE holds whatever the time is (RFC 7671, section 5.1).
        kept.pinned_by = records if match.record.usage == Usage.DANE_EE else None
        return None


def _open(response: Response, asked: float) -> _Kept | Refusal:
    signed = open_list(response.body)
    if isinstance(signed, Refusal):
        return signed
    key = verification_key(signed.trust_list.service)
    if isinstance(key, Refusal):
        return key
    trust_list = signed.trust_list
    until = f"{trust_list.next_update:%Y-%m-%d %H:%M}Z"
    return _Kept(
        signed,
        key,
        sha256(trust_list.service.certificate).hexdigest(),
        f"list {trust_list.sequence} of {trust_list.manufacturer}, valid until {until}",
        response.headers.get("ETag"),
        asked,
        asked + seconds_fresh(response.headers),
    )
