"""The module against a real BIND: what is in the zone afterwards, what was sent, and what is refused."""

import json
import os
import re
import shutil
import socket
import socketserver
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

import dns.message
import dns.name
import dns.opcode
import dns.query
import dns.rcode
import dns.rdatatype
import dns.rrset
import dns.update
import pytest

import trust_zone
from tests.integration.conftest import CHILD, ZONE, NameServer, Operator
from trust_zone import NotServedError, ZoneError

DS = "12345 13 2 " + "ab" * 32
OTHER_DS = "54321 13 2 " + "cd" * 32


class Interrupted(trust_zone.Server):
    """A server on which something happens right before an update; all DNS is real."""

    before: Callable[[int], None] = staticmethod(lambda _: None)
    accepted: ClassVar[list[bool]] = []

    def update(self, message: dns.update.UpdateMessage) -> bool:
        self.before(len(self.accepted) + 1)
        self.accepted.append(super().update(message))
        return self.accepted[-1]


Interrupt = Callable[[Callable[[int], None]], list[bool]]


@pytest.fixture
def interrupt(monkeypatch: pytest.MonkeyPatch) -> Interrupt:
    """Set what happens before each update, by its number; returns which updates were accepted."""

    def install(action: Callable[[int], None]) -> list[bool]:
        accepted: list[bool] = []
        monkeypatch.setattr(Interrupted, "before", staticmethod(action))
        monkeypatch.setattr(Interrupted, "accepted", accepted)
        monkeypatch.setattr(trust_zone, "Server", Interrupted)
        return accepted

    return install


@pytest.fixture
def loaded(operator: Operator) -> Operator:
    """A zone with three sensors, all in sync."""
    operator.lines += operator.sensor("sensor1", "10.9.0.1") + operator.sensor("sensor2", "10.9.0.2")
    operator.lines += operator.sensor("sensor3")
    operator.apply()
    return operator


def in_sync(operator: Operator, *extra: str) -> bool:
    return operator.named.live() == sorted([*operator.lines, *extra])


def test_the_first_load_publishes_every_record(operator: Operator, named: NameServer) -> None:
    operator.lines += operator.sensor("sensor1", "10.9.0.1") + operator.sensor("sensor2")
    result = operator.apply()
    assert (result["changed"], result["added"], result["removed"]) == (True, 3, 0)
    assert in_sync(operator)
    assert named.ask(f"sensor1.{ZONE}", "RRSIG", dnssec=True) or named.ask(
        f"sensor1.{ZONE}", "A", dnssec=True
    )


def test_a_second_run_sends_one_query_and_changes_nothing(loaded: Operator) -> None:
    before = loaded.state.read_bytes()
    result = loaded.apply()
    assert (result["changed"], result["messages"]) == (False, 1)
    assert loaded.state.read_bytes() == before


def test_one_added_sensor_is_one_update(loaded: Operator, named: NameServer) -> None:
    loaded.lines += loaded.sensor("sensor4", "10.9.0.4")
    result = loaded.apply()
    assert (result["added"], result["removed"], result["messages"]) == (2, 0, 3)
    assert in_sync(loaded)


def test_one_removed_sensor_takes_all_of_its_records_with_it(loaded: Operator, named: NameServer) -> None:
    loaded.lines = [line for line in loaded.lines if "sensor2" not in line]
    result = loaded.apply()
    assert (result["added"], result["removed"]) == (0, 2)
    assert in_sync(loaded)


def test_a_changed_address_replaces_the_old_one(loaded: Operator, named: NameServer) -> None:
    loaded.lines = [line.replace("10.9.0.1", "10.9.9.9") for line in loaded.lines]
    result = loaded.apply()
    assert (result["added"], result["removed"]) == (1, 1)
    assert named.ask(f"sensor1.{ZONE}", "A") == {"10.9.9.9"}


