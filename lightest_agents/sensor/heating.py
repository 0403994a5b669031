"""`lightest sensor heat`: makes a simulated sensor hot, and follows the fault that comes of it."""

import time
from dataclasses import dataclass

from lightest_agents.sensor.errors import ThermometerError
from lightest_agents.sensor.outbox import Fault, FaultState, Outbox
from lightest_agents.sensor.settings import SensorSettings, SimulatedSettings
from lightest_agents.sensor.thermometers import write_override

_POLL_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Heating:
    """What came of it.

    Attributes:
        fault: the fault that was raised, as far as it came in the time given; None if there was none.
        problem: a sentence that says why there is no delivered fault; empty if there is one.
    """

    fault: Fault | None
    problem: str


def heat(settings: SensorSettings, celsius: float, seconds: float) -> None:
    """Let the thermometer say `celsius` for some seconds, then its own curve again.

    Raises:
        ThermometerError: the sensor's thermometer is a real one, or the state folder cannot be written.
    """
    if not isinstance(settings.thermometer, SimulatedSettings):
        raise ThermometerError(
            f"the thermometer of {settings.claim_text} is not a simulated one but "
            f"{settings.thermometer.driver}: heat the real thing"
        )
    write_override(settings.override, celsius, time.time() + seconds)


def heat_and_wait(settings: SensorSettings, celsius: float, seconds: float, patience: float) -> Heating:
    """Heat, and wait up to `patience` seconds until the verifier has answered to the fault.

    Raises:
        ThermometerError: as `heat`.
        OutboxError: the agent has not run yet.
    """
    if celsius < settings.threshold:
        return Heating(None, f"{celsius:g} °C is no fault: the threshold is {settings.threshold:g} °C")
    deadline = time.monotonic() + patience
    with Outbox(settings.outbox, read_only=True) as outbox:
        while not outbox.armed:
            if time.monotonic() >= deadline:
                cold = settings.threshold - settings.hysteresis
                return Heating(
                    None, f"the last fault is not over: it has to be colder than {cold:g} °C before"
                )
            time.sleep(_POLL_SECONDS)
        seq = outbox.seq + 1
        heat(settings, celsius, seconds)
        fault = None
        while time.monotonic() < deadline:
            fault = outbox.fault(seq)
            if fault is not None and fault.state is not FaultState.WAITING:
                break
            time.sleep(_POLL_SECONDS)
    return Heating(fault, _problem(settings, fault))


def _problem(settings: SensorSettings, fault: Fault | None) -> str:
    unit = f"lightest-sensor@{settings.claim_text}"
    if fault is None:
        return f"no fault was raised; does the agent run? See `systemctl status {unit}`"
    match fault.state:
        case FaultState.WAITING:
            return f"fault {fault.seq} waits in the outbox; see `journalctl -u {unit}`"
        case FaultState.REFUSED:
            return f"fault {fault.seq} was refused by the verifier: {fault.answer}"
        case FaultState.DELIVERED:
            return ""
