"""Publication as one unit: what is served, what the scheme zone says, what remains when something fails."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from hashlib import sha256
from pathlib import Path

import dns.name
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from django.utils import timezone

from lightest_agents.service.identity import make_identity
from lightest_agents.trust.signed_list import SignedList, open_list
from lightest_agents.trust.trust_list import ServiceStatus
from lightest_agents.tspa import scheme_zone
from lightest_agents.tspa.errors import DnsUpdateFailedError, NothingToPublishError, UnknownNameError
from lightest_agents.tspa.models import Publication, PublicationState, Sensor
from lightest_agents.tspa.services import publishing, sensors
from tests.unit.tspa.certificates import make_certificate
from tests.unit.tspa.conftest import CLAIM, OTHER, OWNER, STATE, Tspa


def opened(tspa: Tspa, claim: str = CLAIM) -> SignedList:
    document = tspa.served(claim)
    assert document is not None
    found = open_list(document)
    assert isinstance(found, SignedList), found
    return found


def sequences() -> list[tuple[int, str]]:
    rows = Publication.objects.filter(sensor__label="sensor1", sensor__country="germany")
    return list(rows.order_by("sequence").values_list("sequence", "state"))


@contextmanager
def silent_name_server(tspa: Tspa, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The name server takes packets and does nothing, as a frozen host does."""
    process = tspa.world._named
    assert process is not None
    monkeypatch.setattr(scheme_zone, "_TIMEOUT", 0.2)
    process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        process.send_signal(signal.SIGCONT)


def test_a_first_list_is_served_and_the_scheme_zone_points_to_it(enrolled: Tspa) -> None:
    certificate = x509.load_pem_x509_certificate((STATE / "signer.crt").read_bytes()).public_bytes(
        Encoding.DER
    )
    found = opened(enrolled)
    assert found.signer == certificate
    assert enrolled.records() == {
        "URI": ['10 1 "https://tspa.raspidemo/lists/germany/sensor1"'],
        "SMIMEA": [f"3 0 1 {sha256(certificate).hexdigest()}"],
    }
    current = found.trust_list
    assert (current.sequence, current.operator, current.territory) == (
        1,
        "Operator of the trust scheme",
        "DE",
    )
    assert (current.manufacturer, current.manufacturer_label) == ("Acme", "acme")
    assert current.next_update - current.issued == timedelta(hours=24)
    assert current.service.claim == dns.name.from_text(CLAIM)
    assert current.service.certificate == Sensor.objects.get(country="germany", label="sensor1").certificate
    assert current.service.status is ServiceStatus.GRANTED
    assert [(supplier.name, supplier.title, supplier.available) for supplier in current.suppliers] == [
        ("supplier1", "Repairs 1", True),
        ("supplier2", "Repairs 2", True),
    ]


def test_every_publication_has_the_next_number_and_old_ones_are_not_kept_for_ever(enrolled: Tspa) -> None:
    for _ in range(6):
        assert publishing.publish([CLAIM]) == publishing.Report(1, ())
    superseded = [(number, PublicationState.SUPERSEDED) for number in (4, 5, 6)]
    assert sequences() == [*superseded, (7, PublicationState.CURRENT)]
    assert opened(enrolled).trust_list.sequence == 7


def test_a_zone_that_says_it_already_is_not_updated(enrolled: Tspa) -> None:
    zone = dns.name.from_text("trust.germany.raspidemo")
    before = enrolled.world._serial(zone)
    publishing.publish([CLAIM])
    assert enrolled.world._serial(zone) == before


def test_records_that_somebody_changed_are_put_right(enrolled: Tspa) -> None:
    expected = enrolled.records()
    enrolled.world.set(
        OWNER, "URI", '10 1 "https://evil.raspidemo/list"', '20 1 "https://tspa.raspidemo/list"'
    )
    enrolled.world.remove(OWNER, "SMIMEA")
    publishing.publish([CLAIM])
    assert enrolled.records() == expected


def test_what_cannot_be_published_is_said(tspa: Tspa) -> None:
    with pytest.raises(NothingToPublishError, match=f"{CLAIM}, {OTHER}: there is no certificate yet"):
        publishing.publish([CLAIM, OTHER])
    with pytest.raises(UnknownNameError, match=r"no sensor sensor1\.evilgermany\.raspidemo is registered"):
        publishing.publish(["sensor1.evilgermany.raspidemo"])
    assert publishing.publish_all() == publishing.Report(0, ())


