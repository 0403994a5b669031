"""SQLite with group commit: many small changes wait for one sync of the disk."""

import asyncio
import os
import queue
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from lightest_agents.errors import LightestError

T = TypeVar("T")

Change = Callable[[sqlite3.Connection], Any]

_Entry = tuple[Change, "asyncio.Future[Any]"]

_BUSY_SECONDS = 5.0
_MAX_GROUP = 1000
_DEFECTS = (sqlite3.IntegrityError, sqlite3.InterfaceError, sqlite3.ProgrammingError)


class StoreError(LightestError):
    """The disk did not take, or did not give, what the verifier has to keep."""

    reason = "inbox-unavailable"


def open_database(path: Path, schema: Sequence[str]) -> sqlite3.Connection:
    """A connection for writing; the file is made, or brought up to date, where needed.

    What is committed is on the disk (`synchronous = FULL`).

    Args:
        path: the file; it and its companions are for its owner alone.
        schema: a script for each version; `user_version` tells how many have been run.

    Raises:
        StoreError: it cannot be opened or written, or a newer release made it.
    """
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        connection = sqlite3.connect(path, _BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        version: int = connection.execute("PRAGMA user_version").fetchone()[0]
        if version > len(schema):
            raise StoreError(
                f"{path} was written by a newer release (version {version}, this one knows {len(schema)}); "
                "install that release again"
            )
        for number, script in enumerate(schema[version:], version + 1):
            connection.executescript(f"BEGIN IMMEDIATE; {script}; PRAGMA user_version = {number}; COMMIT")
    except (OSError, sqlite3.Error) as error:
        raise StoreError(f"{path} cannot be used: {error}") from error
    return connection


def open_for_reading(path: Path) -> sqlite3.Connection:
    """A connection that changes nothing; readers and the writer do not wait for one another.

    Raises:
        StoreError: there is no such file, or it cannot be read.
    """
    try:
        if not path.exists():
            raise StoreError(f"{path} does not exist; the verifier makes it when it first runs")
        uri = f"{path.absolute().as_uri()}?mode=ro"
        connection = sqlite3.connect(
            uri, _BUSY_SECONDS, uri=True, isolation_level=None, check_same_thread=False
        )
        connection.execute("PRAGMA user_version")
    except (OSError, sqlite3.Error) as error:
        raise StoreError(f"{path} cannot be read: {error}") from error
    return connection


@contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection as `open_for_reading` gives it, for one block.

    Raises:
        StoreError: there is no such file, or it cannot be read, in the block, too.
    """
    with closing(open_for_reading(path)) as connection:
        try:
            yield connection
        except sqlite3.Error as error:
            raise StoreError(f"{path} cannot be read: {error}") from error


class Database:
    """One thread that writes and one that reads, for use from one event loop.

    All changes that wait when the writer is free go into one transaction, so that a slow disk is synced once
    for all of them; a caller goes on when its change is on the disk.
    """

    def __init__(self, path: Path, schema: Sequence[str]) -> None:
        """Open `path`; to be called inside the event loop.

        Raises:
            StoreError: see `open_database`.
        """
        self._path = path
        self._loop = asyncio.get_running_loop()
        self._writing = open_database(path, schema)
        self._reading = open_for_reading(path)
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="store-reader")
        self._queue: queue.SimpleQueue[list[_Entry] | None] = queue.SimpleQueue()
        self._gathered: list[_Entry] = []
        self._writer = threading.Thread(target=self._write, name="store-writer", daemon=True)
        self._writer.start()

    async def change(self, change: Callable[[sqlite3.Connection], T]) -> T:
        """Run `change` in the next transaction; its result, once that is on the disk.

        `change` may run a second time after a rollback, and must do nothing but speak SQL.

        Raises:
            StoreError: the disk is full or failing; nothing of the change was kept.
        """
        future: asyncio.Future[T] = self._loop.create_future()
        if not self._gathered:
            # Waking the writer costs more than a change: it is done once for all of this turn of the loop.
            self._loop.call_soon(self._hand_over)
        self._gathered.append((change, future))
        return await future

    async def read(self, question: Callable[[sqlite3.Connection], T]) -> T:
        """Run `question` on what has been committed.

        Raises:
            StoreError: the file cannot be read.
        """
        try:
            return await self._loop.run_in_executor(self._reader, question, self._reading)
        except sqlite3.Error as error:
            raise StoreError(f"{self._path} cannot be read: {error}") from error

    async def close(self) -> None:
        """Finish the changes that wait, then close."""
        self._hand_over()
        self._queue.put(None)
        await asyncio.to_thread(self._writer.join)
        await asyncio.to_thread(self._reader.shutdown)
        self._reading.close()

    def _hand_over(self) -> None:
        if self._gathered:
            self._queue.put(self._gathered)
            self._gathered = []

    def _write(self) -> None:
        while (group := self._queue.get()) is not None:
            while len(group) < _MAX_GROUP and not self._queue.empty():
                more = self._queue.get_nowait()
                if more is None:
                    self._queue.put(None)  # the end comes after this group
                    break
                group += more
            results = self._commit([change for change, _ in group])
            self._loop.call_soon_threadsafe(_settle, [future for _, future in group], results)
        self._writing.close()

    def _commit(self, changes: list[Change]) -> list[Any]:
        """The result of each change, or the exception that it ends in."""
        if not changes:
            return []
        try:
            self._writing.execute("BEGIN IMMEDIATE")
            results = [change(self._writing) for change in changes]
            self._writing.execute("COMMIT")
        except Exception as error:  # is the caller's: this thread has to go on
            with suppress(sqlite3.Error):  # SQLite may have rolled back by itself
                self._writing.execute("ROLLBACK")
            if len(changes) > 1:
                # One that cannot be kept must not take the others with it.
                return [self._commit([change])[0] for change in changes]
            return [self._explain(error)]
        return results

    def _explain(self, error: Exception) -> Exception:
        if not isinstance(error, sqlite3.Error) or isinstance(error, _DEFECTS):
            return error
        explained = StoreError(f"{self._path} cannot be written: {error}; is the disk full?")
        explained.__cause__ = error
        return explained


def _settle(futures: list[asyncio.Future[Any]], results: list[Any]) -> None:
    for future, result in zip(futures, results, strict=True):
        if future.done():  # its caller has gone
            continue
        if isinstance(result, Exception):
            future.set_exception(result)
        else:
            future.set_result(result)
