"""Each state of a link from the answers that make it, without a network."""

import io
from collections.abc import Iterable
from datetime import UTC, datetime

import dns.dnssec
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from dns.rdtypes.ANY.DNSKEY import DNSKEY
from dns.rdtypes.ANY.DS import DS
from rich.console import Console

from lightest_agents.cluster.chain import (
    Chain,
    Link,
    LinkKind,
    State,
    ZoneAnswers,
    compare_ds,
    describe_keys,
    is_zone,
    judge_denial,
    judge_failure,
    judge_name,
    judge_pointer,
    judge_zone,
    read_anchor,
)
from lightest_agents.cluster.questions import Answer
from lightest_agents.cluster.render import chain_values, make_console, print_chain
from lightest_agents.cluster.walk import read_name, walk_chain
from lightest_agents.errors import NameRefusedError

DOMAIN = dns.name.from_text("raspidemo")
GERMANY = dns.name.from_text("germany.raspidemo")
POINTER = dns.name.from_text("_scheme._trust.sensor1.germany.raspidemo")
NOW = datetime(2026, 11, 22, tzinfo=UTC)
NODATA = Answer(authenticated=True, soa=DOMAIN)
SERVFAIL = Answer(rcode=dns.rcode.SERVFAIL)


def new_key(flags: int = 257) -> DNSKEY:
    return dns.dnssec.make_dnskey(
        ec.generate_private_key(ec.SECP256R1()).public_key(), "ECDSAP256SHA256", flags
    )


KEY = new_key()


def ds_of(zone: dns.name.Name, key: DNSKEY) -> DS:
    return dns.dnssec.make_ds(zone, key, "SHA256")


def answer(name: dns.name.Name, *records: object, ad: bool = True) -> Answer:
    return Answer(authenticated=ad, rrset=dns.rrset.from_rdata(name, 300, *records))


def signed_soa(tags: Iterable[int]) -> Answer:
    return Answer(
        signatures=dns.rrset.from_text(
            GERMANY,
            300,
            "IN",
            "RRSIG",
            *(f"SOA 13 2 300 20300101000000 20260101000000 {tag} germany.raspidemo. AA==" for tag in tags),
        )
    )


def germany(ds: Answer, keys: Answer | None = None) -> Link:
    return judge_zone(GERMANY, ZoneAnswers(keys or answer(GERMANY, KEY), ds=ds), NOW)


def test_a_zone_whose_ds_matches_holds() -> None:
    link = germany(answer(GERMANY, ds_of(GERMANY, KEY)))
    assert (link.state, link.validated, link.ds[0].matches) == (State.HELD, True, True)


def test_one_matching_ds_of_two_is_enough() -> None:
    link = germany(answer(GERMANY, ds_of(GERMANY, new_key()), ds_of(GERMANY, KEY)))
    assert link.state is State.HELD
    assert sorted(ds.matches for ds in link.ds) == [False, True]


def test_a_ds_for_another_zone_does_not_match() -> None:
    assert not compare_ds(DOMAIN, [KEY], [ds_of(GERMANY, KEY)])[0].matches


def test_ds_that_match_no_key_break_the_chain_even_with_ad() -> None:
    assert germany(answer(GERMANY, ds_of(GERMANY, new_key()))).state is State.MISMATCH


@pytest.mark.parametrize("keys_ad", [True, False])
def test_answers_without_ad_are_insecure_although_the_ds_matches(keys_ad: bool) -> None:
    ds = answer(GERMANY, ds_of(GERMANY, KEY), ad=not keys_ad)
    link = germany(ds, answer(GERMANY, KEY, ad=keys_ad))
    assert (link.state, link.validated) == (State.INSECURE, False)


def test_keys_without_ds_are_insecure_and_the_parent_is_named() -> None:
    link = germany(NODATA, answer(GERMANY, KEY, ad=False))
    assert (link.state, link.reason) == (
        State.INSECURE,
        "the parent has no DS for it: signed, but not chained",
    )


