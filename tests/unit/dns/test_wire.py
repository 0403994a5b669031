"""Answers as a resolver gives them, read from their bytes."""

import dns.edns
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightest_agents.dns.wire import Lookup, Question, Status, is_answer

OWNER = dns.name.from_text("_443._tcp.tspa.raspidemo")
TLSA = f"3 1 1 {'ab' * 32}"
SOA = "ns1.raspidemo. hostmaster.raspidemo. 1 3600 600 86400 60"


def question(rdtype: str = "TLSA") -> Question:
    return Question(OWNER, dns.rdatatype.from_text(rdtype))


def answer(
    *answers: tuple[str, int, str, str],
    authority: tuple[tuple[str, int, str, str], ...] = (),
    rcode: str = "NOERROR",
    flags: str = "QR RD RA AD",
    extended: tuple[int, ...] = (),
    rdtype: str = "TLSA",
) -> bytes:
    """A message with records given as (owner, TTL, type, data)."""
    message = dns.message.QueryMessage(id=7)
    message.flags = dns.flags.from_text(flags)
    message.set_rcode(dns.rcode.from_text(rcode))
    message.question = [dns.rrset.RRset(OWNER, dns.rdataclass.IN, dns.rdatatype.from_text(rdtype))]
    for section, records in ((message.answer, answers), (message.authority, authority)):
        for owner, ttl, kind, data in records:
            section.append(dns.rrset.from_text(dns.name.from_text(owner), ttl, "IN", kind, data))
    options: list[dns.edns.Option] = [dns.edns.EDEOption(dns.edns.EDECode(code), "why") for code in extended]
    message.use_edns(0, payload=1232, options=options)
    return message.to_wire()


def read(wire: bytes) -> Lookup:
    return question().read(wire)


RECORD = (OWNER.to_text(), 300, "TLSA", TLSA)
DENIAL = (("raspidemo.", 300, "SOA", SOA),)


def test_a_question_asks_for_validation_and_not_for_signatures() -> None:
    asked = dns.message.from_wire(b"\0\0" + question().query)
    assert asked.flags == dns.flags.RD | dns.flags.AD
    assert asked.ednsflags == 0
    assert (asked.edns, asked.payload) == (0, 1232)


def test_an_authentic_answer() -> None:
    found = read(answer(RECORD))
    assert (found.status, found.ttl, found.canonical) == (Status.ANSWER, 300, OWNER)
    assert found.rrset is not None
    assert [record.to_text() for record in found.rrset] == [TLSA]


def test_the_ttl_is_the_smallest_on_the_way() -> None:
    alias = (OWNER.to_text(), 20, "CNAME", "dane.raspidemo.")
    found = read(answer(alias, ("dane.raspidemo.", 300, "TLSA", TLSA)))
    assert (found.status, found.ttl) == (Status.ANSWER, 20)
    assert found.canonical == dns.name.from_text("dane.raspidemo")


@pytest.mark.parametrize(("rcode", "status"), [("NOERROR", Status.NODATA), ("NXDOMAIN", Status.NXDOMAIN)])
def test_a_denial_is_kept_as_long_as_the_soa_says(rcode: str, status: Status) -> None:
    found = read(answer(rcode=rcode, authority=DENIAL))
    assert (found.status, found.ttl, found.rrset) == (status, 60, None)
    assert read(answer(rcode=rcode)).ttl == 0, "without SOA it is not kept (RFC 2308, section 5)"


@pytest.mark.parametrize("rcode", ["NOERROR", "NXDOMAIN"])
@pytest.mark.parametrize("records", [(RECORD,), ()])
def test_nothing_counts_without_the_ad_bit(
    rcode: str, records: tuple[tuple[str, int, str, str], ...]
) -> None:
    found = read(answer(*records, rcode=rcode, flags="QR RD RA", authority=DENIAL))
    assert (found.status, found.ttl, found.rrset) == (Status.INSECURE, 0, None)


