"""The DNSSEC chain from the trust domain down to a name: what each answer makes of its link.

Nothing here asks a server; `walk.py` does, and hands the answers in.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import Enum

import dns.dnssec
import dns.dnssectypes
import dns.exception
import dns.name
import dns.rcode
import dns.rdata
import dns.rdatatype
import dns.zonefile
from dns.rdtypes.ANY.DNSKEY import DNSKEY
from dns.rdtypes.ANY.DS import DS

from lightest_agents.cluster.questions import Answer

_SEP = 0x0001


class State(Enum):
    """What a link of the chain is in; every state but the first breaks the chain."""

    HELD = "held"
    INSECURE = "insecure"
    BOGUS = "bogus"
    MISMATCH = "DS mismatch"
    ABSENT = "does not exist"
    EMPTY = "no such record"
    OUTSIDE = "points outside"
    FAILED = "refused"
    SILENT = "no answer"


class LinkKind(Enum):
    """What a link of the chain is."""

    ZONE = "zone"
    POINTER = "pointer"
    NAME = "name"


@dataclass(frozen=True, slots=True)
class Key:
    """A DNSKEY: its tag (RFC 4034, appendix B), role (`KSK`, `ZSK` or `CSK`) and algorithm's name."""

    tag: int
    role: str
    algorithm: str


@dataclass(frozen=True, slots=True)
class DelegationSigner:
    """A DS record, of the parent or of the trust anchor, and whether a key of the zone makes the same."""

    tag: int
    algorithm: str
    digest_type: str
    digest: str
    matches: bool


@dataclass(frozen=True, slots=True)
class Link:
    """One link of the chain.

    Attributes:
        reason: for people: why the link is broken, or what it says.
        validated: the AD bit of the answers that the link rests on.
    """

    kind: LinkKind
    name: dns.name.Name
    state: State
    reason: str = ""
    validated: bool = False
    keys: tuple[Key, ...] = ()
    ds: tuple[DelegationSigner, ...] = ()


@dataclass(frozen=True, slots=True)
class Chain:
    """The links from the trust domain down to a name."""

    name: dns.name.Name
    resolver: str
    links: tuple[Link, ...]

    @property
    def held(self) -> bool:
        """Whether every link holds."""
        return all(link.state is State.HELD for link in self.links)


@dataclass(frozen=True, slots=True)
class ZoneAnswers:
    """What a resolver says about one zone.

    Attributes:
        ds: the DS records at the parent; None for the trust domain, whose place the anchor takes.
        soa: its signatures tell which keys sign the zone's data.
        raw_keys: the keys, and
        raw_ds: the DS records, asked for without validation because the validated answer was SERVFAIL.
    """

    keys: Answer
    soa: Answer | None = None
    ds: Answer | None = None
    raw_keys: Answer | None = None
    raw_ds: Answer | None = None


def read_anchor(text: str) -> tuple[DS, ...]:
    """The DS records of a trust anchor file in zone-file form; empty when it holds none or cannot be read."""
    try:
        rrsets = dns.zonefile.read_rrsets(text, default_ttl=0, rdclass=None)
    except (dns.exception.DNSException, ValueError):
        return ()
    return tuple(rdata for rrset in rrsets for rdata in rrset if isinstance(rdata, DS))


def dnskeys(answer: Answer | None) -> tuple[DNSKEY, ...]:
    """The DNSKEY records in an answer."""
    return tuple(rdata for rdata in (answer and answer.rrset) or () if isinstance(rdata, DNSKEY))


def ds_records(answer: Answer | None) -> tuple[DS, ...]:
    """The DS records in an answer."""
    return tuple(rdata for rdata in (answer and answer.rrset) or () if isinstance(rdata, DS))


def describe_keys(keys: Iterable[DNSKEY], soa: Answer | None) -> tuple[Key, ...]:
    """The keys with their roles: a CSK is an entry point (SEP flag) that also signs the zone's data."""
    signing = {rdata.key_tag for rdata in (soa and soa.signatures) or ()}
    described = []
    for key in keys:
        tag = dns.dnssec.key_id(key)
        role = ("CSK" if tag in signing else "KSK") if key.flags & _SEP else "ZSK"
        described.append(Key(tag, role, algorithm_name(key.algorithm)))
    return tuple(sorted(described, key=lambda key: (key.role, key.tag)))