def test_a_second_address_joins_the_first(loaded: Operator, named: NameServer) -> None:
    loaded.lines.append(f"sensor1.{ZONE}. 300 A 10.9.0.99")
    assert loaded.apply()["added"] == 1
    assert named.ask(f"sensor1.{ZONE}", "A") == {"10.9.0.1", "10.9.0.99"}


def test_a_changed_ttl_is_a_change(loaded: Operator, named: NameServer) -> None:
    loaded.lines.append(f"sensor1.{ZONE}. 300 A 10.9.0.99")
    loaded.apply()
    loaded.lines = [line.replace(" 300 A ", " 60 A ") for line in loaded.lines]
    assert loaded.apply()["changed"]
    assert in_sync(loaded)
    assert loaded.apply()["changed"] is False


def test_the_apex_name_server_can_be_replaced(loaded: Operator, named: NameServer) -> None:
    loaded.lines = [line.replace("ns1.", "ns2.") for line in loaded.lines]
    loaded.apply()
    assert in_sync(loaded)
    assert named.ask(ZONE, "NS") == {f"ns2.{ZONE}."}


def test_drift_by_another_writer_is_corrected(loaded: Operator, named: NameServer) -> None:
    assert (
        named.change(
            ("add", f"stray.{ZONE}", "300", "A", "10.66.6.6"),
            ("delete", f"sensor1.{ZONE}", "A"),
            ("add", f"_scheme._trust.sensor2.{ZONE}", "77", "PTR", f"_scheme._trust.Evil.trust.{ZONE}."),
        )
        == dns.rcode.NOERROR
    )
    result = loaded.apply()
    assert result["changed"]
    assert in_sync(loaded)
    assert loaded.apply()["messages"] == 1


def test_records_of_other_types_are_left_alone(loaded: Operator, named: NameServer) -> None:
    named.change(
        ("add", f"sensor1.{ZONE}", "300", "TXT", '"hands off"'),
        ("add", f"elsewhere.{ZONE}", "300", "URI", '10 1 "https://example.test/"'),
    )
    assert loaded.apply()["changed"] is False
    loaded.lines = [line for line in loaded.lines if "sensor1" not in line]
    loaded.apply()
    assert named.ask(f"sensor1.{ZONE}", "TXT") == {'"hands off"'}
    assert named.ask(f"elsewhere.{ZONE}", "URI")
    assert named.ask(ZONE, "DNSKEY")


def test_only_owned_types_are_accepted_in_the_record_file(loaded: Operator) -> None:
    loaded.lines.append(f'sensor1.{ZONE}. 300 TXT "x"')
    with pytest.raises(ZoneError, match="TXT is not among the owned types"):
        loaded.apply()


def test_owning_fewer_types_leaves_the_others(loaded: Operator, named: NameServer) -> None:
    loaded.lines = [line for line in loaded.lines if " A " not in line]
    assert loaded.apply(owned_types=["NS", "PTR"])["changed"] is False
    assert named.ask(f"sensor1.{ZONE}", "A")


def test_names_to_keep_stay_and_others_go(loaded: Operator, named: NameServer) -> None:
    loaded.lines = [line for line in loaded.lines if "sensor" not in line]
    before = named.ask(f"_scheme._trust.sensor1.{ZONE}", "PTR")
    assert before
    done = loaded.apply(keep=[f"_scheme._trust.sensor1.{ZONE}"])
    assert done["changed"] is True
    assert named.ask(f"_scheme._trust.sensor1.{ZONE}", "PTR") == before
    assert not named.ask(f"sensor1.{ZONE}", "A")


def test_without_ns_the_delegations_ds_are_not_owned(loaded: Operator, named: NameServer) -> None:
    delegate(loaded)
    loaded.apply()
    loaded.lines = [f"ns1.{ZONE}. 300 A 127.0.0.1", f"sensor9.{ZONE}. 300 A 192.0.2.9"]
    loaded.delegations = {}
    loaded.apply(owned_types=["A"], allow_removals=True, state_file=str(loaded.state) + ".services")
    assert named.ask(CHILD, "DS") == {DS}
    assert named.ask(f"sensor9.{ZONE}", "A")


