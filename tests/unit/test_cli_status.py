"""What counts as a problem of a host or a zone."""

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dns.name
import dns.rdatatype
import dns.rrset
import pytest

from lightest_agents.cluster import probe
from lightest_agents.cluster.chain import DelegationSigner, Key, read_anchor
from lightest_agents.cluster.questions import Answer
from lightest_agents.cluster.status import (
    HostReport,
    ZoneReport,
    anchors_of,
    ds_of,
    earliest_expiry,
    next_to_resign,
    read_probe,
    resign_time,
    services_of,
)

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
GERMANY = dns.name.from_text("germany.raspidemo")
ANCHOR = read_anchor(f"raspidemo. IN DS 1 13 2 {'00' * 32}")
OTHER_ANCHOR = read_anchor(f"raspidemo. IN DS 2 13 2 {'11' * 32}")


def host(**changes: Any) -> list[str]:
    found: dict[str, Any] = {
        "started": 1000.1,
        "ended": 1000.3,
        "services": {"named": "active"},
        "failed_units": [],
        "disks": {"/": 12.0},
        "synchronized": True,
        "uptime": 60.0,
        "anchor": None,
        "zones": {},
    }
    return read_probe("germany", "192.0.2.1", ("nameservers",), found | changes, 1000.0, 1000.4).problems()


def zone(**changes: Any) -> list[str]:
    fine: dict[str, Any] = {
        "serial": 7,
        "keys": (Key(1, "CSK", "ECDSAP256SHA256"),),
        "ds": (DelegationSigner(1, "ECDSAP256SHA256", "SHA256", "00", True),),
        "expires": NOW + timedelta(days=10),
        "resign": NOW + timedelta(days=5),
    }
    return ZoneReport(GERMANY, "germany", **(fine | changes)).problems(NOW)


def test_a_healthy_host_has_no_problem() -> None:
    assert host() == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"services": {"named": "failed"}}, "named is failed"),
        ({"services": {"named": "not installed"}}, "named is not installed"),
        ({"failed_units": ["apt-daily.service"]}, "apt-daily.service has failed"),
        ({"disks": {"/": 12.0, "/var/lib": 90.1}}, "/var/lib is 90 % full"),
        ({"started": 1002.5, "ended": 1002.6}, "the clock is +2.4 s off"),
        ({"started": 500.1, "ended": 500.3}, "the clock is -500.0 s off"),
    ],
)
def test_each_problem_of_a_host_is_a_sentence(changes: dict[str, Any], words: str) -> None:
    problems = host(**changes)
    assert len(problems) == 1
    assert words in problems[0]


def test_a_slow_answer_is_no_wrong_clock() -> None:
    found = {"started": 1007.0, "ended": 1007.1, "services": {}, "failed_units": [], "disks": {}}
    found |= {"synchronized": None, "uptime": 1.0, "anchor": None, "zones": {}}
    assert read_probe("pi", "192.0.2.1", (), found, 1000.0, 1009.0).problems() == []


def test_a_firewall_that_the_kernel_cannot_run_is_no_problem() -> None:
    assert host(services={"nftables": "not possible"}) == []


def test_a_host_that_is_down_has_that_problem_only() -> None:
    assert HostReport("pi", "192.0.2.1", (), unreachable="pi: no answer").problems() == ["pi: no answer"]


def test_services_follow_from_the_groups() -> None:
    assert services_of(("nameservers", "resolvers", "sensors")) == (
        "named",
        "unbound",
        "lightest-sensor@*",
        "ssh",
        "nftables",
        "systemd-timesyncd",
    )


def test_a_healthy_zone_has_no_problem() -> None:
    assert zone() == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"silent": "no answer within 8 s"}, "germany does not serve it: no answer within 8 s"),
        ({"keys": ()}, "it is not signed"),
        ({"ds_problem": "the parent has no DS for it"}, "the parent has no DS for it"),
        ({"expires": NOW + timedelta(days=3, seconds=-1)}, "a signature expires at 2026-11-25 11:59 UTC"),
        ({"expires": NOW}, "a signature expired at 2026-11-22 12:00 UTC"),
        ({"expires": None}, "no signature was found"),
        ({"resign": NOW - timedelta(hours=2)}, "re-signing has been due since 2026-11-22 10:00 UTC"),
    ],
)
def test_each_problem_of_a_zone_is_a_sentence(changes: dict[str, Any], words: str) -> None:
    problems = zone(**changes)
    assert len(problems) == 1
    assert words in problems[0]


def test_resolvers_must_agree_on_the_anchor() -> None:
    assert anchors_of({"tspa": ANCHOR, "verifier": ANCHOR}) == ANCHOR
    assert "different trust anchors: tspa, verifier" in anchors_of({"tspa": ANCHOR, "verifier": OTHER_ANCHOR})
    assert anchors_of({"tspa": ANCHOR, "verifier": ()}) == "the trust anchor on verifier holds no DS record"
    assert anchors_of({}) == "no resolver that can be reached has a trust anchor"


def test_a_parent_without_ds_and_one_that_is_silent_are_told_apart() -> None:
    def ask(answer: Answer) -> Any:
        return lambda *_, **__: answer

    assert ds_of(ask(Answer()), GERMANY) == "the parent has no DS for it: signed, but not chained"
    assert "gives no DS: no answer" in ds_of(ask(Answer(failure="no answer")), GERMANY)


def test_the_next_record_to_resign_is_asked_for() -> None:
    asked = []

    def ask(name: dns.name.Name, rdtype: dns.rdatatype.RdataType, *, checking: bool = True) -> Answer:
        asked.append((name.to_text(), rdtype.name))
        return Answer()

    next_to_resign(ask, {"next resign node": "_scheme._trust.sensor1.germany.raspidemo/PTR"})
    assert asked == [("_scheme._trust.sensor1.germany.raspidemo.", "PTR")]
    assert next_to_resign(ask, {}) == []
    assert next_to_resign(ask, {"next resign node": "a..b/PTR"}) == []


def test_the_earliest_signature_of_all_counts() -> None:
    def signed(expiration: str) -> Answer:
        text = f"SOA 13 2 300 {expiration} 20260101000000 1 germany.raspidemo. AA=="
        return Answer(signatures=dns.rrset.from_text(GERMANY, 300, "IN", "RRSIG", text))

    answers = [signed("20270101000000"), signed("20261201000000"), Answer()]
    assert earliest_expiry(answers) == datetime(2026, 12, 1, tzinfo=UTC)
    assert earliest_expiry([Answer()]) is None


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("Sun, 22 Nov 2026 15:39:44 GMT", datetime(2026, 11, 22, 15, 39, 44, tzinfo=UTC)),
        ("soon", None),
        ("", None),
    ],
)
def test_the_time_of_rndc_is_read(text: str, time: datetime | None) -> None:
    assert resign_time({"next resign time": text}) == time


def test_the_probe_runs_from_standard_input_with_any_python() -> None:
    done = subprocess.run(
        [sys.executable, "-I", "-", "ssh", "--", "germany.raspidemo"],
        input=Path(probe.__file__).read_text(),
        capture_output=True,
        text=True,
        check=True,
    )
    report = json.loads(done.stdout)
    assert set(report["services"]) == {"ssh"}
    assert "error" in report["zones"]["germany.raspidemo"]
    assert 0 < report["disks"]["/"] <= 100
    assert report["started"] <= report["ended"]
