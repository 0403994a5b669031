"""The rules of RFC 6698 and RFC 7671, case by case."""

from datetime import UTC, datetime, timedelta
from itertools import permutations
from typing import Any

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import given
from hypothesis import strategies as st

from lightest_agents.dns.tlsa import Match, NoMatch, NoMatchReason, is_usable, smimea_matches, tlsa_matches
from tests.unit.dns.pki import DAY, NOW, Holder, Record, make, record

HOST = "tspa.raspidemo"
PAST: dict[str, Any] = {"begins": NOW - 3 * DAY, "ends": NOW - 2 * DAY}
ROOT = make("root", ca=True)
MIDDLE = make("middle", ROOT, ca=True)
LEAF = make("leaf", MIDDLE, names=[HOST])
CHAIN = [LEAF.der, MIDDLE.der, ROOT.der]
ALONE = make("alone", names=[HOST])
STRANGER = make("stranger", ca=True, names=[HOST])
FORMS = [(selector, mtype) for selector in (0, 1) for mtype in (0, 1, 2)]


def verdict(outcome: Match | NoMatch) -> int | NoMatchReason:
    """The depth of a match, or why there is none."""
    return outcome.depth if isinstance(outcome, Match) else outcome.reason


def judge(*records: Record, chain: list[bytes] = CHAIN, **options: object) -> int | NoMatchReason:
    given_options = {"names": [HOST], "now": NOW} | options
    return verdict(tlsa_matches(records, chain, **given_options))  # type: ignore[arg-type]


@pytest.mark.parametrize(("selector", "mtype"), FORMS)
def test_every_form_of_dane_ee_matches_the_leaf_alone(selector: int, mtype: int) -> None:
    assert judge(record(3, selector, mtype, LEAF)) == 0
    assert judge(record(3, selector, mtype, MIDDLE)) == NoMatchReason.MISMATCH


@pytest.mark.parametrize(("selector", "mtype"), FORMS)
def test_every_form_of_dane_ta_matches_the_issuers(selector: int, mtype: int) -> None:
    assert judge(record(2, selector, mtype, MIDDLE)) == 1
    assert judge(record(2, selector, mtype, ROOT)) == 2


@pytest.mark.parametrize(("selector", "mtype"), FORMS)
def test_dane_ta_does_not_match_the_leaf(selector: int, mtype: int) -> None:
    assert isinstance(judge(record(2, selector, mtype, LEAF)), NoMatchReason)


@pytest.mark.parametrize(("selector", "mtype"), FORMS)
def test_every_form_of_the_pkix_usages_needs_a_root(selector: int, mtype: int) -> None:
    ee, middle, root = (
        record(*kind, selector, mtype, holder)
        for kind, holder in (((1,), LEAF), ((0,), MIDDLE), ((0,), ROOT))
    )
    assert judge(ee, roots=[ROOT.der]) == 0
    assert judge(middle, roots=[ROOT.der]) == 1
    assert judge(root, roots=[ROOT.der]) == 2
    assert judge(root, chain=CHAIN[:2], roots=[ROOT.der]) == 2, "a root need not be presented"
    for one in (ee, middle, root):
        assert judge(one, roots=[STRANGER.der]) in (NoMatchReason.PATH, NoMatchReason.MISMATCH)
        assert judge(one) in (NoMatchReason.PATH, NoMatchReason.MISMATCH)


def test_a_pkix_path_through_the_described_issuer_is_found_among_several() -> None:
    other = make("other root", ca=True)
    cross = make("middle", other, ca=True, key=MIDDLE.key)
    roots = [ROOT.der, other.der]
    for chain in permutations([MIDDLE.der, cross.der]):
        for issuer in (MIDDLE, cross):
            assert judge(record(0, 0, 1, issuer), chain=[LEAF.der, *chain], roots=roots) == 1
        assert judge(record(0, 0, 1, other), chain=[LEAF.der, *chain], roots=roots) == 2