# --- delegations ---


def delegate(operator: Operator) -> None:
    operator.lines += operator.delegate()
    operator.delegations = {CHILD: [DS.upper()]}


def test_a_delegation_comes_with_its_ds_in_one_message(loaded: Operator, interrupt: Interrupt) -> None:
    delegate(loaded)
    interrupt(lambda _: None)
    result = loaded.apply()
    assert (result["added"], result["messages"]) == (2, 3)
    assert in_sync(loaded, f"{CHILD}. 300 DS {DS}")
    assert loaded.apply()["messages"] == 1


def test_a_missing_ds_is_added_to_a_delegation_that_is_there(loaded: Operator, named: NameServer) -> None:
    named.change(("add", CHILD, "300", "NS", f"ns1.{ZONE}."))
    delegate(loaded)
    assert loaded.apply()["added"] == 1
    assert in_sync(loaded, f"{CHILD}. 300 DS {DS}")


def test_ds_that_polling_has_changed_stay(loaded: Operator, named: NameServer) -> None:
    delegate(loaded)
    loaded.apply()
    named.change(("add", CHILD, "300", "DS", OTHER_DS), key=f"operator.{ZONE}")
    assert loaded.apply()["changed"] is False
    assert named.ask(CHILD, "DS") == {DS, OTHER_DS}


def test_ds_of_another_key_stop_the_run(loaded: Operator, named: NameServer) -> None:
    delegate(loaded)
    loaded.apply()
    loaded.delegations = {CHILD: [OTHER_DS]}
    loaded.lines += loaded.sensor("sensor4")
    with pytest.raises(ZoneError, match=r"chain of trust to trust\.germany\.raspidemo\. is broken.*12345"):
        loaded.apply()
    assert not named.ask(f"_scheme._trust.sensor4.{ZONE}", "PTR")


@pytest.mark.parametrize("delegations", [{}, {CHILD: []}, {CHILD: None}])
def test_a_child_that_is_not_in_the_run_keeps_its_ds(
    loaded: Operator, delegations: dict[str, list[str] | None]
) -> None:
    delegate(loaded)
    loaded.apply()
    loaded.delegations = delegations
    assert loaded.apply()["changed"] is False


def test_a_delegation_without_any_ds_is_refused(loaded: Operator, named: NameServer) -> None:
    loaded.lines += loaded.delegate()
    with pytest.raises(ZoneError, match="include the name server"):
        loaded.apply()
    assert not named.ask(CHILD, "NS")
    result = loaded.apply(check=True)
    assert result["added"] == 1
    assert "include the name server" in str(result["warnings"])


def test_ds_go_with_their_delegation(loaded: Operator, named: NameServer) -> None:
    delegate(loaded)
    loaded.apply()
    loaded.lines.remove(f"{CHILD}. 300 NS ns1.{ZONE}.")
    loaded.delegations = {}
    assert loaded.apply()["removed"] == 2
    assert in_sync(loaded)
    assert not named.ask(CHILD, "DS")


def test_ds_for_a_name_that_is_not_delegated_are_refused(loaded: Operator) -> None:
    loaded.delegations = {f"nowhere.{ZONE}": [DS]}
    with pytest.raises(ZoneError, match="do not delegate it"):
        loaded.apply()


# --- other writers, failures ---


@pytest.mark.parametrize("sensor", ["sensor4", "sensor1"], ids=["new name", "name with an address"])
def test_a_writer_between_read_and_write_is_noticed(
    loaded: Operator, named: NameServer, interrupt: Interrupt, sensor: str
) -> None:
    def meddle(count: int) -> None:
        if count == 1:
            named.change(("add", f"{sensor}.{ZONE}", "300", "A", "10.66.6.6"))

    accepted = interrupt(meddle)
    loaded.lines = [line for line in loaded.lines if f"{sensor}." not in line]
    loaded.lines += loaded.sensor(sensor, "10.9.0.4")
    result = loaded.apply()
    assert accepted == [False, True]
    assert result["messages"] == 5
    assert named.ask(f"{sensor}.{ZONE}", "A") == {"10.9.0.4"}


