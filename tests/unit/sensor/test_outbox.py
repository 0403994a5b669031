"""The outbox on a real disk, with real crashes."""

import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from lightest_agents.sensor.errors import OutboxError
from lightest_agents.sensor.outbox import KEPT, Fault, FaultState, Outbox
from lightest_agents.trust.notification import Measurement, Notification, new_jti


def notification(seq: int = 1) -> Notification:
    measurement = Measurement("sensor1.germany:temperature", "Cel", 27.5, 1_800_000_000.25)
    return Notification(
        new_jti(1_800_000_000_000),
        1_800_000_000,
        seq,
        "sensor1",
        "germany",
        "overtemperature",
        25.0,
        (measurement,),
    )


def body(seq: int) -> bytes:
    return b"fault %d" % seq


def test_a_fault_waits_until_it_is_settled_in_order(tmp_path: Path) -> None:
    with Outbox(tmp_path / "outbox") as outbox:
        assert (outbox.armed, outbox.seq, outbox.oldest_waiting(), outbox.last()) == (True, 0, None, None)
        first, second = outbox.raise_fault(100, body), outbox.raise_fault(200, body)
        assert first == Fault(1, 100, b"fault 1", FaultState.WAITING, "")
        assert not outbox.armed
        assert outbox.oldest_waiting() == first
        outbox.settle(first, FaultState.DELIVERED, "an id")
        assert outbox.oldest_waiting() == second
        outbox.settle(second, FaultState.REFUSED, "400")
        outbox.arm()
        assert outbox.armed
    with Outbox(tmp_path / "outbox") as outbox:
        assert (outbox.armed, outbox.seq, outbox.oldest_waiting()) == (True, 2, None)
        assert outbox.fault(1) == Fault(1, 100, b"fault 1", FaultState.DELIVERED, "an id")
        assert outbox.last() == Fault(2, 200, b"fault 2", FaultState.REFUSED, "400")
        assert outbox.counts() == {
            FaultState.WAITING: 0,
            FaultState.DELIVERED: 1,
            FaultState.REFUSED: 1,
        }


def test_settled_faults_are_forgotten_some_day_and_waiting_ones_never(tmp_path: Path) -> None:
    with Outbox(tmp_path / "outbox") as outbox:
        outbox._database.execute("PRAGMA synchronous = OFF")  # a thousand faults need not survive this test
        waiting = outbox.raise_fault(0, body)
        for _ in range(KEPT + 5):
            outbox.settle(outbox.raise_fault(1, body), FaultState.DELIVERED, "id")
        assert outbox.oldest_waiting() == waiting
        assert outbox.fault(2) is None
        assert outbox.fault(10) is not None
        assert KEPT <= outbox.counts()[FaultState.DELIVERED] <= KEPT + 1


def test_a_fault_that_cannot_be_signed_leaves_nothing(tmp_path: Path) -> None:
    def broken(_: int) -> bytes:
        raise ZeroDivisionError

    with Outbox(tmp_path / "outbox") as outbox:
        with pytest.raises(ZeroDivisionError):
            outbox.raise_fault(1, broken)
        assert (outbox.armed, outbox.seq, outbox.last()) == (True, 0, None)


def test_a_full_disk_leaves_nothing_and_is_over_when_there_is_room(tmp_path: Path) -> None:
    with Outbox(tmp_path / "outbox") as outbox:
        outbox.raise_fault(1, body)
        outbox.arm()
        outbox._database.execute("PRAGMA max_page_count = 1")
        with pytest.raises(sqlite3.OperationalError, match="full"):
            outbox.raise_fault(2, lambda _: bytes(100_000))
        assert (outbox.armed, outbox.seq) == (True, 1)
        outbox._database.execute("PRAGMA max_page_count = 1000000")
        assert outbox.raise_fault(3, body).seq == 2


def test_readers_read_while_the_agent_writes_and_write_nothing(tmp_path: Path) -> None:
    with Outbox(tmp_path / "outbox") as outbox, Outbox(tmp_path / "outbox", read_only=True) as reader:
        outbox.raise_fault(1, body)
        assert reader.seq == 1
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            reader.arm()


def test_what_is_no_outbox_is_refused_and_stays(tmp_path: Path) -> None:
    with pytest.raises(OutboxError, match="the sensor's agent makes it"):
        Outbox(tmp_path / "missing", read_only=True)
    assert not (tmp_path / "missing").exists()
    with pytest.raises(OutboxError, match="cannot be opened"):
        Outbox(tmp_path / "no" / "folder")
    junk = tmp_path / "junk"
    junk.write_bytes(b"junk" * 1000)
    with pytest.raises(OutboxError, match="move it away"):
        Outbox(junk)
    assert junk.read_bytes() == b"junk" * 1000
    foreign = sqlite3.connect(tmp_path / "foreign")
    foreign.execute("CREATE TABLE other (x)")
    foreign.close()
    with pytest.raises(OutboxError, match="no outbox of this version"):
        Outbox(tmp_path / "foreign")


WRITER = """
    import sys
    from pathlib import Path
    from lightest_agents.sensor.outbox import Outbox, FaultState
    with Outbox(Path(sys.argv[1])) as outbox:
        while True:
            fault = outbox.raise_fault(1, lambda seq: b"fault %d" % seq)
            print("raised", fault.seq, flush=True)
            outbox.settle(fault, FaultState.DELIVERED, "id")
            print("settled", fault.seq, flush=True)
"""


def test_whatever_was_said_to_be_done_survives_kill_9(tmp_path: Path) -> None:
    said = 0
    for lines in (1, 6, 31):
        process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(WRITER), str(tmp_path / "outbox")], stdout=subprocess.PIPE
        )
        assert process.stdout is not None
        heard = [process.stdout.readline().decode().split() for _ in range(lines)]
        os.kill(process.pid, signal.SIGKILL)
        heard += [line.decode().split() for line in process.stdout.read().splitlines()]
        process.stdout.close()
        process.wait()
        with Outbox(tmp_path / "outbox") as outbox:
            assert int(heard[0][1]) == said + 1
            for what, seq in heard:
                fault = outbox.fault(int(seq))
                assert fault is not None
                assert what == "raised" or fault.state is FaultState.DELIVERED
            said = outbox.seq
            assert sum(outbox.counts().values()) == said
