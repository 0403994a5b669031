import sqlite3
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from lightest_agents.supplier.store import FILE_NAME, KEEP_SECONDS, AlarmStore, StoreError
from tests.unit.supplier.alarms import make_alarm

NOW = 1_800_000_000.0


@pytest.fixture
def store(tmp_path: Path) -> Iterator[AlarmStore]:
    store = AlarmStore(tmp_path)
    yield store
    store.close()


def test_an_alarm_is_kept_as_it_came(store: AlarmStore) -> None:
    alarm = make_alarm()
    assert store.add(alarm, b"body", NOW)
    (kept,) = store.open_alarms()
    assert kept == store.get(alarm.fault_id)
    assert (kept.verifier, kept.claim, kept.fault) == (alarm.iss, alarm.claim, alarm.fault)
    assert (kept.measurement, kept.threshold, kept.raised) == (
        alarm.measurement,
        alarm.threshold,
        alarm.raised,
    )
    assert (kept.received, kept.acknowledged, kept.acknowledged_by) == (NOW, None, None)


def test_the_same_fault_is_one_alarm_also_after_it_was_acknowledged(store: AlarmStore) -> None:
    assert store.add(make_alarm(), b"body", NOW)
    assert not store.add(make_alarm(iat=7), b"another body", NOW + 1)
    assert store.acknowledge(None, "button", NOW + 2) == (make_alarm().fault_id,)
    assert not store.add(make_alarm(), b"body", NOW + 3)
    assert store.open_alarms() == ()
    (kept,) = store.acknowledged_alarms(10)
    assert (kept.received, kept.acknowledged, kept.acknowledged_by) == (NOW, NOW + 2, "button")


def test_one_alarm_is_acknowledged_and_the_others_stay_open(store: AlarmStore) -> None:
    first, second = make_alarm(1), make_alarm(2)
    store.add(first, b"1", NOW)
    store.add(second, b"2", NOW + 1)
    assert [kept.fault_id for kept in store.open_alarms()] == [second.fault_id, first.fault_id]
    assert store.acknowledge(first.fault_id, "page", NOW + 2) == (first.fault_id,)
    assert store.acknowledge(first.fault_id, "button", NOW + 3) == ()
    assert store.acknowledge("0" * 32, "button", NOW + 3) == ()
    assert [kept.fault_id for kept in store.open_alarms()] == [second.fault_id]
    assert [kept.acknowledged_by for kept in store.acknowledged_alarms(10)] == ["page"]


def test_alarms_outlive_the_service(tmp_path: Path) -> None:
    store = AlarmStore(tmp_path)
    store.add(make_alarm(), b"body", NOW)
    store.close()
    store = AlarmStore(tmp_path)
    assert [kept.fault_id for kept in store.open_alarms()] == [make_alarm().fault_id]
    store.close()


def test_what_was_acknowledged_long_ago_is_forgotten_and_what_is_open_never(store: AlarmStore) -> None:
    for number in (1, 2):
        store.add(make_alarm(number), b"body", NOW)
    store.acknowledge(make_alarm(1).fault_id, "button", NOW)
    store.add(make_alarm(3), b"body", NOW + KEEP_SECONDS + 1)
    assert store.get(make_alarm(1).fault_id) is None
    assert len(store.open_alarms()) == 2


def test_a_second_service_on_the_same_store_is_refused(store: AlarmStore, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="another supplier"):
        AlarmStore(tmp_path)


def test_a_store_of_a_newer_release_is_left_alone(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / FILE_NAME)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(StoreError, match="newer release"):
        AlarmStore(tmp_path)


def test_a_file_that_is_no_store_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_bytes(b"no database, but long enough to have a header" * 100)
    with pytest.raises(StoreError, match="cannot be used"):
        AlarmStore(tmp_path)


def test_a_full_disk_refuses_the_alarm_whole_and_heals(store: AlarmStore) -> None:
    store.add(make_alarm(1), b"body", NOW)
    pages = store._connection.execute("PRAGMA page_count").fetchone()[0]
    store._connection.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StoreError, match="disk full"):
        store.add(make_alarm(2), b"x" * 16384, NOW)
    assert [kept.fault_id for kept in store.open_alarms()] == [make_alarm(1).fault_id]
    store._connection.execute("PRAGMA max_page_count = 1000000")
    assert store.add(make_alarm(2), b"x" * 16384, NOW)


def test_nobody_else_may_read_the_alarms(store: AlarmStore, tmp_path: Path) -> None:
    store.add(make_alarm(), b"body", NOW)
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()}
    assert set(modes.values()) == {0o600}, modes