def test_a_writer_that_never_stops_is_reported(
    loaded: Operator, named: NameServer, interrupt: Interrupt
) -> None:
    interrupt(lambda count: assert_done(named, f"10.66.6.{count}"))
    loaded.lines += loaded.sensor("sensor4", "10.9.0.4")
    with pytest.raises(ZoneError, match="another writer is active"):
        loaded.apply()
    assert named.ask(f"sensor4.{ZONE}", "A") == {f"10.66.6.{n}" for n in range(1, 5)}


def assert_done(named: NameServer, address: str) -> None:
    assert named.change(("add", f"sensor4.{ZONE}", "300", "A", address)) == dns.rcode.NOERROR


def test_a_crash_of_the_server_between_messages_heals_at_the_next_run(
    loaded: Operator,
    named: NameServer,
    interrupt: Interrupt,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(trust_zone, "MESSAGE_SIZE", 2000)
    interrupt(lambda count: named.kill() if count == 3 else None)
    for number in range(100, 200):
        loaded.lines += loaded.sensor(f"sensor{number}", "10.9.1.1")
    with pytest.raises(ZoneError, match="does not answer"):
        loaded.apply()
    named.start()
    partial = set(named.live())
    assert 0 < sum("10.9.1.1" in line for line in partial) < 100
    for number in range(100, 200):
        assert len(set(loaded.sensor(f"sensor{number}", "10.9.1.1")) & partial) in {0, 2}
    interrupt(lambda _: None)
    assert loaded.apply()["changed"]
    assert in_sync(loaded)


@pytest.mark.parametrize("damage", ["lost", "torn", "rubbish", "future", "other types", "not this zone"])
def test_any_state_file_leads_to_the_same_zone(loaded: Operator, named: NameServer, damage: str) -> None:
    state = loaded.state.read_bytes()
    serial = json.loads(state)["serial"]
    snapshot = trust_zone.load_state(loaded.state, f"{ZONE}.", ["A", "AAAA", "NS", "PTR", "DS"])
    assert snapshot.serial == serial
    types = ["A", "AAAA", "DS", "NS", "PTR"]
    if damage == "lost":
        loaded.state.unlink()
    elif damage == "torn":
        loaded.state.write_bytes(state[: len(state) // 2])
    elif damage == "rubbish":
        loaded.state.write_bytes(b"\x00\xff{}")
    elif damage == "future":
        future = trust_zone.Snapshot(serial + 1000, ())
        trust_zone.save_state(loaded.state, f"{ZONE}.", types, future)
    elif damage == "other types":
        trust_zone.save_state(loaded.state, f"{ZONE}.", ["PTR"], snapshot)
    else:
        trust_zone.save_state(
            loaded.state, f"{ZONE}.", types, trust_zone.Snapshot(serial, snapshot.lines[:2])
        )
    loaded.lines = [line.replace("10.9.0.1", "10.9.9.9") for line in loaded.lines]
    result = loaded.apply()
    assert (result["added"], result["removed"]) == (1, 1) if damage != "not this zone" else True
    assert in_sync(loaded)
    assert loaded.apply()["messages"] == 1
    assert loaded.state.stat().st_mode & 0o777 == 0o600


def test_a_truncated_journal_costs_a_full_transfer_and_nothing_else(
    loaded: Operator, named: NameServer
) -> None:
    named.change(("add", f"stray.{ZONE}", "300", "A", "10.66.6.6"))
    named.stop()
    for journal in named.home.glob("zone.db.jnl"):
        journal.unlink()
    named.start()
    loaded.lines += loaded.sensor("sensor4")
    assert loaded.apply()["changed"]
    assert in_sync(loaded)


def test_a_wrong_secret_is_one_sentence(loaded: Operator) -> None:
    text = loaded.named.key_file.read_text()
    loaded.named.key_file.write_text(re.sub(r'secret ".{4}', 'secret "AAAA', text))
    with pytest.raises(ZoneError, match="has another secret for the key"):
        loaded.apply()


def test_an_unknown_key_is_one_sentence(loaded: Operator) -> None:
    loaded.named.key_file.write_text(loaded.named.key_file.read_text().replace("operator.", "nobody."))
    with pytest.raises(NotServedError, match="does not know the key"):
        loaded.apply()


@pytest.mark.parametrize(
    "content", ["", 'key "x" { algorithm hmac-sha256; };', 'key "x" { algorithm rot13; secret "AA=="; };']
)
def test_an_unusable_key_file_is_one_sentence(loaded: Operator, content: str) -> None:
    loaded.named.key_file.write_text(content)
    with pytest.raises(ZoneError, match="tsig-keygen"):
        loaded.apply()


def test_a_key_without_rights_is_one_sentence(loaded: Operator) -> None:
    with pytest.raises(NotServedError, match=r"REFUSED|NOTAUTH"):
        loaded.apply(key_file=str(loaded.named.home / "foreign.key"), state_file=str(loaded.state) + ".new")


def test_a_refused_update_is_one_sentence(loaded: Operator) -> None:
    loaded.lines.append(f"sensor1.{ZONE}. 300 CNAME other.{ZONE}.")
    with pytest.raises(ZoneError, match="REFUSED to an update"):
        loaded.apply(owned_types=["A", "AAAA", "NS", "PTR", "CNAME"])


# --- forgers ---

Forgery = Callable[[bytes, bytes], list[bytes]]
"""What a forger answers, given the question and the first message of the true answer."""


def unsigned(_question: bytes, answer: bytes) -> list[bytes]:
    """The true answer, as one who has no key would give it: the TSIG is the last record."""
    start = answer.rfind(b"\x08operator")
    additional = int.from_bytes(answer[10:12], "big") - 1
    return [answer[:10] + additional.to_bytes(2, "big") + answer[12:start]] if additional >= 0 else [answer]


def altered(_question: bytes, answer: bytes) -> list[bytes]:
    """The true answer with one bit changed, which means nothing here (AA)."""
    return [answer[:2] + bytes([answer[2] ^ 0x04]) + answer[3:]]


@contextmanager
def forger(named: NameServer, forge: Forgery) -> Iterator[int]:
    """The port of a forger in front of the server, who lets one question pass a connection."""

    class Forger(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            question = self.rfile.read(int.from_bytes(self.rfile.read(2), "big"))
            with socket.create_connection(("127.0.0.1", named.port)) as real, real.makefile("rb") as stream:
                real.sendall(len(question).to_bytes(2, "big") + question)
                answer = stream.read(int.from_bytes(stream.read(2), "big"))
            for wire in forge(question, answer):
                self.wfile.write(len(wire).to_bytes(2, "big") + wire)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Forger) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()


@pytest.mark.parametrize(
    ("target", "forge", "reason"),
    [
        (dns.opcode.QUERY, unsigned, "missing TSIG"),
        (dns.opcode.UPDATE, unsigned, "unsigned answer|requires a TSIG"),
        (dns.opcode.QUERY, altered, "has another secret"),
        (dns.opcode.UPDATE, altered, "has another secret"),
    ],
)
@pytest.mark.parametrize("known", [True, False], ids=["incremental", "full"])
def test_an_answer_without_its_signature_is_not_believed(
    loaded: Operator, target: dns.opcode.Opcode, forge: Forgery, reason: str, known: bool
) -> None:
    def forge_some(question: bytes, answer: bytes) -> list[bytes]:
        opcode = dns.opcode.from_flags(int.from_bytes(question[2:4], "big"))
        return forge(question, answer) if opcode == target else [answer]

    loaded.lines += loaded.sensor("sensor4")
    if not known:
        loaded.state.unlink()
    with forger(loaded.named, forge_some) as port, pytest.raises(ZoneError, match=reason):
        loaded.apply(port=port)
    assert loaded.state.exists() == (known or target == dns.opcode.UPDATE)


@pytest.mark.parametrize("known", [True, False], ids=["incremental", "full"])
@pytest.mark.parametrize("header", [b"", b"\x84", b"\x84\x00", b"\xbc\x00" + b"\xff" * 20])
def test_rubbish_is_one_sentence(loaded: Operator, header: bytes, known: bool) -> None:
    if not known:
        loaded.state.unlink()
    with (
        forger(loaded.named, lambda question, _: [question[:2] + header]) as port,
        pytest.raises(ZoneError, match="unusable answer"),
    ):
        loaded.apply(port=port)


def test_a_connection_that_breaks_is_one_sentence(loaded: Operator) -> None:
    with (
        forger(loaded.named, lambda *_: []) as port,
        pytest.raises(ZoneError, match=r"broke the connection \(.+\)"),
    ):
        loaded.apply(port=port)


def test_a_server_that_is_silent_is_one_sentence(loaded: Operator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trust_zone, "TIMEOUT", 0.5)
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        pytest.raises(ZoneError, match="not answer within"),
    ):
        loaded.apply(port=silent.getsockname()[1])


def test_records_ahead_of_the_first_signature_are_not_believed(loaded: Operator, named: NameServer) -> None:
    """A forger sends records of his own, and then what the server signs for the same question over UDP."""
    seen = trust_zone.load_state(loaded.state, f"{ZONE}.", ["A", "AAAA", "NS", "PTR", "DS"])
    named.change(("add", f"stray.{ZONE}", "300", "A", "10.66.6.6"))
    key = named.keys[f"operator.{ZONE}"]
    forged: list[bytes] = []

    def forge(question: bytes, answer: bytes) -> list[bytes]:
        query = dns.message.from_wire(question, keyring=key)
        if query.question[0].rdtype != dns.rdatatype.IXFR:
            return [answer]
        with socket.socket(type=socket.SOCK_DGRAM) as real:
            real.connect(("127.0.0.1", named.port))
            real.send(question)
            signed = real.recv(65535)
        end = dns.message.from_wire(signed, keyring=key, request_mac=query.mac).answer
        assert [rrset.rdtype for rrset in end] == [dns.rdatatype.SOA]
        message = dns.message.make_response(dns.message.make_query(ZONE, "IXFR", id=query.id))
        evil = dns.rrset.from_text(f"evil.{ZONE}.", 300, "IN", "A", "10.66.6.7")
        message.answer = [*end, query.authority[0], *end, evil]
        forged.append(message.to_wire())
        return [forged[0], signed]

    with forger(named, forge) as port:
        server = trust_zone.Server(
            dns.name.from_text(ZONE), ["A", "AAAA", "NS", "PTR", "DS"], "127.0.0.1", port, key
        )
        assert server.sync(seen).lines == named.live()
    assert forged
    assert server.messages == 2


def test_a_server_that_is_down_is_one_sentence(loaded: Operator, named: NameServer) -> None:
    named.stop()
    with pytest.raises(NotServedError, match="does not answer: start it"):
        loaded.apply()


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("rubbish", "is no record"),
        (f"sensor9.{ZONE}. 300 A 10.9.0.300", "is no record"),
        (f"sensor9.{ZONE}. 300 PTR relative", "is no record"),
        ("sensor9.evilgermany.raspidemo. 300 A 10.9.0.1", "outside the zone"),
        (f"Sensor9.{ZONE}. 300 A 10.9.0.1", "is to be written as"),
        (f"sensor9.{ZONE}. -1 A 10.9.0.1", "out of range"),
        (f"sensor1.{ZONE}. 60 A 10.9.0.7", "use one"),
        (f"sensor9.{ZONE}. 300 DS {DS}", "by way of the delegations"),
    ],
)
def test_a_bad_record_file_is_one_sentence_and_sends_nothing(
    loaded: Operator, line: str, reason: str
) -> None:
    before = loaded.named.live(types=("SOA",))
    loaded.lines += [line, *loaded.sensor("sensor4")]
    with pytest.raises(ZoneError, match=reason):
        loaded.apply()
    assert loaded.named.live(types=("SOA",)) == before


