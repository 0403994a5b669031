"""Measures again and again, and turns each crossing of the threshold into a signed fault in the outbox."""

import asyncio
import logging
import sqlite3
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

from lightest_agents.errors import LightestError
from lightest_agents.sensor.errors import ThermometerError
from lightest_agents.sensor.outbox import Outbox
from lightest_agents.sensor.settings import SensorSettings
from lightest_agents.sensor.thermometers import Thermometer
from lightest_agents.sensor.threshold import Threshold
from lightest_agents.sensor.trouble import Trouble
from lightest_agents.trust.notification import Measurement, Notification, new_jti, sign

FAULT = "overtemperature"

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Crossing:
    celsius: float
    moment: float
    """By `time.monotonic`: the clock may be set before the crossing is stored."""


class Watch:
    """The sensor's eye on the temperature."""

    def __init__(
        self,
        settings: SensorSettings,
        key: EllipticCurvePrivateKey,
        thermometer: Thermometer,
        outbox: Outbox,
        on_fault: Callable[[], None],
    ) -> None:
        """Go on from what the outbox remembers; call `on_fault` for each fault that is stored."""
        self._settings = settings
        self._key = key
        self._thermometer = thermometer
        self._outbox = outbox
        self._on_fault = on_fault
        self._threshold = Threshold(settings.threshold, settings.hysteresis, outbox.armed)
        self._crossings: deque[_Crossing] = deque()
        self._measuring = Trouble(_LOG, "the temperature can be measured again")
        self._storing = Trouble(_LOG, "faults can be stored again")

    async def run(self) -> None:
        """Measure at each interval until cancelled; what goes wrong is logged and tried again."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            await self.measure()
            # A measurement that took too long is not made up for.
            due = max(due + self._settings.interval, loop.time())
            await asyncio.sleep(due - loop.time())

    async def measure(self) -> None:
        """Measure once, and store what follows from it."""
        try:
            celsius = round(await self._thermometer.read(), 4)
        except ThermometerError as error:
            self._measuring.note(str(error))
        else:
            self._measuring.over()
            self._judge(celsius)
        self._store()

    def _judge(self, celsius: float) -> None:
        before, self._threshold = self._threshold, self._threshold.after(celsius)
        if before.armed and not self._threshold.armed:
            self._crossings.append(_Crossing(celsius, time.monotonic()))

    def _store(self) -> None:
        """Write down what is not on disk yet; what cannot be written now is kept for the next time."""
        try:
            while self._crossings:
                self._raise_fault(self._crossings[0])
                self._crossings.popleft()
            if self._threshold.armed and not self._outbox.armed:
                self._outbox.arm()
        except (sqlite3.Error, LightestError) as error:
            self._storing.note(f"a fault cannot be stored: {error}; it is kept in memory")
        else:
            self._storing.over()

    def _raise_fault(self, crossing: _Crossing) -> None:
        settings, now = self._settings, time.time()
        record = Measurement(
            name=f"{settings.name}.{settings.location}:temperature",
            unit="Cel",
            value=crossing.celsius,
            time=round(now - (time.monotonic() - crossing.moment), 3),
        )

        def signed(seq: int) -> bytes:
            notification = Notification(
                jti=new_jti(int(now * 1000)),
                iat=int(now),
                seq=seq,
                sensor=settings.name,
                location=settings.location,
                fault=FAULT,
                threshold=settings.threshold,
                measurement=(record,),
            )
            return sign(notification, self._key)

        fault = self._outbox.raise_fault(int(now), signed)
        _LOG.warning(
            "fault %d: %.4g °C has reached the threshold of %.4g °C",
            fault.seq,
            crossing.celsius,
            settings.threshold,
        )
        self._on_fault()
