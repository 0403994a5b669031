"""The module's pure parts: differences, units, messages, state and key files."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import dns.message
import dns.name
import dns.rdatatype
import dns.tsig
import dns.update
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import trust_zone
from trust_zone import Snapshot, Task, ZoneError

ZONE = "germany.raspidemo."
ORIGIN = dns.name.from_text(ZONE)
KEY = dns.tsig.Key("operator.germany.raspidemo", "AAAA" * 11, "hmac-sha256")

LABELS = st.text("abcdefghijklmnopqrstuvwxyz0123456789", min_size=1, max_size=12)
ADDRESSES = st.integers(1, 254).map(lambda number: f"10.9.0.{number}")


@st.composite
def zones(draw: st.DrawFn) -> list[str]:
    """The canonical lines of a zone: sensors with pointers, and addresses of one TTL a name."""
    lines = set()
    for label in draw(st.sets(LABELS, max_size=25)):
        ttl = draw(st.sampled_from([60, 300]))
        pointer = f"_scheme._trust.{label}"
        lines |= {f"{label}.{ZONE} {ttl} A {address}" for address in draw(st.sets(ADDRESSES, max_size=3))}
        if draw(st.booleans()):
            lines.add(f"{pointer}.{ZONE} {ttl} PTR {pointer}.trust.{ZONE}")
    return sorted(lines)


def plan(live: Sequence[str], wanted: Sequence[str]) -> list[trust_zone.Unit]:
    snapshot = Snapshot(1, live)
    return trust_zone.plan(
        snapshot, *trust_zone.difference(live, wanted), ORIGIN, {"A", "AAAA", "NS", "PTR", "DS"}
    )


@settings(deadline=None, max_examples=50)
@given(zones(), zones())
def test_the_difference_leads_from_live_to_wanted(live: list[str], wanted: list[str]) -> None:
    added, removed = trust_zone.difference(live, wanted)
    assert sorted((set(live) - set(removed)) | set(added)) == wanted
    assert not set(added) & set(live)
    assert set(removed) <= set(live)


@settings(deadline=None, max_examples=50)
@given(st.sets(st.integers(0, 9999), max_size=5), st.sets(st.integers(0, 9999), max_size=5))
def test_the_difference_of_large_lists(gone: set[int], twice: set[int]) -> None:
    live = [f"{number:05}" for number in range(10_000)]
    wanted = [line for index, line in enumerate(live) if index not in gone] + [live[i] for i in twice - gone]
    expected = sorted(live[index] for index in gone)
    assert trust_zone.difference(live, sorted(wanted)) == ([], expected)
    assert trust_zone.difference(live, wanted) == ([], expected)


@settings(deadline=None, max_examples=50)
@given(zones(), zones(), st.integers(200, 5000))
def test_messages_are_bounded_and_never_split_a_name(live: list[str], wanted: list[str], limit: int) -> None:
    groups = list(trust_zone.batches(plan(live, wanted), limit))
    labels = []
    for group in groups:
        wire = trust_zone.update_message(group, ORIGIN, None).to_wire() or b""
        size = sum(unit.size for unit in group)
        assert len(wire) <= 12 + len(ORIGIN.to_wire() or b"") + 4 + size
        assert size <= limit or len(group) == 1
        labels += [
            {trust_zone.unit_of(line, ZONE) for line in (*unit.added, *unit.removed)} for unit in group
        ]
    assert all(len(names) == 1 for names in labels)
    assert len(set().union(*labels)) == len(labels)


@settings(deadline=None, max_examples=50)
@given(zones(), zones())
def test_an_update_does_what_the_difference_says(live: list[str], wanted: list[str]) -> None:
    """The message, read as RFC 2136 sections 2.4 and 3.4.2 say, takes `live` to `wanted`."""
    units = plan(live, wanted)
    wire = trust_zone.update_message(units, ORIGIN, None).to_wire()
    message = dns.message.from_wire(wire)
    assert isinstance(message, dns.update.UpdateMessage)
    zone = {(owner, kind): set[str]() for owner, _, kind, _ in (line.split(" ", 3) for line in live)}
    ttls = {}
    for line in live:
        owner, ttl, kind, rdata = line.split(" ", 3)
        zone[owner, kind].add(rdata)
        ttls[owner, kind] = ttl
    seen: dict[tuple[str, str], set[str]] = defaultdict(set)
    for rrset in message.prerequisite:
        key = (rrset.name.to_text(), dns.rdatatype.to_text(rrset.rdtype))
        seen[key] |= {rdata.to_text() for rdata in rrset}
    assert all(rdatas == zone.get(key, set()) for key, rdatas in seen.items())
    assert seen.keys() >= {(r.name.to_text(), dns.rdatatype.to_text(r.rdtype)) for r in message.update}
    for rrset in message.update:
        key = (rrset.name.to_text(), dns.rdatatype.to_text(rrset.rdtype))
        rdatas = {rdata.to_text() for rdata in rrset}
        if rrset.deleting:
            zone[key] -= rdatas
        else:
            zone.setdefault(key, set()).update(rdatas)
            ttls[key] = str(rrset.ttl)
    assert sorted(f"{o} {ttls[o, k]} {k} {r}" for (o, k), rdatas in zone.items() for r in rdatas) == wanted


def test_names_that_go_are_sent_after_names_that_come() -> None:
    units = plan([f"a.{ZONE} 300 A 10.0.0.1"], [f"z.{ZONE} 300 A 10.0.0.1"])
    assert [bool(unit.added) for unit in units] == [True, False]


@pytest.mark.parametrize(
    ("owner", "unit"),
    [
        (ZONE, "@"),
        (f"ns1.{ZONE}", "ns1"),
        (f"_scheme._trust.sensor1.{ZONE}", "sensor1"),
        (f"ns1.trust.{ZONE}", "trust"),
    ],
)
def test_a_unit_is_the_label_below_the_apex(owner: str, unit: str) -> None:
    assert trust_zone.unit_of(f"{owner} 300 A 10.0.0.1", ZONE) == unit


def test_a_name_too_large_for_a_message_goes_alone() -> None:
    huge = [f"huge.{ZONE} 300 A 10.1.{n // 250}.{n % 250}" for n in range(200)]
    groups = list(trust_zone.batches(plan([], sorted([*huge, f"small.{ZONE} 300 A 10.0.0.1"])), 1000))
    assert [[unit.added[0].split(".")[0] for unit in group] for group in groups] == [["huge"], ["small"]]


# --- state and key files ---


@settings(deadline=None, max_examples=50)
@given(zones(), st.integers(0, 2**32 - 1))
def test_a_state_reads_back(tmp_path_factory: pytest.TempPathFactory, lines: list[str], serial: int) -> None:
    path = tmp_path_factory.mktemp("state") / ZONE
    trust_zone.save_state(path, ZONE, ["A", "PTR"], Snapshot(serial, lines))
    assert trust_zone.load_state(path, ZONE, ["PTR", "A"]) == Snapshot(serial, lines)
    assert trust_zone.load_state(path, "other.", ["PTR", "A"]) == trust_zone.UNKNOWN
    path.write_bytes(path.read_bytes()[:-1])
    assert trust_zone.load_state(path, ZONE, ["PTR", "A"]) == trust_zone.UNKNOWN


def test_a_state_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ZoneError, match="cannot be written"):
        trust_zone.save_state(tmp_path / "file" / ZONE, ZONE, ["A"], Snapshot(1, []))


def test_a_key_with_comments_is_read(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text(
        '# made by hand\nkey "Operator.x" {\n // x\n algorithm "hmac-sha256"; secret "AA//AAAA";\n};\n'
    )
    key = trust_zone.read_key(path)
    assert (key.name, key.secret) == (dns.name.from_text("operator.x"), b"\x00\x0f\xff\x00\x00\x00")


@pytest.mark.parametrize("content", [b"\x1f\x8bnot gzip", b"\xff\xfe"])
def test_an_unreadable_record_file_is_one_sentence(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "records"
    path.write_bytes(content)
    with pytest.raises(ZoneError, match="cannot be read"):
        trust_zone.read_records(path)


# --- parameters ---


def params(tmp_path: Path, **changes: object) -> dict[str, object]:
    (tmp_path / "records").write_text("")
    return {
        "zone": "germany.raspidemo",
        "records": str(tmp_path / "records"),
        "owned_types": ["A"],
        "delegations": {},
        "server": "127.0.0.1",
        "port": 53,
        "key_file": str(tmp_path / "key"),
        "state_file": str(tmp_path / "state"),
        "keep": [],
        "removal_limit": 30,
        "allow_removals": False,
    } | changes


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"owned_types": ["a", "soa"]}, "SOA, which only the name server writes"),
        ({"owned_types": ["A", "NOTYPE"]}, "cannot be used"),
        ({"removal_limit": 101}, "percentage"),
        ({"server": "ns1.raspidemo"}, "give an IP address"),
        ({"zone": "a" * 64}, "cannot be used"),
        ({"delegations": {"x": "12345 13 2 ab"}}, "no list"),
    ],
)
def test_unusable_parameters_are_one_sentence(
    tmp_path: Path, changes: dict[str, object], reason: str
) -> None:
    with pytest.raises(ZoneError, match=reason):
        trust_zone.run(params(tmp_path, **changes), check=False)


def test_rubbish_as_ds_is_one_sentence() -> None:
    with pytest.raises(ZoneError, match="is no DS rdata"):
        trust_zone.normal_ds("12345 rubbish")


def test_the_limit_is_a_percentage_of_names() -> None:
    live = Snapshot(1, [f"s{n}.{ZONE} 300 A 10.0.0.{n}" for n in range(10)])
    task = Task(ZONE, (), frozenset({"A"}), {}, (), 30, allow_removals=False, check=False)
    trust_zone.check_removals(task, live, live.lines[3:], live.lines[:3])
    with pytest.raises(ZoneError, match="4 of the 10 names"):
        trust_zone.check_removals(task, live, live.lines[4:], live.lines[:4])