def test_the_anchor_takes_the_place_of_the_parent() -> None:
    answers = ZoneAnswers(answer(DOMAIN, KEY))
    assert judge_zone(DOMAIN, answers, NOW, [ds_of(DOMAIN, KEY)]).state is State.HELD
    assert judge_zone(DOMAIN, answers, NOW, [ds_of(DOMAIN, new_key())]).state is State.MISMATCH
    assert "holds no DS record" in judge_zone(DOMAIN, answers, NOW, []).reason


def test_servfail_is_bogus_only_where_the_data_is_there() -> None:
    assert judge_failure(SERVFAIL, answer(GERMANY, KEY)) == (
        State.BOGUS,
        "validation failed; the resolver gives no Extended DNS Error",
    )
    for raw in (SERVFAIL, Answer(failure="no answer within 8 s"), Answer(rcode=dns.rcode.REFUSED), None):
        failed = judge_failure(SERVFAIL, raw)
        assert failed is not None
        assert failed[0] is State.SILENT


def test_the_extended_error_is_the_reason() -> None:
    bogus = Answer(rcode=dns.rcode.SERVFAIL, extended=("EDE 9 (DNSKEY Missing): no keys",))
    assert judge_failure(bogus, NODATA) == (State.BOGUS, "EDE 9 (DNSKEY Missing): no keys")


def test_a_refusal_is_told_from_silence() -> None:
    assert judge_failure(Answer(rcode=dns.rcode.REFUSED)) == (State.FAILED, "the resolver answers REFUSED")
    assert judge_failure(Answer(failure="no answer within 8 s")) == (State.SILENT, "no answer within 8 s")


@pytest.mark.parametrize(
    ("start", "end", "words"),
    [
        ("20200101000000", "20200201000000", "expired at 2020-02-01 00:00 UTC"),
        ("20300101000000", "20300201000000", "holds from 2030-01-01 00:00 UTC only"),
    ],
)
def test_bogus_for_a_lapsed_signature_says_so(start: str, end: str, words: str) -> None:
    signature = dns.rrset.from_text(
        GERMANY, 300, "IN", "RRSIG", f"DNSKEY 13 2 300 {end} {start} 1 germany.raspidemo. AA=="
    )
    raw = Answer(rrset=dns.rrset.from_rdata(GERMANY, 300, KEY), signatures=signature)
    answers = ZoneAnswers(SERVFAIL, ds=answer(GERMANY, ds_of(GERMANY, KEY)), raw_keys=raw)
    link = judge_zone(GERMANY, answers, NOW)
    assert link.state is State.BOGUS
    assert words in link.reason


@pytest.mark.parametrize(
    ("given", "state", "reason"),
    [
        (Answer(rcode=dns.rcode.NXDOMAIN, authenticated=True), State.ABSENT, "does not exist, proved"),
        (Answer(rcode=dns.rcode.NXDOMAIN), State.ABSENT, "does not exist, but without proof (no AD)"),
        (NODATA, State.EMPTY, "nothing here, proved"),
    ],
)
def test_denials_say_whether_they_are_proved(given: Answer, state: State, reason: str) -> None:
    assert judge_denial(given, "nothing here") == (state, reason)


def test_a_name_exists_only_by_an_authenticated_answer() -> None:
    assert judge_name(GERMANY, NODATA).state is State.HELD
    assert judge_name(GERMANY, Answer()).state is State.INSECURE


def pointer(*targets: str, ad: bool = True) -> Link:
    records = dns.rrset.from_text(POINTER, 300, "IN", "PTR", *targets)
    return judge_pointer(POINTER, DOMAIN, Answer(authenticated=ad, rrset=records))


def test_a_pointer_holds_when_all_its_targets_are_in_the_domain() -> None:
    inside = "_scheme._trust.sensor1.trust.germany.raspidemo."
    assert pointer(inside).state is State.HELD
    assert pointer(inside, ad=False).state is State.INSECURE
    assert pointer(inside, "sensor1.example.").state is State.OUTSIDE
    assert pointer("sensor1.evilraspidemo.").state is State.OUTSIDE


