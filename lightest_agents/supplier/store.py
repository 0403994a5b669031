"""The alarms a supplier has taken, in one SQLite file that a single service owns."""

import json
import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from lightest_agents.errors import LightestError
from lightest_agents.trust.alarm import Alarm
from lightest_agents.trust.notification import Measurement

FILE_NAME = "supplier.sqlite3"
"""In the state folder."""

KEEP_SECONDS = 90 * 86400
"""How long an acknowledged alarm is remembered: longer than any verifier repeats one."""

_SCHEMA = """
    CREATE TABLE alarms (
        number INTEGER PRIMARY KEY,     -- order of reception
        fault_id TEXT NOT NULL UNIQUE,
        body BLOB NOT NULL,             -- as the verifier signed it: the evidence
        verifier TEXT NOT NULL,
        claim TEXT NOT NULL,
        sensor TEXT NOT NULL,
        location TEXT NOT NULL,
        fault TEXT NOT NULL,
        threshold REAL NOT NULL,
        measurement TEXT NOT NULL,
        raised INTEGER NOT NULL,        -- times are seconds since the epoch
        trace TEXT NOT NULL,
        received REAL NOT NULL,
        acknowledged REAL,
        acknowledged_by TEXT
    );
    CREATE INDEX alarms_open ON alarms (number) WHERE acknowledged IS NULL;
    CREATE INDEX alarms_acknowledged ON alarms (acknowledged) WHERE acknowledged IS NOT NULL
"""
_VERSION = 1
_COLUMNS = (
    "fault_id, verifier, claim, sensor, location, fault, threshold, measurement, raised, trace, received, "
    "acknowledged, acknowledged_by"
)


class StoreError(LightestError):
    """The alarms cannot be kept or read."""

    reason = "store-unavailable"


@dataclass(frozen=True, slots=True)
class StoredAlarm:
    """An alarm as it is kept; times are seconds since the epoch.

    Attributes:
        verifier: DNS name of the one who signed the alarm, without the final dot.
        raised: when the sensor raised the fault.
        trace: https address of the verifier's page about it.
        received: when the alarm was taken.
        acknowledged: when somebody acknowledged it; None while it is open.
        acknowledged_by: by which way, such as `button`.
    """

    fault_id: str
    verifier: str
    claim: str
    sensor: str
    location: str
    fault: str
    threshold: float
    measurement: tuple[Measurement, ...]
    raised: int
    trace: str
    received: float
    acknowledged: float | None
    acknowledged_by: str | None


class AlarmStore:
    """The file of one supplier; what a method has changed is on the disk when it returns.

    Methods may be called from any thread. Each raises `StoreError` when the disk fails; nothing is half done.
    """

    def __init__(self, folder: Path) -> None:
        """Open the store in the state folder, and make it where needed.

        Raises:
            StoreError: it cannot be used, another service uses it, or a newer release made it.
        """
        self._path = folder / FILE_NAME
        self._lock = threading.Lock()
        try:
            # For its owner alone, and so are the files that SQLite puts beside it.
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            self._connection = sqlite3.connect(
                self._path, timeout=1.0, isolation_level=None, check_same_thread=False
            )
            self._prepare()
        except (OSError, sqlite3.Error) as error:
            raise StoreError(
                f"{self._path} cannot be used: {error}; see whether another supplier runs on it, whether the "
                "service's user may write it and whether the disk is full"
            ) from error

    def _prepare(self) -> None:
        execute = self._connection.execute
        # Two services on one store would blink two lamps for one alarm, and only one would hear the button.
        execute("PRAGMA locking_mode = EXCLUSIVE")
        execute("PRAGMA journal_mode = WAL")
        execute("PRAGMA synchronous = FULL")
        execute("BEGIN IMMEDIATE")
        version = execute("PRAGMA user_version").fetchone()[0]
        if version > _VERSION:
            self._connection.close()
            raise StoreError(f"{self._path} was written by a newer release; install that release again")
        if version < _VERSION:
            for statement in _SCHEMA.split(";"):
                execute(statement)
            execute(f"PRAGMA user_version = {_VERSION}")
        execute("COMMIT")

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._connection.close()

    def add(self, alarm: Alarm, body: bytes, now: float) -> bool:
        """Keep an alarm for good; False if it was known already, open or acknowledged."""
        measurement = json.dumps([[m.name, m.unit, m.value, m.time] for m in alarm.measurement])
        with self._transaction() as connection:
            connection.execute("DELETE FROM alarms WHERE acknowledged < ?", (now - KEEP_SECONDS,))
            added = connection.execute(
                "INSERT INTO alarms (fault_id, verifier, claim, sensor, location, fault, threshold,"
                " measurement, raised, trace, received, body) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
                " ON CONFLICT (fault_id) DO NOTHING",
                (
                    alarm.fault_id,
                    alarm.iss,
                    alarm.claim,
                    alarm.sensor,
                    alarm.location,
                    alarm.fault,
                    alarm.threshold,
                    measurement,
                    alarm.raised,
                    alarm.trace,
                    now,
                    body,
                ),
            )
            return added.rowcount == 1

    def acknowledge(self, fault_id: str | None, by: str, now: float) -> tuple[str, ...]:
        """Acknowledge one open alarm, or all for None; the ids of those that were open."""
        with self._transaction() as connection, closing(connection.cursor()) as cursor:
            rows = cursor.execute(
                "UPDATE alarms SET acknowledged = ?, acknowledged_by = ?"
                " WHERE acknowledged IS NULL AND (fault_id = ? OR ? IS NULL) RETURNING fault_id",
                (now, by, fault_id, fault_id),
            ).fetchall()
            return tuple(row[0] for row in rows)

    def get(self, fault_id: str) -> StoredAlarm | None:
        """One alarm, if it is known."""
        return next(iter(self._read("WHERE fault_id = ?", fault_id)), None)

    def open_alarms(self) -> tuple[StoredAlarm, ...]:
        """What nobody has acknowledged yet, newest first."""
        return self._read("WHERE acknowledged IS NULL ORDER BY number DESC")

    def acknowledged_alarms(self, limit: int) -> tuple[StoredAlarm, ...]:
        """The `limit` that were acknowledged last, newest first."""
        return self._read(
            "WHERE acknowledged IS NOT NULL ORDER BY acknowledged DESC, number DESC LIMIT ?", limit
        )

    def check(self) -> None:
        """Raise `StoreError` unless the file can be written."""
        with self._transaction() as connection:
            connection.execute(f"PRAGMA user_version = {_VERSION}")

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                try:
                    yield self._connection
                    self._connection.execute("COMMIT")
                finally:
                    if self._connection.in_transaction:
                        self._connection.execute("ROLLBACK")
            except sqlite3.Error as error:
                raise StoreError(f"{self._path} cannot be written: {error}; is the disk full?") from error

    def _read(self, condition: str, *values: object) -> tuple[StoredAlarm, ...]:
        try:
            with self._lock:
                rows = self._connection.execute(
                    f"SELECT {_COLUMNS} FROM alarms {condition}",  # noqa: S608 - both are constants of this module
                    values,
                ).fetchall()
        except sqlite3.Error as error:
            raise StoreError(f"{self._path} cannot be read: {error}") from error
        return tuple(_alarm(row) for row in rows)


def _alarm(row: tuple[str, ...]) -> StoredAlarm:
    named = dict(zip(_COLUMNS.split(", "), row, strict=True))
    records = json.loads(named.pop("measurement"))
    return StoredAlarm(measurement=tuple(Measurement(*record) for record in records), **named)  # type: ignore[arg-type]  # as the schema has them
