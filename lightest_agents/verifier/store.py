"""What the verifier keeps: the faults with their verdicts, what was accepted once, the newest list seen."""

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from pathlib import Path
from typing import Any

from lightest_agents.trust.verdict import Outcome, Reason, Trace
from lightest_agents.verifier.database import Database

FILE_NAME = "verifier.sqlite3"
"""In the state folder."""

_FIRST_SCHEMA = """
    CREATE TABLE faults (
        number INTEGER PRIMARY KEY,     -- order of reception
        id TEXT NOT NULL UNIQUE,
        body BLOB NOT NULL,
        received REAL NOT NULL,         -- times are seconds since the epoch
        state TEXT NOT NULL,
        claim TEXT NOT NULL,
        jti TEXT NOT NULL,
        seq INTEGER NOT NULL,
        attempts INTEGER NOT NULL DEFAULT 0,
        next_attempt REAL,
        reason TEXT,
        detail TEXT,
        trace TEXT,
        decided REAL,
        supplier TEXT
    );
    CREATE INDEX faults_undecided ON faults (number) WHERE decided IS NULL;
    CREATE INDEX faults_decided ON faults (decided) WHERE decided IS NOT NULL;
    CREATE TABLE accepted (
        fault TEXT PRIMARY KEY,
        claim TEXT NOT NULL,
        signer TEXT NOT NULL,           -- a sensor with a new key may count from 1 again
        jti TEXT NOT NULL,
        seq INTEGER NOT NULL,
        UNIQUE (claim, jti),
        UNIQUE (claim, signer, seq)
    ) WITHOUT ROWID;
    CREATE TABLE lists (
        claim TEXT PRIMARY KEY,
        sequence INTEGER NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE probes (number INTEGER PRIMARY KEY, at REAL NOT NULL)
"""

_SCHEMA = (_FIRST_SCHEMA,)

_COLUMNS = ", ".join(
    (
        *("id", "body", "received", "state", "claim", "jti", "seq"),
        *("attempts", "next_attempt", "reason", "detail", "trace", "decided", "supplier"),
    )
)


class State(StrEnum):
    """How far a fault has come."""

    RECEIVED = "received"
    DEFERRED = Outcome.DEFERRED.value
    ACCEPTED = Outcome.ACCEPTED.value
    REJECTED = Outcome.REJECTED.value


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault as it is kept.

    Attributes:
        id: see `fault_id`.
        body: the signed notification as it was received.
        received: seconds since the epoch, as are all times.
        claim: the sensor's, as text without the final dot.
        attempts: how often the chain has been walked.
        next_attempt: when a deferred one is tried again.
        reason: of the last refusal.
        detail: of the last refusal, a sentence.
        trace: of the last walk.
        decided: when it was accepted or rejected.
        supplier: the label of the one who took the alarm.
    """

    id: str
    body: bytes
    received: float
    state: State
    claim: str
    jti: str
    seq: int
    attempts: int = 0
    next_attempt: float | None = None
    reason: Reason | None = None
    detail: str = ""
    trace: Trace | None = None
    decided: float | None = None
    supplier: str | None = None


def fault_id(body: bytes) -> str:
    """The name of a fault: 32 hexadecimal digits of its notification's SHA-256."""
    return sha256(body).hexdigest()[:32]