def test_dane_ee_asks_neither_for_names_nor_for_dates_nor_for_a_path() -> None:
    leaf = make("leaf", STRANGER, names=["elsewhere.example"], **PAST)
    assert judge(record(3, 1, 1, leaf), chain=[leaf.der]) == 0
    assert judge(record(3, 1, 1, leaf), chain=[leaf.der], names=()) == 0
    future = make("leaf", begins=NOW + DAY, ends=NOW + 2 * DAY)
    assert judge(record(3, 0, 2, future), chain=[future.der]) == 0


def test_the_bare_key_and_the_bare_certificate_of_an_anchor_need_not_be_presented() -> None:
    assert judge(record(2, 0, 0, MIDDLE), chain=[LEAF.der]) == 1
    assert judge(record(2, 1, 0, MIDDLE), chain=[LEAF.der]) == 1
    assert judge(record(2, 0, 0, ROOT), chain=CHAIN[:2]) == 2
    assert judge(record(2, 1, 0, ROOT), chain=CHAIN[:2]) == 2
    assert judge(record(2, 1, 0, STRANGER), chain=CHAIN[:2]) == NoMatchReason.PATH
    assert judge(record(2, 0, 1, ROOT), chain=CHAIN[:2]) == NoMatchReason.MISMATCH, "a digest brings nothing"


def test_a_presented_anchor_must_have_signed() -> None:
    impostor = make("middle", ca=True)
    assert judge(record(2, 0, 1, impostor), chain=[LEAF.der, impostor.der]) == NoMatchReason.PATH
    assert judge(record(2, 0, 1, STRANGER), chain=[LEAF.der, STRANGER.der]) == NoMatchReason.PATH


@pytest.mark.parametrize(
    ("middle", "leaf"),
    [
        ({"ca": True}, PAST),
        ({"ca": True, **PAST}, {}),
        ({"ca": False}, {}),
        ({"ca": True, "extensions": [(x509.KeyUsage(True, *[False] * 8), True)]}, {}),
        ({"ca": True, "extensions": [(x509.NameConstraints([x509.DNSName("elsewhere")], None), True)]}, {}),
        (
            {
                "ca": True,
                "extensions": [(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), False)],
            },
            {},
        ),
        ({"ca": True}, {"extensions": [(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), False)]}),
    ],
    ids=[
        "leaf expired",
        "issuer expired",
        "issuer no CA",
        "issuer may not sign",
        "name constraint",
        "issuer use",
        "use",
    ],
)
def test_a_path_with_a_defect_is_none(middle: dict[str, object], leaf: dict[str, object]) -> None:
    issuer = make("middle", ROOT, **middle)  # type: ignore[arg-type]
    holder = make("leaf", issuer, names=[HOST], **leaf)  # type: ignore[arg-type]
    chain = [holder.der, issuer.der, ROOT.der]
    for one in (record(2, 0, 1, ROOT), record(0, 0, 1, ROOT), record(1, 1, 1, holder)):
        assert judge(one, chain=chain, roots=[ROOT.der]) == NoMatchReason.PATH
    assert judge(record(3, 1, 1, holder), chain=chain) == 0


def test_a_path_longer_than_the_issuer_allows_is_none() -> None:
    short = make("short", ca=True, path_length=0)
    below = make("below", short, ca=True)
    leaf = make("leaf", below, names=[HOST])
    assert judge(record(2, 0, 1, short), chain=[leaf.der, below.der, short.der]) == NoMatchReason.PATH


def test_the_time_is_that_given() -> None:
    one = record(2, 0, 1, ROOT)
    assert judge(one, now=NOW.astimezone()) == 2
    assert judge(one, now=NOW + 2 * DAY) == NoMatchReason.PATH
    assert judge(one, now=datetime(2020, 1, 1, tzinfo=UTC)) == NoMatchReason.PATH