def test_roles_come_from_flags_and_from_what_the_keys_sign() -> None:
    entry, other = new_key(), new_key(flags=256)
    assert [key.role for key in describe_keys([entry], signed_soa([dns.dnssec.key_id(entry)]))] == ["CSK"]
    split = describe_keys([entry, other], signed_soa([dns.dnssec.key_id(other)]))
    assert [(key.role, key.tag) for key in split] == [
        ("KSK", dns.dnssec.key_id(entry)),
        ("ZSK", dns.dnssec.key_id(other)),
    ]


def test_an_unsigned_zone_is_known_by_its_soa() -> None:
    assert is_zone(GERMANY, Answer(soa=GERMANY))
    assert not is_zone(GERMANY, Answer(soa=DOMAIN))


@pytest.mark.parametrize("text", ["", "; made by hand\n", "not a zone file", "raspidemo. DS nonsense"])
def test_an_anchor_file_without_ds_gives_none(text: str) -> None:
    assert read_anchor(text) == ()


@pytest.mark.parametrize(
    "form", ["{name} IN DS {ds}", "; anchor\n{name} 3600 IN DS {ds}\n", "{name} DS {ds}"]
)
def test_an_anchor_file_is_read_in_its_usual_forms(form: str) -> None:
    record = ds_of(DOMAIN, KEY)
    assert read_anchor(form.format(name="raspidemo.", ds=record.to_text())) == (record,)


@pytest.mark.parametrize("text", ["example", "evilraspidemo", "raspidemo.example", "a..b", "x" * 64, ""])
def test_names_outside_the_trust_domain_are_refused(text: str) -> None:
    with pytest.raises(NameRefusedError):
        read_name(text, DOMAIN)


def test_names_may_be_typed_with_final_dot_and_in_capitals() -> None:
    assert read_name("Germany.Raspidemo.", DOMAIN) == GERMANY


def test_the_walk_stops_at_the_first_broken_link_and_shows_no_later_one() -> None:
    asked = []

    def ask(name: dns.name.Name, rdtype: dns.rdatatype.RdataType, *, checking: bool = True) -> Answer:
        asked.append(name)
        return SERVFAIL

    chain = walk_chain(ask, GERMANY, DOMAIN, [ds_of(DOMAIN, KEY)], "verifier")
    assert [link.state for link in chain.links] == [State.SILENT]
    assert set(asked) == {DOMAIN}


def broken_chain() -> Chain:
    held = judge_zone(DOMAIN, ZoneAnswers(answer(DOMAIN, KEY)), NOW, [ds_of(DOMAIN, KEY)])
    return Chain(GERMANY, "verifier", (held, germany(NODATA, answer(GERMANY, KEY, ad=False))))


def test_a_pipe_gets_words_and_no_control_codes(capsys: pytest.CaptureFixture[str]) -> None:
    print_chain(make_console(), broken_chain())
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "● raspidemo held → ○ germany insecure" in out
    assert "germany.raspidemo: insecure: the parent has no DS for it: signed, but not chained" in out
    assert not any(line.endswith(" ") for line in out.splitlines())


def test_a_terminal_without_unicode_gets_plain_signs() -> None:
    written = io.BytesIO()
    output = io.TextIOWrapper(written, encoding="ascii")
    print_chain(Console(file=output, force_terminal=True, no_color=True, width=120), broken_chain())
    output.flush()
    assert b"* raspidemo held -> o germany insecure" in written.getvalue()


def test_json_names_the_state_and_carries_the_whole_digest() -> None:
    values = chain_values(broken_chain())
    assert values["held"] is False
    assert [link["state"] for link in values["links"]] == ["held", "insecure"]
    assert values["links"][0]["ds"][0]["digest"] == ds_of(DOMAIN, KEY).digest.hex()
    assert values["links"][0]["kind"] == LinkKind.ZONE.value