def compare_ds(
    zone: dns.name.Name, keys: Iterable[DNSKEY], records: Iterable[DS]
) -> tuple[DelegationSigner, ...]:
    """Each DS record with whether a key of the zone hashes to it (RFC 4034, section 5.1.4)."""
    keys = tuple(keys)
    compared = []
    for record in records:
        compared.append(
            DelegationSigner(
                record.key_tag,
                algorithm_name(record.algorithm),
                _digest_name(record.digest_type),
                record.digest.hex(),
                any(_hashes_to(zone, key, record) for key in keys),
            )
        )
    return tuple(sorted(compared, key=lambda ds: (ds.tag, ds.digest_type)))


def _hashes_to(zone: dns.name.Name, key: DNSKEY, record: DS) -> bool:
    try:
        made = dns.dnssec.make_ds(zone, key, dns.dnssectypes.DSDigest(record.digest_type), validating=True)
    except (ValueError, dns.exception.DNSException):  # a digest type that this library does not know
        return False
    return bool(made == record)


def algorithm_name(number: int) -> str:
    """`ECDSAP256SHA256` and the like; the number where it has no name."""
    return str(dns.dnssec.algorithm_to_text(dns.dnssectypes.Algorithm.make(number)))


def _digest_name(number: int) -> str:
    try:
        return dns.dnssectypes.DSDigest(number).name
    except ValueError:
        return str(number)


def is_zone(name: dns.name.Name, keys: Answer) -> bool:
    """Whether a name is a zone's apex, by the answer to its DNSKEY question.

    An unsigned zone has no keys, but its own SOA in the negative answer (RFC 2308, section 3).
    """
    return keys.rrset is not None or keys.soa == name


def judge_zone(
    zone: dns.name.Name, answers: ZoneAnswers, now: datetime, anchor: Sequence[DS] | None = None
) -> Link:
    """The link of one zone.

    Args:
        zone: the zone's name.
        answers: what the resolver says.
        now: an aware time.
        anchor: the trust anchor's DS records, for the trust domain only.
    """
    keys = dnskeys(answers.raw_keys) or dnskeys(answers.keys)
    parent_ds = tuple(anchor) if anchor is not None else ds_records(answers.raw_ds) or ds_records(answers.ds)
    validated = answers.keys.authenticated and (answers.ds is None or answers.ds.authenticated)
    link = Link(
        LinkKind.ZONE,
        zone,
        State.HELD,
        validated=validated,
        keys=describe_keys(keys, answers.soa),
        ds=compare_ds(zone, keys, parent_ds),
    )
    state, reason = _zone_state(link, answers, at_top=anchor is not None)
    if state is State.BOGUS and (lapsed := _lapsed_signature(answers.raw_keys, now)):
        reason = f"{lapsed}; {reason}"
    return replace(link, state=state, reason=reason)


def _zone_state(link: Link, answers: ZoneAnswers, *, at_top: bool) -> tuple[State, str]:
    failed = judge_failure(answers.keys, answers.raw_keys)
    if failed is None and answers.ds is not None:
        failed = judge_failure(answers.ds, answers.raw_ds)
    matched = any(ds.matches for ds in link.ds)
    source = "the trust anchor of the resolver's host" if at_top else "the DS in the parent"
    if failed is not None:
        state, reason = failed
        if state is State.BOGUS and link.keys and link.ds and not matched:
            reason = f"{source} matches none of the zone's keys; {reason}"
        return state, reason
    if not link.keys:
        if answers.keys.authenticated:
            return State.EMPTY, "the zone has no DNSKEY, proved: nothing signs it"
        return State.INSECURE, "the zone is not signed"
    if at_top and not link.ds:
        return State.MISMATCH, f"{source} could not be read: /etc/unbound/trust-anchor.key holds no DS record"
    if not link.validated:
        if not at_top and not link.ds:
            return State.INSECURE, "the parent has no DS for it: signed, but not chained"
        return State.INSECURE, "the resolver does not vouch for it (no AD); has it the private trust anchor?"
    if not matched:
        return State.MISMATCH, f"{source} matches none of the zone's keys"
    return State.HELD, ""


