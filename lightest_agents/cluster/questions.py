"""DNS questions over a byte stream, and answers as plain values.

A stream is a TCP socket or an SSH channel: inside SSH to a host's own loopback, the AD bit of its validating
resolver cannot be forged on the way (RFC 4035, section 4.9.3, asks for such a channel).
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import dns.edns
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset

from lightest_agents.errors import LightestError

ANSWER_TIMEOUT = 8.0
"""Seconds a server gets for one answer: a resolver tries all name servers before it reports SERVFAIL."""


class Stream(Protocol):
    """What is used of a `socket.socket` or a `paramiko.Channel`."""

    def settimeout(self, timeout: float, /) -> None:
        """Limit the calls below, in seconds."""

    def sendall(self, data: bytes, /) -> None:
        """Send everything."""

    def recv(self, size: int, /) -> bytes:
        """Receive up to `size` octets; none at the end."""

    def close(self) -> None:
        """Hang up."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server said to one question.

    Attributes:
        failure: why there is no answer at all, as a sentence; then nothing else is meaningful.
        authenticated: the AD bit.
        rrset: the records asked for, if any.
        signatures: the RRSIG records that cover `rrset`.
        soa: the owner of the SOA in a negative answer (RFC 2308), which is the zone's apex.
        extended: the Extended DNS Errors (RFC 8914), `EDE 9 (DNSKEY Missing): …`.
    """

    failure: str | None = None
    rcode: dns.rcode.Rcode = dns.rcode.NOERROR
    authenticated: bool = False
    rrset: dns.rrset.RRset | None = None
    signatures: dns.rrset.RRset | None = None
    soa: dns.name.Name | None = None
    extended: tuple[str, ...] = ()

    @property
    def conclusive(self) -> bool:
        """Whether a server that knows gave records or a denial."""
        return self.failure is None and self.rcode in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN)


class Ask(Protocol):
    """Asks one server; never raises for what the server or the network does."""

    def __call__(
        self, name: dns.name.Name, rdtype: dns.rdatatype.RdataType, *, checking: bool = True
    ) -> Answer:
        """Ask for the records; without `checking` a resolver also gives what it holds for bogus (CD)."""


def read_answer(message: dns.message.Message, name: dns.name.Name, rdtype: dns.rdatatype.RdataType) -> Answer:
    """The answer that a response message holds for a question; aliases are not followed."""
    rrset = message.get_rrset(message.answer, name, dns.rdataclass.IN, rdtype)
    signatures = message.get_rrset(
        message.answer, name, dns.rdataclass.IN, dns.rdatatype.RRSIG, covers=rdtype
    )
    soa = next((rrset.name for rrset in message.authority if rrset.rdtype == dns.rdatatype.SOA), None)
    extended = tuple(
        option.to_text().strip() for option in message.options if isinstance(option, dns.edns.EDEOption)
    )
    return Answer(
        rcode=message.rcode(),
        authenticated=bool(message.flags & dns.flags.AD),
        rrset=rrset,
        signatures=signatures,
        soa=soa,
        extended=extended,
    )


def asker(connect: Callable[[], Stream], *, recurse: bool = True, timeout: float = ANSWER_TIMEOUT) -> Ask:
    """Ask one server, each question on a connection of its own (RFC 7766).

    Args:
        connect: opens a stream to the server, or raises `OSError` or a `LightestError` that says why not.
        recurse: ask a resolver; otherwise an authoritative server.
        timeout: seconds until an answer must be complete.
    """

    def ask(name: dns.name.Name, rdtype: dns.rdatatype.RdataType, *, checking: bool = True) -> Answer:
        flags = dns.flags.AD | (dns.flags.RD if recurse else 0) | (0 if checking else dns.flags.CD)
        query = dns.message.make_query(name, rdtype, use_edns=0, want_dnssec=True, payload=1232, flags=flags)
        try:
            stream = connect()
            try:
                response = _exchange(stream, query, time.monotonic() + timeout)
            finally:
                stream.close()
        except TimeoutError:
            return Answer(failure=f"no answer within {timeout:g} s")
        except (OSError, LightestError) as error:
            return Answer(failure=str(error))
        except (EOFError, dns.exception.DNSException) as error:
            return Answer(failure=f"the answer could not be read ({type(error).__name__}: {error})")
        return read_answer(response, name, rdtype)

    return ask


def _exchange(stream: Stream, query: dns.message.Message, deadline: float) -> dns.message.Message:
    wire = query.to_wire()
    _limit(stream, deadline)
    stream.sendall(len(wire).to_bytes(2, "big") + wire)
    size = int.from_bytes(_read(stream, 2, deadline), "big")
    response = dns.message.from_wire(_read(stream, size, deadline))
    if not query.is_response(response):
        raise EOFError("it does not belong to the question")
    return response


def _read(stream: Stream, size: int, deadline: float) -> bytes:
    data = bytearray()
    while len(data) < size:
        _limit(stream, deadline)
        part = stream.recv(size - len(data))
        if not part:
            raise EOFError("the server hung up")
        data += part
    return bytes(data)


def _limit(stream: Stream, deadline: float) -> None:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    stream.settimeout(left)