# --- safety cap, check mode ---


@pytest.fixture
def fleet(operator: Operator) -> Operator:
    """A zone with 20 names: 18 sensors, the apex and its name server."""
    for number in range(18):
        operator.lines += operator.sensor(f"sensor{number:02}", f"10.9.0.{number}")
    operator.apply()
    return operator


def drop(operator: Operator, count: int) -> None:
    gone = {f"sensor{number:02}" for number in range(count)}
    operator.lines = [line for line in operator.lines if not any(name in line for name in gone)]


def test_removing_too_many_names_is_refused(fleet: Operator) -> None:
    drop(fleet, 7)
    with pytest.raises(ZoneError, match=r"7 of the 20 names.*-e trust_zone_allow_removals=true"):
        fleet.apply()
    with pytest.raises(ZoneError, match="7 of the 20 names"):
        fleet.apply(check=True)
    assert len(fleet.named.live()) == 38


def test_the_operator_can_insist_or_stay_below_the_limit(fleet: Operator) -> None:
    drop(fleet, 6)
    assert fleet.apply()["removed"] == 12
    drop(fleet, 18)
    assert fleet.apply(allow_removals=True)["removed"] == 24
    assert in_sync(fleet)


def test_a_small_zone_has_no_limit(loaded: Operator) -> None:
    loaded.lines = loaded.lines[:2]
    assert loaded.apply()["removed"] == 5


