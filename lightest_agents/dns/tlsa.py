"""Whether a certificate chain is the one that TLSA or SMIMEA records describe.

The rules are those of RFC 6698 (TLSA), RFC 8162 (SMIMEA) and RFC 7671 (what they mean in practice). Nothing
here looks anything up: the records must come from a DNSSEC-secure answer.

One match suffices, whatever the order of the records and whatever else they say. That includes records with
different digests of the same selector: the digest agility of RFC 7671, section 9, which would ignore SHA-256
where there is SHA-512, is not applied, as both digests are equally sound.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum, StrEnum
from hashlib import sha256, sha512
from typing import Protocol

from lightest_agents.dns.der import is_public_key, public_key_of
from lightest_agents.dns.pkix import PathFinder, Purpose, names_match


class TlsaRecord(Protocol):
    """The fields of a TLSA or SMIMEA record, as dnspython names them; its own may not hold malformed ones."""

    @property
    def usage(self) -> int:
        """What the record constrains: a `Usage`."""

    @property
    def selector(self) -> int:
        """0: the whole certificate; 1: its public key."""

    @property
    def mtype(self) -> int:
        """How `cert` represents it: 0 as it is, 1 by SHA-256, 2 by SHA-512."""

    @property
    def cert(self) -> bytes:
        """The certificate association data."""


class Usage(IntEnum):
    """What a record constrains (RFC 7218)."""

    PKIX_TA = 0
    PKIX_EE = 1
    DANE_TA = 2
    DANE_EE = 3


_PREFERENCE = (Usage.DANE_EE, Usage.DANE_TA, Usage.PKIX_EE, Usage.PKIX_TA)
_DIGESTS: dict[int, Callable[[bytes], bytes]] = {
    0: bytes,
    1: lambda data: sha256(data).digest(),
    2: lambda data: sha512(data).digest(),
}
_DIGEST_BYTES = {1: 32, 2: 64}


class NoMatchReason(StrEnum):
    """Why a chain is not the one described, from the least to the most that held."""

    NO_USABLE_RECORD = "no-usable-record"
    """No record is one this side understands: the same as no record at all."""
    NO_CERTIFICATE = "no-certificate"
    """The peer presented none, or something that is not a certificate."""
    MISMATCH = "mismatch"
    """No record describes a certificate of the chain."""
    PATH = "path"
    """A record describes one, but no valid path leads from the peer's certificate to its trust anchor."""
    NAME = "name"
    """There is a valid path, but the peer's certificate is for another name."""


@dataclass(frozen=True, slots=True)
class Match:
    """The best match: lowest depth first, then DANE-EE before DANE-TA, PKIX-EE, PKIX-TA, then by octets.

    Attributes:
        record: the record that matched.
        depth: 0 for the peer's own certificate, else how many issuers above it the one described is.
    """

    record: TlsaRecord
    depth: int


@dataclass(frozen=True, slots=True)
class NoMatch:
    """Why nothing matched.

    Attributes:
        reason: that of the record that came furthest.
        detail: a sentence for people.
    """

    reason: NoMatchReason
    detail: str


def tlsa_matches(
    records: Iterable[TlsaRecord],
    chain: Sequence[bytes],
    names: Sequence[str] = (),
    *,
    roots: Sequence[bytes] = (),
    now: datetime,
) -> Match | NoMatch:
    """Match the chain that a TLS server presented with its TLSA records.

    Args:
        records: of all usages; those that cannot be used are ignored (RFC 7671, section 4.1).
        chain: DER certificates, the server's own first, the others in any order.
        names: DNS names, without the final dot, one of which the server's certificate must be for. DANE-EE(3)
            records bind the name by themselves and do not ask for it (RFC 7671, section 5.1).
        roots: DER certificates of the trust anchors for PKIX-TA(0) and PKIX-EE(1); these need one.
        now: an aware time, at which the certificates of a path must be valid. DANE-EE(3) does not ask for it.
    """
    return _best(records, chain, roots, now, Purpose.TLS_SERVER, names)


