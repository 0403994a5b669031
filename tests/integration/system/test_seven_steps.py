"""The seven steps with no part replaced: a real sensor, TSPA, verifier and supplier, and a real DNS."""

from tests.sensor_process import Enrol
from tests.system import System


def test_a_sensor_that_is_heated_lights_the_lamp_of_the_supplier_in_its_list(
    system: System, enrol: Enrol
) -> None:
    with enrol(system.verifier) as sensor:
        for celsius in (27.5, 31.25):
            raised = sensor.command("heat", str(celsius), "--for", "0.3", "--wait", "30")
            fault = system.accepted(raised["id"])
            assert (fault["claim"], fault["measurement"]["value"]) == (sensor.claim, celsius)
            assert all(link["milliseconds"] is not None for link in fault["trace"])
        assert sensor.waiting() == 0