@pytest.mark.parametrize("usage", [0, 1, 2])
def test_the_other_usages_ask_for_the_name(usage: int) -> None:
    one = record(usage, 0, 1, LEAF if usage == 1 else ROOT)
    options = {"roots": [ROOT.der]}
    assert isinstance(judge(one, names=["elsewhere.raspidemo", HOST], **options), int)
    assert judge(one, names=["elsewhere.raspidemo"], **options) == NoMatchReason.NAME
    assert judge(one, names=(), **options) == NoMatchReason.NAME


@pytest.mark.parametrize(
    ("presented", "reference", "same"),
    [
        ("tspa.raspidemo", "TSPA.raspidemo", True),
        ("TSPA.raspidemo.", "tspa.raspidemo", True),
        ("*.germany.raspidemo", "tspa.germany.raspidemo", True),
        ("*.germany.raspidemo", "germany.raspidemo", False),
        ("*.germany.raspidemo", "a.b.germany.raspidemo", False),
        ("*.raspidemo", "tspa.raspidemo", False),
        ("t*.germany.raspidemo", "tspa.germany.raspidemo", False),
        ("tspa.*.raspidemo", "tspa.germany.raspidemo", False),
        ("xn--bcher-kva.germany.raspidemo", "bücher.germany.raspidemo", True),
        ("*.germany.raspidemo", "xn--bcher-kva.germany.raspidemo", True),
        ("evilgermany.raspidemo", "germany.raspidemo", False),
        ("germany.raspidemo", "", False),
    ],
)
def test_names_are_compared_label_by_label(presented: str, reference: str, same: bool) -> None:
    leaf = make("leaf", ROOT, names=[presented])
    outcome = judge(record(2, 0, 1, ROOT), chain=[leaf.der, ROOT.der], names=[reference])
    assert outcome == (1 if same else NoMatchReason.NAME)


def test_a_common_name_is_no_name() -> None:
    leaf = make(HOST, ROOT)
    assert judge(record(2, 0, 1, ROOT), chain=[leaf.der, ROOT.der]) == NoMatchReason.NAME


UNUSABLE = [
    Record(4, 1, 1, bytes(32)),
    Record(255, 1, 1, bytes(32)),
    Record(3, 2, 1, bytes(32)),
    Record(3, 1, 3, bytes(32)),
    Record(3, 1, 1, bytes(31)),
    Record(3, 1, 2, bytes(32)),
    Record(3, 1, 1, b""),
    Record(3, 0, 0, b"\x30\x03\x02\x01\x01"),
    Record(2, 1, 0, b"not DER"),
    Record(3, 0, 0, LEAF.der + b"\0"),
    Record(3, 1, 0, LEAF.spki[:-1]),
]


@pytest.mark.parametrize("unusable", UNUSABLE)
def test_a_record_that_cannot_be_used_is_ignored(unusable: Record) -> None:
    assert not is_usable(unusable)
    assert judge(unusable) == NoMatchReason.NO_USABLE_RECORD
    assert judge(unusable, record(3, 1, 1, LEAF)) == 0
    assert judge(unusable, record(3, 1, 1, ALONE)) == NoMatchReason.MISMATCH


def test_no_record_is_the_same_as_none_that_can_be_used() -> None:
    assert judge() == NoMatchReason.NO_USABLE_RECORD


@pytest.mark.parametrize("chain", [[], [b""], [b"garbage"], [LEAF.der[:-1]]])
def test_a_peer_without_certificate_matches_nothing(chain: list[bytes]) -> None:
    assert judge(record(3, 1, 1, LEAF), chain=chain) == NoMatchReason.NO_CERTIFICATE


def test_the_next_key_may_be_published_beside_the_current_one() -> None:
    assert judge(record(3, 1, 1, ALONE), record(3, 1, 1, LEAF)) == 0


def test_a_digest_that_does_not_match_does_not_hide_one_that_does() -> None:
    assert judge(record(3, 1, 2, ALONE), record(3, 1, 1, LEAF)) == 0


