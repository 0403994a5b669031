"""DNS messages as bytes: questions for a validating resolver, and what its answers say."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

import dns.edns
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset

HEADER_BYTES = 12
MAX_DATAGRAM = 1232
"""What this side accepts in one datagram, in bytes: no path fragments it (RFC 9715, section 3.3)."""

_MAX_TTL = (1 << 31) - 1  # RFC 2181, section 8
_BOGUS_CODES = frozenset(
    (
        dns.edns.EDECode.UNSUPPORTED_DNSKEY_ALGORITHM,
        dns.edns.EDECode.UNSUPPORTED_DS_DIGEST_TYPE,
        dns.edns.EDECode.DNSSEC_BOGUS,
        dns.edns.EDECode.SIGNATURE_EXPIRED,
        dns.edns.EDECode.SIGNATURE_NOT_YET_VALID,
        dns.edns.EDECode.DNSKEY_MISSING,
        dns.edns.EDECode.RRSIGS_MISSING,
        dns.edns.EDECode.NO_ZONE_KEY_BIT_SET,
        dns.edns.EDECode.NSEC_MISSING,
    )
)
"""Extended errors that say that data came and did not validate (RFC 8914, section 4)."""


class Status(StrEnum):
    """What a validating resolver says about one question."""

    ANSWER = "answer"
    """There are such records, and they are authentic."""
    NODATA = "nodata"
    """The name exists, without such records; both is proved."""
    NXDOMAIN = "nxdomain"
    """The name does not exist, proved."""
    INSECURE = "insecure"
    """Whatever was answered, no chain of trust leads to it."""
    BOGUS = "bogus"
    """Data came whose signatures do not hold."""
    UNAVAILABLE = "unavailable"
    """No answer could be had: time-out, no server reachable, refused."""


@dataclass(frozen=True, slots=True)
class Lookup:
    """The outcome of one question.

    Attributes:
        name: the name asked for.
        rdtype: the type asked for.
        status: see `Status`.
        rrset: the records, for `ANSWER` alone. As long as a repeated question gets the same records, it is
            the same object; its own TTL is that of the first time.
        ttl: for how many seconds the outcome may be kept, at most: the smallest TTL on the way to it, for a
            denial not more than RFC 2308 allows; 0 where nothing is proved.
        canonical: the name that CNAME records led to; `name` without any.
        detail: a sentence for people, with the extended error of the resolver (RFC 8914).
    """

    name: dns.name.Name
    rdtype: dns.rdatatype.RdataType
    status: Status
    rrset: dns.rrset.RRset | None
    ttl: int
    canonical: dns.name.Name
    detail: str


class Question:
    """A question as it goes out, and the last answer to it, so that the same answer is parsed only once.

    Attributes:
        query: the message without its two bytes of ID.
        section: its question section, which the answer must repeat.
        last: what the last answer that could be read said.
        kept_until: until when, by the caller's clock, `last` need not be asked for again.
    """

    __slots__ = (
        "_answer",
        "_cap",
        "_name",
        "_rdtype",
        "_spans",
        "_ttls",
        "kept_until",
        "last",
        "query",
        "section",
    )

    def __init__(self, name: dns.name.Name, rdtype: dns.rdatatype.RdataType) -> None:
        """Ask for validated data (RFC 6840, section 5.7) and extended errors, not for signatures."""
        message = dns.message.make_query(
            name, rdtype, flags=dns.flags.RD | dns.flags.AD, use_edns=0, payload=MAX_DATAGRAM
        )
        wire = message.to_wire()
        self.query = wire[2:]
        self.section = wire[HEADER_BYTES : HEADER_BYTES + len(name.to_wire() or b"") + 4]
        self._name = name
        self._rdtype = rdtype
        self._answer = b""
        self._spans: tuple[slice, ...] = ()
        self._ttls: tuple[slice, ...] = ()
        self._cap = 0
        self.last = self.unavailable("it was not asked for yet")
        self.kept_until = 0.0

    def read(self, answer: bytes) -> Lookup:
        """What `answer`, a message whose ID and question were checked, says; never raises."""
        if self._is_repeated(answer):
            return self._renewed(answer)
        try:
            spans, ttls = _split_at_ttls(answer)
            # One record that nobody can read must not hide the others (RFC 7671, section 4.1).
            message = dns.message.from_wire(answer, continue_on_error=True)
            lookup = self._interpret(message)
        except (dns.exception.DNSException, IndexError, ValueError) as error:
            return self.unavailable(f"the resolver's answer cannot be read: {error}")
        self._answer, self._spans, self._ttls = answer, spans, ttls
        self._cap = _negative_cap(message) if lookup.rrset is None else _MAX_TTL
        self.last = replace(lookup, ttl=self._ttl(lookup.status, answer))
        return self.last

    def unavailable(self, why: str) -> Lookup:
        """The outcome when no usable answer came."""
        return self._outcome(Status.UNAVAILABLE, why)

    def _is_repeated(self, answer: bytes) -> bool:
        """Whether only the ID and the TTLs differ from the last answer's."""
        known = self._answer
        return len(answer) == len(known) and all(answer[span] == known[span] for span in self._spans)

    def _renewed(self, answer: bytes) -> Lookup:
        ttl = self._ttl(self.last.status, answer)
        if ttl != self.last.ttl:
            self.last = replace(self.last, ttl=ttl)
        return self.last

    def _ttl(self, status: Status, answer: bytes) -> int:
        if status not in (Status.ANSWER, Status.NODATA, Status.NXDOMAIN):
            return 0
        # A TTL with the highest bit set counts as none (RFC 2181, section 8).
        seconds = [int.from_bytes(answer[ttl]) for ttl in self._ttls]
        return min((ttl if ttl <= _MAX_TTL else 0 for ttl in (*seconds, self._cap)), default=0)

    def _interpret(self, message: dns.message.Message) -> Lookup:
        rcode = message.rcode()
        extended = [option for option in message.options if isinstance(option, dns.edns.EDEOption)]
        told = "".join(f"; {option_text(option)}" for option in extended)
        if rcode not in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
            bogus = rcode == dns.rcode.SERVFAIL and any(option.code in _BOGUS_CODES for option in extended)
            status = Status.BOGUS if bogus else Status.UNAVAILABLE
            what = "validation failed" if bogus else f"the resolver answered {dns.rcode.to_text(rcode)}"
            return self._outcome(status, what + told)
        if not message.flags & dns.flags.AD:
            return self._outcome(Status.INSECURE, "no chain of trust leads to the answer" + told)
        if not isinstance(message, dns.message.QueryMessage):
            return self._outcome(Status.UNAVAILABLE, "the resolver did not answer a query")
        chain = message.resolve_chaining()
        if rcode == dns.rcode.NXDOMAIN:
            return self._outcome(Status.NXDOMAIN, "the name does not exist, proved", chain.canonical_name)
        if chain.answer is None:
            kind = dns.rdatatype.to_text(self._rdtype)
            unread = " that can be read" if message.errors else ""
            what = f"the name has no {kind} record{unread}, proved"
            return self._outcome(Status.NODATA, what, chain.canonical_name)
        what = f"{len(chain.answer)} {'record' if len(chain.answer) == 1 else 'records'}, validated"
        return self._outcome(Status.ANSWER, what, chain.canonical_name, chain.answer)

    def _outcome(
        self,
        status: Status,
        what: str,
        canonical: dns.name.Name | None = None,
        rrset: dns.rrset.RRset | None = None,
    ) -> Lookup:
        detail = f"{self._name} {dns.rdatatype.to_text(self._rdtype)}: {what}"
        return Lookup(self._name, self._rdtype, status, rrset, 0, canonical or self._name, detail)


