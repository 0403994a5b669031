"""Alarms for the supplier's tests."""

import time
from dataclasses import replace
from typing import Any

from lightest_agents.trust.alarm import Alarm
from lightest_agents.trust.notification import Measurement


def make_alarm(number: int = 1, **changes: Any) -> Alarm:
    """An alarm that `supplier1` would take now, with its own fault for each number."""
    now = int(time.time())
    alarm = Alarm(
        iss="verifier.raspidemo",
        aud="supplier1",
        iat=now,
        fault_id=f"{number:032x}",
        sensor="sensor1",
        location="germany",
        claim="sensor1.germany.raspidemo",
        fault="overtemperature",
        threshold=25.0,
        measurement=(Measurement("temperature", "Cel", 27.5, float(now)),),
        raised=now,
        trace=f"https://verifier.raspidemo:8443/v1/faults/{number:032x}",
    )
    return replace(alarm, **changes)