def test_a_name_server_that_is_silent_leaves_the_old_list_and_heals(
    enrolled: Tspa, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = enrolled.served()
    with (
        silent_name_server(enrolled, monkeypatch),
        pytest.raises(DnsUpdateFailedError, match=r"trust\.germany\.raspidemo"),
    ):
        sensors.withdraw(enrolled.caller(), CLAIM, "stolen")
    assert enrolled.served() == old
    assert sequences() == [(1, PublicationState.CURRENT), (2, PublicationState.PENDING)]
    assert publishing.heal() == publishing.Report(1, ())
    assert sequences() == [(1, PublicationState.SUPERSEDED), (2, PublicationState.CURRENT)]
    assert opened(enrolled).trust_list.service.status is ServiceStatus.WITHDRAWN
    assert publishing.heal() == publishing.Report(0, ())


def test_a_first_list_that_the_dns_does_not_have_is_not_served(
    tspa: Tspa, monkeypatch: pytest.MonkeyPatch
) -> None:
    with silent_name_server(tspa, monkeypatch), pytest.raises(DnsUpdateFailedError):
        sensors.register_certificate(tspa.caller(), CLAIM, make_certificate(CLAIM))
    assert tspa.served() is None
    # The manufacturer tries again: nothing is new, but now it is published.
    certificate = bytes(Sensor.objects.get(country="germany", label="sensor1").certificate or b"")
    pem = x509.load_der_x509_certificate(certificate).public_bytes(Encoding.PEM)
    assert not sensors.register_certificate(tspa.caller(), CLAIM, pem)
    assert opened(tspa).trust_list.sequence == 1
    assert tspa.records()["URI"] == ['10 1 "https://tspa.raspidemo/lists/germany/sensor1"']


def test_a_pending_list_keeps_its_number_whatever_changes_meanwhile(enrolled: Tspa, tmp_path: Path) -> None:
    zone = enrolled.registry["zones"][0]
    right = zone["key_file"]
    zone["key_file"] = str(tmp_path / "foreign.key")
    (tmp_path / "foreign.key").write_text(Path(right).read_text().replace("scheme.", "foreign."))
    enrolled.sync()
    caller = enrolled.caller()
    with pytest.raises(DnsUpdateFailedError, match=r"trust\.germany\.raspidemo"):
        sensors.withdraw(caller, CLAIM, "stolen")
    with pytest.raises(DnsUpdateFailedError, match=r"trust\.germany\.raspidemo"):
        sensors.set_suppliers(caller, CLAIM, ["supplier3"])
    assert sequences()[-1] == (2, PublicationState.PENDING)
    zone["key_file"] = right
    enrolled.sync()
    assert publishing.heal().published == 1
    current = opened(enrolled).trust_list
    assert current.sequence == 2
    assert current.service.status is ServiceStatus.WITHDRAWN
    assert [supplier.name for supplier in current.suppliers] == ["supplier3"]


def test_one_zone_that_fails_does_not_stop_the_others(enrolled: Tspa) -> None:
    enrolled.registry["zones"][0]["port"] = 1
    enrolled.sync()
    claim = "sensor1.france.raspidemo"
    sensors.register_certificate(enrolled.caller(), claim, make_certificate(claim))
    sensors.set_availability("supplier2", available=False)
    report = publishing.publish_outdated()
    assert report.published == 1
    assert len(report.problems) == 1
    assert "the name server 127.0.0.1 port 1 cannot be reached" in report.problems[0]
    assert [supplier.available for supplier in opened(enrolled, claim).trust_list.suppliers] == [False]
    assert opened(enrolled).trust_list.suppliers[1].available


def test_lists_are_renewed_after_half_their_life(enrolled: Tspa) -> None:
    assert publishing.heal().published == 0
    current = Publication.objects.get(state=PublicationState.CURRENT)
    assert current.renewal - current.issued == (current.next_update - current.issued) / 2
    Publication.objects.update(renewal=timezone.now() - timedelta(seconds=1))
    assert publishing.heal().published == 1
    assert opened(enrolled).trust_list.sequence == 2
    assert publishing.heal().published == 0


def test_another_list_signer_renews_every_list_and_its_record(
    enrolled: Tspa, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    make_identity(tmp_path, "tspa.raspidemo", signer=True)
    for name in ("signer.key", "signer.crt"):
        mine, kept = STATE / name, (STATE / name).read_bytes()
        request.addfinalizer(lambda mine=mine, kept=kept: mine.write_bytes(kept))  # type: ignore[misc]
        mine.write_bytes((tmp_path / name).read_bytes())
    assert publishing.heal().published == 1
    assert enrolled.records()["SMIMEA"] == [f"3 0 1 {sha256(opened(enrolled).signer).hexdigest()}"]
    assert publishing.heal().published == 0


def test_parallel_publications_lose_nothing_and_leave_no_gap(
    enrolled: Tspa, run_in_threads: Callable[[int, Callable[[int], object]], list[object]]
) -> None:
    reports = run_in_threads(8, lambda _: publishing.publish([CLAIM]))
    assert reports == [publishing.Report(1, ())] * 8
    assert sequences()[-1] == (9, PublicationState.CURRENT)
    assert [number for number, _ in sequences()] == [6, 7, 8, 9]


def test_parallel_changes_are_all_in_the_last_list(
    enrolled: Tspa, run_in_threads: Callable[[int, Callable[[int], object]], list[object]]
) -> None:
    caller = enrolled.caller()
    changes: list[Callable[[], object]] = [
        lambda: sensors.withdraw(caller, CLAIM, "stolen"),
        lambda: sensors.set_suppliers(caller, CLAIM, ["supplier3", "supplier1"]),
        lambda: (sensors.set_availability("supplier3", available=False), publishing.publish_outdated()),
        lambda: publishing.publish([CLAIM]),
        publishing.heal,
    ]
    run_in_threads(len(changes), lambda number: changes[number]())
    current = opened(enrolled).trust_list
    assert current.service.status is ServiceStatus.WITHDRAWN
    assert [(item.name, item.available) for item in current.suppliers] == [
        ("supplier3", False),
        ("supplier1", True),
    ]
    assert not Sensor.objects.filter(outdated=True).exists()
    numbers = [number for number, _ in sequences()]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    assert [state for _, state in sequences()].count(PublicationState.CURRENT) == 1


def test_a_publication_that_does_not_end_holds_up_others_for_a_while_only(
    enrolled: Tspa, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publishing, "_TURN_SECONDS", 0.1)
    with (
        publishing._turn("germany"),
        pytest.raises(DnsUpdateFailedError, match="another publication into the scheme zone of germany"),
    ):
        sensors.withdraw(enrolled.caller(), CLAIM, "stolen")
    assert publishing.heal().published == 1