def test_the_best_of_several_matches_is_told() -> None:
    preferred = [
        record(3, 1, 1, LEAF),
        record(1, 0, 1, LEAF),
        record(2, 0, 1, MIDDLE),
        record(0, 0, 1, MIDDLE),
        record(2, 0, 1, ROOT),
        record(0, 0, 1, ROOT),
    ]
    for start in range(len(preferred)):
        for order in (preferred[start:], preferred[start:][::-1]):
            outcome = tlsa_matches(order, CHAIN, [HOST], roots=[ROOT.der], now=NOW)
            assert isinstance(outcome, Match)
            assert outcome.record == preferred[start]


def test_the_refusal_is_that_of_the_record_that_came_furthest() -> None:
    assert (
        judge(record(3, 1, 1, ALONE), record(2, 0, 1, ROOT), names=["elsewhere.raspidemo"])
        == NoMatchReason.NAME
    )


def test_a_list_signer_is_matched_without_a_name() -> None:
    signer = make("manufacturer")
    assert verdict(smimea_matches([record(3, 0, 1, signer)], [signer.der], now=NOW)) == 0
    assert verdict(smimea_matches([record(3, 0, 1, ALONE)], [signer.der], now=NOW)) == NoMatchReason.MISMATCH
    mail = make(
        "m", ROOT, extensions=[(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), False)]
    )
    assert verdict(smimea_matches([record(2, 0, 1, ROOT)], [mail.der, ROOT.der], now=NOW)) == 1


HOLDERS = st.sampled_from([LEAF, MIDDLE, ROOT, ALONE, STRANGER])
RECORDS = st.builds(
    record, st.integers(0, 3), st.integers(0, 1), st.integers(0, 2), HOLDERS
) | st.sampled_from(UNUSABLE)


@given(st.lists(RECORDS, max_size=4), st.lists(HOLDERS, max_size=3), st.randoms())
def test_the_order_never_matters(records: list[Record], issuers: list[Holder], random: object) -> None:
    def outcome() -> Match | NoMatch:
        chain = [LEAF.der, *(issuer.der for issuer in issuers)]
        return tlsa_matches(records, chain, [HOST], roots=[ROOT.der], now=NOW)

    first = outcome()
    random.shuffle(records)  # type: ignore[attr-defined]
    random.shuffle(issuers)  # type: ignore[attr-defined]
    assert outcome() == first


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A certificate with some octets changed, or cut short, or nothing but octets."""
    data = bytearray(draw(HOLDERS).der)
    for place in draw(st.lists(st.integers(0, len(data) - 1), max_size=3)):
        data[place] = draw(st.integers(0, 255))
    return draw(
        st.just(bytes(data))
        | st.just(bytes(data[: draw(st.integers(0, len(data)))]))
        | st.binary(max_size=40)
    )


@given(
    st.builds(Record, st.integers(0, 255), st.integers(0, 255), st.integers(0, 255), damaged()),
    st.lists(damaged(), max_size=3),
    st.lists(damaged(), max_size=2),
    st.text(max_size=20),
)
def test_garbage_never_raises(garbage: Record, chain: list[bytes], roots: list[bytes], name: str) -> None:
    records = [
        garbage,
        record(2, 1, 0, ROOT),
        record(0, 0, 1, ROOT),
        record(1, 0, 1, LEAF),
        record(2, 0, 1, MIDDLE),
    ]
    tlsa_matches(records, chain, [name, HOST], roots=[ROOT.der, *roots], now=NOW)


def test_a_damaged_certificate_in_the_record_is_on_no_path() -> None:
    unsound = bytearray(ROOT.der)
    unsound[-1] ^= 1
    assert judge(Record(2, 0, 0, bytes(unsound)), chain=CHAIN[:2]) == 2, (
        "nobody checks an anchor's own signature"
    )


def test_validity_ends_when_it_ends() -> None:
    assert judge(record(2, 0, 1, ROOT), now=NOW + DAY + timedelta(seconds=1)) == NoMatchReason.PATH