def _lapsed_signature(raw: Answer | None, now: datetime) -> str | None:
    """Says that every signature of the keys is out of its time; resolvers seldom tell that by themselves."""
    signatures = tuple((raw and raw.signatures) or ())
    time = now.timestamp()
    if signatures and all(signature.expiration < time for signature in signatures):
        last = datetime.fromtimestamp(max(signature.expiration for signature in signatures), UTC)
        return f"the signature of its keys expired at {last:%Y-%m-%d %H:%M} UTC"
    if signatures and all(signature.inception > time for signature in signatures):
        first = datetime.fromtimestamp(min(signature.inception for signature in signatures), UTC)
        return f"the signature of its keys holds from {first:%Y-%m-%d %H:%M} UTC only; compare the clocks"
    return None


def judge_failure(answer: Answer, raw: Answer | None = None) -> tuple[State, str] | None:
    """State and reason of an answer that is none; None when there is an answer or an honest denial.

    Args:
        answer: the validated answer.
        raw: the same asked for without validation; it tells bogus data from servers that do not answer.
    """
    if answer.failure is not None:
        return State.SILENT, answer.failure
    if answer.conclusive:
        return None
    extended = "; ".join(answer.extended)
    if answer.rcode == dns.rcode.SERVFAIL:
        if raw is not None and raw.conclusive:
            return State.BOGUS, extended or "validation failed; the resolver gives no Extended DNS Error"
        return State.SILENT, extended or "SERVFAIL: the zone's name servers do not answer the resolver"
    code = dns.rcode.to_text(answer.rcode)
    return State.FAILED, f"the resolver answers {code}" + (f": {extended}" if extended else "")


def judge_denial(answer: Answer, what: str) -> tuple[State, str] | None:
    """State and reason of a negative answer; None when there are records."""
    if answer.rrset is not None:
        return None
    proved = "proved" if answer.authenticated else "but without proof (no AD)"
    if answer.rcode == dns.rcode.NXDOMAIN:
        return State.ABSENT, f"does not exist, {proved}"
    return State.EMPTY, f"{what}, {proved}"


def judge_name(name: dns.name.Name, answer: Answer, raw: Answer | None = None) -> Link:
    """The link of a name that is no claim: any authenticated answer but NXDOMAIN shows that it exists."""
    failed = judge_failure(answer, raw)
    if failed is None and answer.rcode == dns.rcode.NXDOMAIN:
        failed = judge_denial(answer, "")
    if failed is None and not answer.authenticated:
        failed = State.INSECURE, "the answer is not validated (no AD)"
    state, reason = failed or (State.HELD, "exists")
    return Link(LinkKind.NAME, name, state, reason, validated=answer.authenticated)


def judge_pointer(
    owner: dns.name.Name, domain: dns.name.Name, answer: Answer, raw: Answer | None = None
) -> Link:
    """The link of a claim's pointer: PTR records, all of which stay in the trust domain."""
    targets = pointer_targets(answer)
    outside = [target for target in targets if not target.is_subdomain(domain)]
    found = judge_failure(answer, raw) or judge_denial(answer, "the claim has no pointer to a trust scheme")
    if found is None and not answer.authenticated:
        found = State.INSECURE, "the answer is not validated (no AD)"
    if found is None and outside:
        found = State.OUTSIDE, f"it leads out of the trust domain, to {', '.join(map(show, outside))}"
    state, reason = found or (State.HELD, f"→ {', '.join(map(show, targets))}")
    return Link(LinkKind.POINTER, owner, state, reason, validated=answer.authenticated)


def pointer_targets(answer: Answer) -> tuple[dns.name.Name, ...]:
    """The names that a pointer leads to, sorted."""
    return tuple(sorted(rdata.target for rdata in answer.rrset or ()))


def show(name: dns.name.Name) -> str:
    """A name for people, without the final dot."""
    return name.to_text(omit_final_dot=True)
