"""Sensor, publisher, verifier and supplier, all of them real, for tests of the whole."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.publisher import Publisher, Sensor
from tests.sensor_process import Enrol, SensorProcess
from tests.system import System
from tests.tspa_process import TspaProcess
from tests.unit.tspa.certificates import make_certificate
from tests.verifier_process import VerifierProcess
from tests.world import World


@pytest.fixture(scope="package")
def running_system(running_world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """One verifier and one supplier for all tests."""
    with System(running_world, tmp_path_factory.mktemp("system")) as system:
        yield system


@pytest.fixture
def system(running_system: System, world: World) -> Iterator[System]:
    """Both at rest, before and after."""
    running_system.reset()
    yield running_system
    running_system.check_at_rest()


@pytest.fixture
def publisher(system: System, world: World) -> Iterator[Publisher]:
    """A publisher that does what a test wants; its answers are never kept."""
    with Publisher(world) as publisher:
        publisher.max_age = 0
        yield publisher


@pytest.fixture
def sensor(system: System, publisher: Publisher) -> Sensor:
    """A sensor whose faults are accepted."""
    sensor = system.new_sensor()
    publisher.publish(sensor, suppliers=[system.entry])
    return sensor


@pytest.fixture(scope="package")
def running_tspa(
    running_system: System, fleet: list[Sensor], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TspaProcess]:
    """One TSPA for all tests; `supplier1` is the supplier who is there."""
    labels = [sensor.label for sensor in fleet]
    tspa = TspaProcess(running_system.world, tmp_path_factory.mktemp("tspa"), labels)
    tspa.registry["suppliers"][0]["url"] = running_system.supplier.url
    (tspa.folder / "registry.json").write_text(json.dumps(tspa.registry))
    assert tspa.json("sync", "registry.json")["changed"]
    tspa.start()
    yield tspa
    tspa.stop()
    tspa.close()


@pytest.fixture(scope="package")
def fleet() -> list[Sensor]:
    """The sensors that the TSPA knows; each test takes its own out."""
    return [Sensor(f"fleet{number}") for number in range(16)]


@pytest.fixture
def tspa(running_tspa: TspaProcess, world: World) -> TspaProcess:
    """The TSPA with its address and key in the DNS."""
    running_tspa.publish_address()
    return running_tspa


@pytest.fixture
def listed(system: System, tspa: TspaProcess, fleet: list[Sensor]) -> Sensor:
    """A sensor of acme's whose list is at the TSPA, so that its faults are accepted."""
    sensor = fleet.pop()
    tspa.register(sensor.claim, make_certificate(sensor.claim, key=sensor.key))
    system.world.set(f"_scheme._trust.{sensor.claim}", "PTR", f"_scheme._trust.{sensor.scheme}.")
    return sensor


@pytest.fixture
def enrol(system: System, tspa: TspaProcess, fleet: list[Sensor], tmp_path: Path) -> Enrol:
    """Makes real sensors whose lists are at the TSPA."""

    def make(verifier: VerifierProcess) -> SensorProcess:
        known = fleet.pop()
        sensor = SensorProcess(system.world, tmp_path, verifier, known.label)
        tspa.register(sensor.claim, sensor.certificate.encode())
        system.world.set(f"_scheme._trust.{sensor.claim}", "PTR", f"_scheme._trust.{known.scheme}.")
        return sensor

    return make