def test_check_mode_tells_the_difference_and_touches_nothing(loaded: Operator) -> None:
    loaded.lines.remove(f"sensor1.{ZONE}. 300 A 10.9.0.1")
    loaded.lines += loaded.sensor("sensor4", "10.9.0.4")
    loaded.named.change(("add", f"stray.{ZONE}", "300", "A", "10.66.6.6"))
    soa, state = loaded.named.live(types=("SOA",)), loaded.state.read_bytes()
    result = loaded.apply(check=True)
    assert (result["added"], result["removed"], result["messages"]) == (2, 2, 1)
    assert result["diff"] == {
        "before_header": f"{ZONE}.",
        "after_header": f"{ZONE}.",
        "before": f"sensor1.{ZONE}. 300 A 10.9.0.1\nstray.{ZONE}. 300 A 10.66.6.6\n",
        "after": "".join(f"{line}\n" for line in loaded.sensor("sensor4", "10.9.0.4")),
    }
    assert loaded.named.live(types=("SOA",)) == soa
    assert loaded.state.read_bytes() == state
    assert loaded.apply()["removed"] == result["removed"]


@pytest.mark.parametrize("lack", ["server", "key", "configuration", "dnspython"])
def test_check_mode_before_the_zone_is_served_adds_everything(
    operator: Operator, monkeypatch: pytest.MonkeyPatch, lack: str
) -> None:
    delegate(operator)
    if lack == "server":
        operator.named.stop()
    elif lack == "key":
        operator.named.key_file.unlink()
    elif lack == "configuration":
        operator.named.key_file.write_text(operator.named.key_file.read_text().replace("operator.", "new."))
    else:
        monkeypatch.setattr(trust_zone, "DNSPYTHON_ERROR", "ImportError: no module named dns")
    result = operator.apply(check=True)
    assert (result["changed"], result["added"], result["serial"]) == (True, 4, None)
    assert not operator.state.parent.exists()
    with pytest.raises(NotServedError):
        operator.apply()