def smimea_matches(
    records: Iterable[TlsaRecord], chain: Sequence[bytes], *, roots: Sequence[bytes] = (), now: datetime
) -> Match | NoMatch:
    """Match the certificates that came with a signature with the SMIMEA records of its signer.

    As `tlsa_matches`; the owner name of the records says whose they are, so that no name is compared.
    """
    return _best(records, chain, roots, now, Purpose.ANY, None)


def is_usable(record: TlsaRecord) -> bool:
    """Whether a record has a meaning at all: known numbers, and data of the shape they ask for."""
    if record.usage not in tuple(Usage) or record.selector not in (0, 1):
        return False
    if record.mtype == 0:
        return is_public_key(record.cert) if record.selector else public_key_of(record.cert) is not None
    return record.mtype in _DIGEST_BYTES and len(record.cert) == _DIGEST_BYTES[record.mtype]


def _best(
    records: Iterable[TlsaRecord],
    chain: Sequence[bytes],
    roots: Sequence[bytes],
    now: datetime,
    purpose: Purpose,
    names: Sequence[str] | None,
) -> Match | NoMatch:
    usable = [record for record in records if is_usable(record)]
    if not usable:
        return NoMatch(NoMatchReason.NO_USABLE_RECORD, "there is no TLSA or SMIMEA record that can be used")
    if not chain or public_key_of(chain[0]) is None:
        return NoMatch(NoMatchReason.NO_CERTIFICATE, "the peer presented no certificate that can be read")
    finder = PathFinder(chain, roots, now, purpose)
    outcomes = [_judge(record, chain, finder, names) for record in usable]
    matches = [outcome for outcome in outcomes if isinstance(outcome, Match)]
    if matches:
        return min(matches, key=_rank)
    refusals = [outcome for outcome in outcomes if isinstance(outcome, NoMatch)]
    order = list(NoMatchReason)
    return max(refusals, key=lambda refusal: (order.index(refusal.reason), refusal.detail))


def _rank(match: Match) -> tuple[int, int, int, int, bytes]:
    record = match.record
    return match.depth, _PREFERENCE.index(Usage(record.usage)), record.selector, record.mtype, record.cert


def _judge(
    record: TlsaRecord, chain: Sequence[bytes], finder: PathFinder, names: Sequence[str] | None
) -> Match | NoMatch:
    depths = _depths(record, chain, finder)
    valid = [depth for depth in depths if depth is not None]
    if not depths:
        return NoMatch(
            NoMatchReason.MISMATCH, "no usable record describes a certificate that the peer presented"
        )
    if not valid:
        return NoMatch(
            NoMatchReason.PATH,
            "a record describes the trust anchor, but no valid path leads to it from the peer's certificate",
        )
    if record.usage != Usage.DANE_EE and names is not None and not names_match(chain[0], names):
        return NoMatch(NoMatchReason.NAME, "the peer's certificate has a valid path, but is for another name")
    return Match(record, min(valid))


def _depths(record: TlsaRecord, chain: Sequence[bytes], finder: PathFinder) -> list[int | None]:
    """The depth of everything the record describes; None for what no valid path leads to."""

    def described(certificates: Sequence[bytes]) -> list[bytes]:
        return [one for one in certificates if _describes(record, one)]

    match Usage(record.usage):
        case Usage.DANE_EE:
            return [0 for _ in described(chain[:1])]
        case Usage.PKIX_EE:
            return [finder.depth_of_leaf() for _ in described(chain[:1])]
        case Usage.PKIX_TA:
            return [finder.depth_below_root(one) for one in described([*chain[1:], *finder.roots])]
        case Usage.DANE_TA:
            depths = [finder.depth_of_anchor(one) for one in described(chain[1:])]
            if record.mtype == 0:  # the record itself brings the trust anchor: RFC 7671, section 5.2
                bring = finder.depth_of_key if record.selector else finder.depth_of_anchor
                depths.append(bring(record.cert))
            return depths


def _describes(record: TlsaRecord, certificate: bytes) -> bool:
    selected = public_key_of(certificate) if record.selector else certificate
    return selected is not None and _DIGESTS[record.mtype](selected) == record.cert
