"""The verifier's store: group commit, what is kept once, and a full disk, on real files."""

import asyncio
import sqlite3
import stat
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from lightest_agents.trust.verdict import Reason, Refusal, Step
from lightest_agents.verifier.database import Database, StoreError, open_database, open_for_reading, reading
from lightest_agents.verifier.progress import Progress, trace_before_walk
from lightest_agents.verifier.store import (
    FILE_NAME,
    Fault,
    State,
    Store,
    fault_id,
    find_fault,
    recent_faults,
)

SCHEMA = ("CREATE TABLE notes (number INTEGER PRIMARY KEY, text TEXT NOT NULL)",)


def make_fault(number: int, *, claim: str = "sensor1.germany.raspidemo", size: int = 0) -> Fault:
    body = f"body {number}".encode().ljust(size, b".")
    return Fault(
        id=fault_id(body),
        body=body,
        received=1000.0 + number,
        state=State.RECEIVED,
        claim=claim,
        jti=f"jti-{number}",
        seq=number,
    )


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened = Store(tmp_path)
    yield opened
    await opened.close()


async def fill_disk(store: Store) -> None:
    """No page more than the file has now: SQLite's own SQLITE_FULL."""

    def limit(connection: sqlite3.Connection) -> None:
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {pages}")

    await store._database.change(limit)


async def free_disk(store: Store) -> None:
    await store._database.change(lambda connection: connection.execute("PRAGMA max_page_count = 100000"))


async def test_a_fault_is_kept_whole(store: Store) -> None:
    fault = make_fault(1)
    assert await store.add(fault) is None
    assert await store.get(fault.id) == fault
    assert await store.undecided() == [fault]


async def test_the_same_fault_is_kept_once(store: Store) -> None:
    fault = make_fault(1)
    results = await asyncio.gather(*(store.add(fault) for _ in range(20)))
    assert results.count(None) == 1
    assert results.count(State.RECEIVED) == 19
    assert len(await store.undecided()) == 1


async def test_the_outcome_of_a_walk_is_kept(store: Store) -> None:
    fault = make_fault(1)
    await store.add(fault)
    refusal = Refusal(Reason.LIST_EXPIRED, "the list was due for renewal")
    progress = Progress()
    progress.held(Step.SENSOR, "well formed")
    with progress.timing(Step.LIST):
        pass
    deferred = replace(
        fault,
        state=State.DEFERRED,
        attempts=3,
        next_attempt=1234.5,
        reason=refusal.reason,
        detail=refusal.detail,
        trace=progress.trace(refusal),
    )
    await store.update(deferred)
    assert await store.get(fault.id) == deferred
    assert await store.undecided() == [deferred]
    accepted = replace(
        fault, state=State.ACCEPTED, attempts=4, trace=trace_before_walk(), decided=9.0, supplier="supplier1"
    )
    await store.update(accepted)
    assert await store.get(fault.id) == accepted
    assert await store.undecided() == []


async def test_what_was_used_is_used_up(store: Store) -> None:
    first = make_fault(1)
    assert await store.use_once(first, "key") is None
    assert await store.use_once(first, "key") is None, "the same fault may be walked again"
    same_jti = replace(make_fault(2), jti=first.jti)
    assert await store.use_once(same_jti, "key") == first.id
    same_seq = replace(make_fault(3), seq=first.seq)
    assert await store.use_once(same_seq, "key") == first.id
    assert await store.use_once(same_seq, "another key") is None, "a new key counts from the beginning"
    elsewhere = replace(make_fault(4, claim="sensor2.germany.raspidemo"), jti=first.jti, seq=first.seq)
    assert await store.use_once(elsewhere, "key") is None