class Store:
    """The verifier's SQLite file; every change is on the disk when its coroutine returns.

    All methods raise `StoreError` when the disk fails; nothing is half done then.
    """

    def __init__(self, folder: Path) -> None:
        """Open the store in the state folder; to be called inside the event loop.

        Raises:
            StoreError: it cannot be used.
        """
        self._database = Database(folder / FILE_NAME, _SCHEMA)

    async def close(self) -> None:
        """Finish what waits, then close."""
        await self._database.close()

    async def add(self, fault: Fault) -> State | None:
        """Keep a fault that was received; the state of the same one if it is there already, else None."""
        values = (fault.id, fault.body, fault.received, fault.state, fault.claim, fault.jti, fault.seq)

        def change(connection: sqlite3.Connection) -> State | None:
            added = connection.execute(
                "INSERT INTO faults (id, body, received, state, claim, jti, seq) VALUES (?, ?, ?, ?, ?, ?, ?)"
                " ON CONFLICT (id) DO NOTHING",
                values,
            )
            return None if added.rowcount else _state(connection, fault.id)

        return await self._database.change(change)

    async def state(self, name: str) -> State | None:
        """The state of the fault with an id; None if there is none."""
        return await self._database.read(lambda connection: _state(connection, name))

    async def use_once(self, fault: Fault, signer: str) -> str | None:
        """Note that a fault's authentic notification is used up; the id of another one that used it before.

        The same fault may come again. `(claim, jti)` is used once, and so is `(claim, signer, seq)`.

        Args:
            fault: the one whose signature was verified.
            signer: a digest of the sensor's certificate.
        """
        values = (fault.id, fault.claim, signer, fault.jti, fault.seq)

        def change(connection: sqlite3.Connection) -> str | None:
            connection.execute(
                "INSERT INTO accepted (fault, claim, signer, jti, seq) VALUES (?, ?, ?, ?, ?)"
                " ON CONFLICT DO NOTHING",
                values,
            )
            other: tuple[str] | None = connection.execute(
                "SELECT fault FROM accepted WHERE claim = ?2 AND fault != ?1"
                " AND (jti = ?4 OR (signer = ?3 AND seq = ?5)) LIMIT 1",
                values,
            ).fetchone()
            return None if other is None else other[0]

        return await self._database.change(change)

    async def update(self, fault: Fault) -> None:
        """Keep the outcome of a walk: all of `fault` but what was received."""
        trace = None if fault.trace is None else json.dumps(fault.trace.to_json(), separators=(",", ":"))
        values = (
            *(fault.state, fault.attempts, fault.next_attempt, fault.reason, fault.detail, trace),
            *(fault.decided, fault.supplier, fault.id),
        )

        def change(connection: sqlite3.Connection) -> None:
            connection.execute(
                "UPDATE faults SET state = ?, attempts = ?, next_attempt = ?, reason = ?, detail = ?,"
                " trace = ?, decided = ?, supplier = ? WHERE id = ?",
                values,
            )

        await self._database.change(change)

    async def get(self, name: str) -> Fault | None:
        """The fault with an id."""
        return await self._database.read(lambda connection: find_fault(connection, name))

    async def undecided(self) -> list[Fault]:
        """All faults without a verdict, in the order of their reception."""

        def question(connection: sqlite3.Connection) -> list[Fault]:
            rows = connection.execute(
                f"SELECT {_COLUMNS} FROM faults WHERE decided IS NULL ORDER BY number"  # noqa: S608
            )
            return [_fault(row) for row in rows]

        return await self._database.read(question)

    async def newest_list(self, claim: str) -> int | None:
        """The highest sequence number of a trust list that was used for a claim."""

        def question(connection: sqlite3.Connection) -> int | None:
            row = connection.execute("SELECT sequence FROM lists WHERE claim = ?", (claim,)).fetchone()
            return None if row is None else int(row[0])

        return await self._database.read(question)

    async def saw_list(self, claim: str, sequence: int) -> None:
        """Keep that a trust list with this sequence number is used for a claim; it never goes back."""

        def change(connection: sqlite3.Connection) -> None:
            connection.execute(
                "INSERT INTO lists (claim, sequence) VALUES (?, ?)"
                " ON CONFLICT (claim) DO UPDATE SET sequence = max(sequence, excluded.sequence)",
                (claim, sequence),
            )

        await self._database.change(change)

    async def forget(self, before: float, limit: int = 500) -> int:
        """Remove at most `limit` faults that were decided before a time; how many it were."""

        def change(connection: sqlite3.Connection) -> int:
            old = connection.execute(
                "SELECT id FROM faults WHERE decided < ? ORDER BY decided LIMIT ?", (before, limit)
            ).fetchall()
            connection.executemany("DELETE FROM accepted WHERE fault = ?", old)
            connection.executemany("DELETE FROM faults WHERE id = ?", old)
            return len(old)

        return await self._database.change(change)

    async def probe(self, now: float) -> None:
        """Write something of no importance.

        Raises:
            StoreError: the disk takes nothing.
        """

        def change(connection: sqlite3.Connection) -> None:
            connection.execute("INSERT OR REPLACE INTO probes (number, at) VALUES (1, ?)", (now,))

        await self._database.change(change)


def find_fault(connection: sqlite3.Connection, name: str) -> Fault | None:
    """The fault with an id."""
    row = connection.execute(f"SELECT {_COLUMNS} FROM faults WHERE id = ?", (name,)).fetchone()  # noqa: S608
    return None if row is None else _fault(row)


def recent_faults(connection: sqlite3.Connection, limit: int) -> list[Fault]:
    """The faults received last, the newest first."""
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM faults ORDER BY number DESC LIMIT ?",  # noqa: S608
        (limit,),
    )
    return [_fault(row) for row in rows]


def _state(connection: sqlite3.Connection, name: str) -> State | None:
    row = connection.execute("SELECT state FROM faults WHERE id = ?", (name,)).fetchone()
    return None if row is None else State(row[0])


def _fault(row: Sequence[Any]) -> Fault:
    values = dict(zip(_COLUMNS.split(", "), row, strict=True))
    values["state"] = State(values["state"])
    values["detail"] = values["detail"] or ""
    if values["reason"] is not None:
        values["reason"] = Reason(values["reason"])
    if values["trace"] is not None:
        values["trace"] = Trace.from_json(json.loads(values["trace"]))
    return Fault(**values)
