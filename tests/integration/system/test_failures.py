"""What fails by itself: each part may be down, or the disk full, and no alarm is lost or raised twice."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from lightest_agents.trust.verdict import Reason
from tests.publisher import Publisher, Sensor
from tests.sensor_process import Enrol
from tests.system import SECOND_VERIFIER, System, wait_for
from tests.tspa_process import TspaProcess
from tests.verifier_process import VerifierProcess
from tests.world import World

# Parts that are down


def test_the_tspa_is_down(system: System, tspa: TspaProcess, listed: Sensor) -> None:
    tspa.kill()
    fault = system.refused(listed.fault(), Reason.PUBLISHER_UNREACHABLE)
    tspa.start()
    system.accepted(fault["id"])


def test_the_name_server_is_down(system: System, world: World, sensor: Sensor) -> None:
    world.stop_named()
    fault = system.refused(sensor.fault(), Reason.CLAIM_UNAVAILABLE)
    world.start_named()
    world.flush()
    system.accepted(fault["id"])


def test_the_resolver_is_down(system: System, world: World, sensor: Sensor) -> None:
    world.stop_unbound()
    fault = system.refused(sensor.fault(), Reason.CLAIM_UNAVAILABLE)
    world.start_unbound()
    system.accepted(fault["id"])


def test_the_supplier_is_down(system: System, sensor: Sensor) -> None:
    system.supplier.kill()
    fault = system.verifier.decide(sensor.fault())
    system.supplier.start()
    system.check_dark()
    assert (fault["status"], fault["reason"]) == ("deferred", Reason.SUPPLIER_UNREACHABLE)
    system.accepted(fault["id"])


def test_all_parts_are_down_and_come_back_one_by_one(
    system: System, world: World, publisher: Publisher, sensor: Sensor
) -> None:
    world.stop_unbound()
    publisher.stop()
    system.supplier.kill()
    name = system.verifier.raise_fault(sensor.fault())
    wait_for_reason(system, name, Reason.CLAIM_UNAVAILABLE)
    world.start_unbound()
    wait_for_reason(system, name, Reason.PUBLISHER_UNREACHABLE)
    publisher.start()
    wait_for_reason(system, name, Reason.SUPPLIER_UNREACHABLE)
    system.supplier.start()
    system.accepted(name)


def wait_for_reason(system: System, name: str, reason: Reason) -> None:
    wait_for(lambda: system.verifier.fault(name)["reason"] == reason)


# A disk that is full


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte, where a verifier in `tmp_path` has its state."""
    folder = tmp_path / "state"
    folder.mkdir()
    mount = ("mount", "-t", "tmpfs", "-o", "size=1m,mode=0700", "none", str(folder))
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")
    yield folder
    subprocess.run(("umount", str(folder)), check=True)


def fill(folder: Path) -> Path:
    """A file that takes all the room that is left."""
    ballast, room = folder / "ballast", os.statvfs(folder)
    ballast.write_bytes(bytes(room.f_bavail * room.f_frsize))
    return ballast


def test_a_full_disk_of_the_inbox_leaves_the_fault_in_the_sensors_outbox_until_there_is_room(
    system: System, world: World, enrol: Enrol, small_disk: Path
) -> None:
    label = SECOND_VERIFIER.removesuffix(".raspidemo")
    with VerifierProcess(world, small_disk.parent, label=label) as verifier, enrol(verifier) as sensor:
        ballast = fill(small_disk)
        sensor.command("heat", "27.5", "--for", "60")
        wait_for(lambda: "the verifier answers 503 inbox-unavailable" in sensor.log.read_text())
        assert sensor.waiting() == 1
        system.check_dark()
        ballast.unlink()
        wait_for(lambda: sensor.waiting() == 0)
        system.accepted(sensor.last_delivered() or "", verifier)