def test_ten_thousand_records_load_and_read_back(operator: Operator, interrupt: object) -> None:
    for number in range(5000):
        operator.lines += operator.sensor(f"s{number:05}", f"10.{number // 250}.{number % 250}.1")
    result = operator.apply()
    assert result["added"] == 10_000
    assert in_sync(operator)
    operator.lines += operator.sensor("one-more")
    assert operator.apply()["messages"] == 3


# --- through Ansible ---


def play(operator: Operator, folder: Path, *options: str) -> dict[str, object]:
    """The task's result from a real ansible-playbook run on this machine."""
    params = operator.params()
    project = Path(__file__).parents[2]
    (folder / "play.json").write_text(
        json.dumps(
            [
                {
                    "hosts": "localhost",
                    "gather_facts": False,
                    "tasks": [
                        {"trust_zone": params, "register": "result"},
                        {
                            "ansible.builtin.copy": {
                                "content": "{{ result | to_json }}",
                                "dest": str(folder / "result.json"),
                                "mode": "0600",
                            },
                            "check_mode": False,
                            "diff": False,
                        },
                    ],
                }
            ]
        )
    )
    (folder / "hosts").write_text(
        f"localhost ansible_connection=local ansible_python_interpreter={sys.executable}\n"
    )
    command = shutil.which("ansible-playbook", path=str(Path(sys.executable).parent))
    assert command, "ansible-playbook is missing: install the operator's requirements"
    run = subprocess.run(
        [command, "-i", str(folder / "hosts"), str(folder / "play.json"), *options],
        env={
            **os.environ,
            "ANSIBLE_CONFIG": str(project / "ansible.cfg"),
            "ANSIBLE_LIBRARY": str(project / "library"),
            "ANSIBLE_ACTION_PLUGINS": str(project / "action_plugins"),
            "ANSIBLE_LOCAL_TEMP": str(folder / "local"),
            "ANSIBLE_REMOTE_TEMP": str(folder / "remote"),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    result: dict[str, object] = json.loads((folder / "result.json").read_text())
    return {**result, "stdout": run.stdout}


def test_the_task_in_a_play(operator: Operator, tmp_path: Path) -> None:
    folder = tmp_path / "play"
    folder.mkdir()
    operator.lines += operator.sensor("sensor1", "10.9.0.1")
    checked = play(operator, folder, "--check", "--diff")
    assert (checked["changed"], checked["added"]) == (True, 2)
    assert f"+sensor1.{ZONE}. 300 A 10.9.0.1" in str(checked["stdout"])
    assert not operator.named.ask(f"sensor1.{ZONE}", "A")
    applied = play(operator, folder)
    assert (applied["changed"], applied["added"]) == (True, 2)
    assert "diff" not in applied or not applied["diff"]
    assert operator.named.ask(f"sensor1.{ZONE}", "A") == {"10.9.0.1"}
    again = play(operator, folder)
    assert (again["changed"], again["messages"]) == (False, 1)
    assert not list((folder / "remote").glob("*")), "the record file was left on the host"


def test_a_record_file_that_is_not_there_fails_in_one_sentence(operator: Operator, tmp_path: Path) -> None:
    folder = tmp_path / "play"
    folder.mkdir()
    operator.records = tmp_path / "records.txt"
    operator.apply()
    operator.params = lambda **_: {**Operator.params(operator), "records": str(tmp_path / "gone.txt")}  # type: ignore[method-assign]
    with pytest.raises(AssertionError, match="is not on the controller: run the preflight"):
        play(operator, folder)


def test_a_compressed_record_file_is_read(operator: Operator) -> None:
    operator.lines += operator.sensor("sensor1")
    assert operator.apply(records=str(operator.compressed()))["added"] == 1
