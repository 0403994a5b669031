"""The outbox: a fault is on disk before anything is sent, and stays there until the verifier has taken it.

SQLite in WAL mode with `synchronous=FULL`: what is committed survives `kill -9` and a power cut. The sequence
number, the state of the threshold and the fault are written in one transaction, so that after a crash a fault
is neither lost nor raised twice.
"""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Self

from lightest_agents.sensor.errors import OutboxError

KEPT = 1000
"""How many faults are remembered after the verifier has answered."""

_VERSION = 1
_SCHEMA = """
BEGIN IMMEDIATE;
CREATE TABLE sensor (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    seq INTEGER NOT NULL,
    armed INTEGER NOT NULL CHECK (armed IN (0, 1))
) STRICT;
CREATE TABLE fault (
    seq INTEGER PRIMARY KEY,
    raised INTEGER NOT NULL,
    body BLOB NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('waiting', 'delivered', 'refused')),
    answer TEXT NOT NULL
) STRICT;
CREATE INDEX fault_by_state ON fault (state, seq);
INSERT INTO sensor VALUES (1, 0, 1);
PRAGMA user_version = 1;
COMMIT;
"""


class FaultState(StrEnum):
    """How far a fault has come."""

    WAITING = "waiting"
    DELIVERED = "delivered"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault in the outbox.

    Attributes:
        seq: its number among the sensor's faults, from 1.
        raised: when, in seconds since the epoch.
        body: the signed notification.
        answer: the verifier's id of a delivered fault, its reason for a refused one.
    """

    seq: int
    raised: int
    body: bytes
    state: FaultState
    answer: str


class Outbox:
    """The faults of one sensor."""

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        """Open the file; make it if it is not there, unless only to read.

        Raises:
            OutboxError: it cannot be opened, or is no outbox.
        """
        mode = "ro" if read_only else "rwc"
        try:
            self._database = sqlite3.connect(
                f"{path.absolute().as_uri()}?mode={mode}", uri=True, timeout=5, isolation_level=None
            )
        except sqlite3.Error as error:
            hint = "; the sensor's agent makes it when it starts" if read_only else ""
            raise OutboxError(f"{path} cannot be opened: {error}{hint}") from error
        try:
            if not read_only:
                self._prepare()
            (version,) = self._database.execute("PRAGMA user_version").fetchone()
        except sqlite3.Error as error:
            self._database.close()
            raise OutboxError(f"{path} cannot be used: {error}; restore it, or move it away") from error
        if version != _VERSION:
            self._database.close()
            raise OutboxError(f"{path} is no outbox of this version; move it away to begin a new one")

    def __enter__(self) -> Self:
        """The open outbox."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        self._database.close()

    def raise_fault(self, raised: int, sign: Callable[[int], bytes]) -> Fault:
        """Store a new fault and disarm the threshold, both or neither.

        Args:
            raised: when, in seconds since the epoch.
            sign: makes the body for the fault's sequence number.

        Raises:
            sqlite3.Error: nothing was stored; try again later.
        """
        with self._transaction() as database:
            (seq,) = database.execute("UPDATE sensor SET seq = seq + 1, armed = 0 RETURNING seq").fetchone()
            fault = Fault(seq, raised, sign(seq), FaultState.WAITING, "")
            database.execute(
                "INSERT INTO fault VALUES (?, ?, ?, ?, ?)",
                (fault.seq, fault.raised, fault.body, fault.state, fault.answer),
            )
            database.execute("DELETE FROM fault WHERE seq <= ? AND state != 'waiting'", (seq - KEPT,))
        return fault

    def arm(self) -> None:
        """Note that the next crossing of the threshold is a new fault.

        Raises:
            sqlite3.Error: it could not be stored; try again later.
        """
        self._database.execute("UPDATE sensor SET armed = 1")

    def settle(self, fault: Fault, state: FaultState, answer: str) -> None:
        """Note the verifier's answer to a fault.

        Raises:
            sqlite3.Error: it could not be stored; the fault is going to be sent again.
        """
        self._database.execute(
            "UPDATE fault SET state = ?, answer = ? WHERE seq = ?", (state, answer, fault.seq)
        )

    @property
    def armed(self) -> bool:
        """Whether crossing the threshold is a new fault."""
        return bool(self._database.execute("SELECT armed FROM sensor").fetchone()[0])

    @property
    def seq(self) -> int:
        """The number of faults raised so far."""
        return int(self._database.execute("SELECT seq FROM sensor").fetchone()[0])

    def oldest_waiting(self) -> Fault | None:
        """The fault to be sent next."""
        return self._one("SELECT * FROM fault WHERE state = 'waiting' ORDER BY seq LIMIT 1")

    def last(self) -> Fault | None:
        """The fault raised last."""
        return self._one("SELECT * FROM fault ORDER BY seq DESC LIMIT 1")

    def fault(self, seq: int) -> Fault | None:
        """The fault of this number, while it is remembered."""
        return self._one("SELECT * FROM fault WHERE seq = ?", seq)

    def counts(self) -> dict[FaultState, int]:
        """How many of the remembered faults are in each state."""
        found = dict(self._database.execute("SELECT state, count(*) FROM fault GROUP BY state"))
        return {state: found.get(state, 0) for state in FaultState}

    def _one(self, query: str, *values: int) -> Fault | None:
        row = self._database.execute(query, values).fetchone()
        return None if row is None else Fault(row[0], row[1], row[2], FaultState(row[3]), row[4])

    def _prepare(self) -> None:
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA synchronous = FULL")
        if self._database.execute("SELECT count(*) FROM sqlite_schema").fetchone() == (0,):
            self._database.executescript(_SCHEMA)

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        self._database.execute("BEGIN IMMEDIATE")
        try:
            yield self._database
            self._database.execute("COMMIT")
        except BaseException:
            if self._database.in_transaction:  # a full disk ends it by itself
                self._database.execute("ROLLBACK")
            raise
