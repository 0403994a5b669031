"""From temperatures to signed faults on disk, with a real outbox and a real key."""

import json
import logging
from base64 import urlsafe_b64decode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lightest_agents.sensor.enrolment import enrol, read_key
from lightest_agents.sensor.outbox import Outbox
from lightest_agents.sensor.settings import FileSettings, SensorSettings
from lightest_agents.sensor.thermometers import make_thermometer
from lightest_agents.sensor.watch import Watch
from lightest_agents.trust.notification import SignedNotification, parse


class Machine:
    """A machine with a sensor on it, whose agent may be started again and again."""

    def __init__(self, state: Path) -> None:
        self.settings = SensorSettings(
            domain="raspidemo",
            location="germany",
            name="sensor1",
            verifier="https://verifier.raspidemo:8443",
            state=state,
            thermometer=FileSettings(driver="file", path=state / "celsius"),
        )
        enrol(state, self.settings.claim_text)
        self.outbox = Outbox(self.settings.outbox)
        self.heard = 0
        self.start()

    def start(self) -> None:
        self.watch = Watch(
            self.settings,
            read_key(self.settings.state),
            make_thermometer(self.settings),
            self.outbox,
            self._hear,
        )

    async def be(self, *temperatures: object) -> None:
        for celsius in temperatures:
            (self.settings.state / "celsius").write_text(str(celsius))
            await self.watch.measure()

    def payloads(self) -> list[dict[str, Any]]:
        bodies = [self.outbox.fault(seq) for seq in range(1, self.outbox.seq + 1)]
        found = []
        for fault in bodies:
            assert fault is not None
            assert isinstance(parse(fault.body), SignedNotification)
            payload = fault.body.split(b".")[1]
            found.append(json.loads(urlsafe_b64decode(payload + b"=" * (-len(payload) % 4))))
        return found

    def _hear(self) -> None:
        self.heard += 1


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    machine = Machine(tmp_path)
    yield machine
    machine.outbox.__exit__(None, None, None)


async def test_each_overheating_is_one_signed_fault(machine: Machine) -> None:
    await machine.be(21, 24.9999, 25.00004, 25.1, 24.9, 30, 24.4, 26.5)
    faults = machine.payloads()
    assert [fault["seq"] for fault in faults] == [1, 2]
    assert [fault["measurement"][0]["v"] for fault in faults] == [25.0, 26.5]
    assert len({fault["jti"] for fault in faults}) == 2
    first = faults[0]
    assert (first["sensor"], first["location"]) == ("sensor1", "germany")
    assert (first["fault"], first["threshold"]) == ("overtemperature", 25.0)
    assert first["measurement"][0]["u"] == "Cel"
    assert abs(first["iat"] - first["measurement"][0]["t"]) < 60
    assert machine.heard == 2


async def test_a_restart_in_the_heat_is_no_second_fault(machine: Machine) -> None:
    await machine.be(21, 27)
    machine.start()
    await machine.be(27, 26)
    assert machine.outbox.seq == 1
    await machine.be(20)
    machine.start()
    await machine.be(27)
    assert machine.outbox.seq == 2


async def test_a_fault_that_cannot_be_stored_is_stored_when_there_is_room(
    machine: Machine, caplog: pytest.LogCaptureFixture
) -> None:
    await machine.be(20)
    machine.outbox._database.execute("PRAGMA query_only = ON")
    await machine.be(27, 28, 20, 29, 20)
    assert (machine.outbox.seq, machine.heard) == (0, 0)
    assert len([record for record in caplog.records if "cannot be stored" in record.message]) == 1
    machine.outbox._database.execute("PRAGMA query_only = OFF")
    await machine.be(20)
    assert [fault["measurement"][0]["v"] for fault in machine.payloads()] == [27, 29]
    assert machine.outbox.armed


async def test_a_thermometer_that_fails_is_told_once_and_again_when_it_works(
    machine: Machine, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    await machine.be(20, "?", "?", "?", 20, "?", "!", 27)
    lines = [record.message for record in caplog.records if "fault" not in record.message]
    assert [line.rpartition(": ")[2] for line in lines] == [
        "'?' is no temperature",
        "the temperature can be measured again",
        "'?' is no temperature",
        "'!' is no temperature",
        "the temperature can be measured again",
    ]
    assert machine.outbox.seq == 1