def option_text(option: dns.edns.EDEOption) -> str:
    """An extended error as people read it: `EDE 7 (Signature Expired): the resolver's own words`."""
    return option.to_text()


def is_answer(message: bytes, question: Question) -> bool:
    """Whether a message answers `question`; its ID is the caller's to check."""
    end = HEADER_BYTES + len(question.section)
    return (
        len(message) >= end
        and message[2] & 0xF8 == 0x80  # a response to a standard query
        and message[4:6] == b"\x00\x01"
        and message[HEADER_BYTES:end] == question.section
    )


def is_truncated(message: bytes) -> bool:
    """Whether the whole answer must be fetched over TCP."""
    return bool(message[2] & 0x02)


def _negative_cap(message: dns.message.Message) -> int:
    """The MINIMUM of the SOA record that comes with a denial (RFC 2308, section 5)."""
    for rrset in message.authority:
        if rrset.rdtype == dns.rdatatype.SOA:
            return int(rrset[0].minimum)
    return 0


def _split_at_ttls(message: bytes) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """The parts of a message that do not change while it ages, and the TTLs between them."""
    spans, ttls = [], []
    start = 2
    for place in _ttl_places(message):
        spans.append(slice(start, place))
        ttls.append(slice(place, place + 4))
        start = place + 4
    return (*spans, slice(start, len(message))), tuple(ttls)


def _ttl_places(message: bytes) -> Iterator[int]:
    """Where the TTLs of all records are; the OPT record has flags there (RFC 6891, section 6.1.3)."""
    questions, *sections = (int.from_bytes(message[at : at + 2]) for at in range(4, HEADER_BYTES, 2))
    at = HEADER_BYTES
    for _ in range(questions):
        at = _after_name(message, at) + 4
    for _ in range(sum(sections)):
        at = _after_name(message, at)
        if int.from_bytes(message[at : at + 2]) != dns.rdatatype.OPT:
            yield at + 4
        at += 10 + int.from_bytes(message[at + 8 : at + 10])
    if at != len(message):
        raise ValueError("its records do not end where the message ends")


def _after_name(message: bytes, at: int) -> int:
    while (length := message[at]) != 0:
        if length >= 0xC0:
            return at + 2
        at += length + 1
    return at + 1