@pytest.mark.parametrize("code", [1, 2, 6, 7, 8, 9, 10, 11, 12])
def test_a_failed_validation_is_bogus(code: int) -> None:
    found = read(answer(rcode="SERVFAIL", flags="QR RD RA", extended=(code,)))
    assert (found.status, found.ttl) == (Status.BOGUS, 0)
    assert f"EDE {code} " in found.detail


@pytest.mark.parametrize("codes", [(), (22,), (23,), (3,), (0,)])
def test_another_failure_is_no_answer(codes: tuple[int, ...]) -> None:
    found = read(answer(rcode="SERVFAIL", flags="QR RD RA", extended=codes))
    assert (found.status, found.ttl) == (Status.UNAVAILABLE, 0)


@pytest.mark.parametrize("rcode", ["REFUSED", "FORMERR", "NOTIMP"])
def test_a_refusal_is_no_answer(rcode: str) -> None:
    found = read(answer(rcode=rcode, extended=(6,)))
    assert found.status is Status.UNAVAILABLE
    assert rcode in found.detail


def test_a_record_that_nobody_can_read_does_not_hide_the_others() -> None:
    second = (OWNER.to_text(), 300, "TLSA", f"3 1 2 {'cd' * 64}")
    wire = answer(RECORD, second)
    damaged = wire.replace(b"\x03\x01\x02\xcd", b"\x03\x01\x01\xcd")
    found = read(damaged)
    assert found.rrset is not None
    assert [record.to_text() for record in found.rrset] == [TLSA]
    alone = read(answer(second).replace(b"\x03\x01\x02\xcd", b"\x03\x01\x01\xcd"))
    assert alone.status is Status.NODATA
    assert "that can be read" in alone.detail


def test_a_repeated_answer_gives_the_same_records_with_its_own_ttl() -> None:
    asked = question()
    first = asked.read(answer(RECORD))
    older = asked.read(answer((OWNER.to_text(), 120, "TLSA", TLSA)))
    assert older.rrset is first.rrset
    assert (first.ttl, older.ttl) == (300, 120)


def test_a_changed_answer_is_read_again() -> None:
    asked = question()
    asked.read(answer(RECORD))
    other = asked.read(answer((OWNER.to_text(), 300, "TLSA", TLSA.replace("ab", "cd"))))
    assert other.rrset is not None
    assert other.rrset[0].cert == b"\xcd" * 32
    assert asked.read(answer(RECORD, flags="QR RD RA")).status is Status.INSECURE
    assert asked.read(answer(rcode="SERVFAIL", flags="QR RD RA", extended=(7,))).status is Status.BOGUS
    assert asked.read(answer(RECORD)).status is Status.ANSWER


def test_only_the_answer_to_the_question_counts() -> None:
    asked = question()
    assert is_answer(answer(RECORD), asked)
    assert not is_answer(answer(RECORD), question("A"))
    assert not is_answer(answer(RECORD, flags="RD AD"), asked), "a query is no answer"
    assert not is_answer(answer(RECORD)[:20], asked)
    assert not is_answer(b"", asked)


@given(st.binary(max_size=64), st.lists(st.tuples(st.integers(0, 1000), st.integers(0, 255)), max_size=4))
def test_garbage_never_raises(tail: bytes, changes: list[tuple[int, int]]) -> None:
    asked = question()
    wire = bytearray(answer(RECORD, authority=DENIAL))
    for place, octet in changes:
        wire[place % len(wire)] = octet
    for garbage in (bytes(wire), bytes(wire) + tail, bytes(wire[: len(wire) - len(tail)]), tail):
        assert isinstance(asked.read(garbage), Lookup)


@given(st.lists(st.tuples(st.integers(0, 1000), st.integers(0, 255)), min_size=1, max_size=2))
def test_what_is_remembered_never_changes_what_is_read(changes: list[tuple[int, int]]) -> None:
    wire = bytearray(answer(RECORD, authority=DENIAL))
    for place, octet in changes:
        wire[place % len(wire)] = octet
    asked = question()
    asked.read(answer(RECORD, authority=DENIAL))
    assert asked.read(bytes(wire)) == read(bytes(wire))