async def test_the_newest_list_never_goes_back(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert await store.newest_list("sensor1") is None
    await store.saw_list("sensor1", 7)
    await store.saw_list("sensor1", 5)
    await store.close()
    store = Store(tmp_path)
    assert await store.newest_list("sensor1") == 7
    await store.close()


async def test_old_faults_are_forgotten_with_what_they_used(store: Store) -> None:
    old, new, waiting = make_fault(1), make_fault(2), make_fault(3)
    for fault in (old, new, waiting):
        await store.add(fault)
        await store.use_once(fault, "key")
    await store.update(replace(old, state=State.ACCEPTED, decided=10.0))
    await store.update(replace(new, state=State.ACCEPTED, decided=20.0))
    assert await store.forget(15.0) == 1
    assert await store.get(old.id) is None
    assert await store.get(new.id) is not None
    assert await store.get(waiting.id) is not None
    assert await store.use_once(replace(make_fault(4), jti=old.jti), "key") is None
    assert await store.use_once(replace(make_fault(5), jti=new.jti), "key") == new.id


async def test_a_full_disk_is_told_and_heals(store: Store) -> None:
    kept = make_fault(1)
    await store.add(kept)
    await fill_disk(store)
    faults = [make_fault(number, size=4000) for number in range(2, 50)]
    results = await asyncio.gather(*(store.add(fault) for fault in faults), return_exceptions=True)
    refused = [result for result in results if result is not None]
    assert refused
    assert all(isinstance(error, StoreError) and "full" in str(error) for error in refused)
    assert len(await store.undecided()) == 1 + results.count(None)
    assert kept in await store.undecided()
    before = len(await store.undecided())
    await free_disk(store)
    assert await store.add(make_fault(500, size=4000)) is None
    assert len(await store.undecided()) == before + 1


async def test_one_that_does_not_fit_takes_no_other_with_it(store: Store) -> None:
    await fill_disk(store)
    small, large = make_fault(1), make_fault(2, size=200_000)
    results = await asyncio.gather(store.add(large), store.add(small), return_exceptions=True)
    assert isinstance(results[0], StoreError)
    assert results[1] is None
    assert await store.undecided() == [small]


async def test_changes_that_wait_share_a_transaction(tmp_path: Path) -> None:
    database = Database(tmp_path / "notes", SCHEMA)
    statements: list[str] = []
    await database.change(lambda connection: connection.set_trace_callback(statements.append))

    def note(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO notes (text) VALUES ('x')")

    await asyncio.gather(*(database.change(note) for _ in range(100)))
    await database.change(lambda connection: connection.set_trace_callback(None))
    assert sum(statement.startswith("INSERT") for statement in statements) == 100
    assert statements.count("COMMIT") < 20
    await database.close()


async def test_a_defect_in_one_change_reaches_its_caller_alone(tmp_path: Path) -> None:
    database = Database(tmp_path / "notes", SCHEMA)

    def fail(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO notes (text) VALUES ('half')")
        raise KeyError("defect")

    def note(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO notes (text) VALUES ('whole')")

    results = await asyncio.gather(
        database.change(note), database.change(fail), database.change(note), return_exceptions=True
    )
    assert [type(result) for result in results] == [type(None), KeyError, type(None)]
    rows = await database.read(lambda connection: connection.execute("SELECT text FROM notes").fetchall())
    assert rows == [("whole",), ("whole",)]
    await database.close()


async def test_closing_finishes_what_waits(tmp_path: Path) -> None:
    store = Store(tmp_path)
    pending = [asyncio.create_task(store.add(make_fault(number))) for number in range(50)]
    await asyncio.sleep(0)
    await store.close()
    assert await asyncio.gather(*pending) == [None] * 50
    with reading(tmp_path / FILE_NAME) as connection:
        assert len(recent_faults(connection, 100)) == 50
        assert [fault.seq for fault in recent_faults(connection, 2)] == [49, 48]
        assert find_fault(connection, "no such id") is None


def test_the_file_is_its_owners_and_survives_every_commit(tmp_path: Path) -> None:
    connection = open_database(tmp_path / "notes", SCHEMA)
    assert stat.S_IMODE((tmp_path / "notes").stat().st_mode) == 0o600
    assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()


def test_an_older_file_is_brought_up_to_date(tmp_path: Path) -> None:
    open_database(tmp_path / "notes", SCHEMA).close()
    connection = open_database(tmp_path / "notes", (*SCHEMA, "ALTER TABLE notes ADD COLUMN author TEXT"))
    connection.execute("INSERT INTO notes (text, author) VALUES ('x', 'y')")
    connection.close()


def test_the_file_of_a_newer_release_is_refused(tmp_path: Path) -> None:
    open_database(tmp_path / "notes", (*SCHEMA, "CREATE TABLE more (x)")).close()
    with pytest.raises(StoreError, match="newer release"):
        open_database(tmp_path / "notes", SCHEMA)


def test_files_that_are_none_are_refused(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("this is not SQLite\n" * 100)
    with pytest.raises(StoreError, match="not a database"):
        open_database(tmp_path / "text", SCHEMA)
    with pytest.raises(StoreError, match="does not exist"):
        open_for_reading(tmp_path / "missing")
    with pytest.raises(StoreError), reading(tmp_path / "text") as connection:
        recent_faults(connection, 1)
