"""Where alarms, lamp and listeners meet: the lamp blinks as long as an alarm is open."""

import asyncio
import logging
import time
from dataclasses import asdict, dataclass

from lightest_agents.supplier.events import Broadcast
from lightest_agents.supplier.lamp import Lamp
from lightest_agents.supplier.store import AlarmStore, StoreError
from lightest_agents.trust.alarm import Alarm

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LampState:
    """The lamp now.

    Attributes:
        lit: whether its pin is on.
        working: whether the pin did what was asked the last time.
        unacknowledged: how many alarms are open.
        since: when the oldest of them was taken, in seconds since the epoch.
    """

    blinking: bool
    lit: bool
    working: bool
    unacknowledged: int
    since: float | None


class Desk:
    """Takes and acknowledges alarms, one change at a time, and lets the lamp follow the store."""

    def __init__(self, store: AlarmStore, lamp: Lamp, events: Broadcast) -> None:
        """Tell `events` about each change of the lamp, and hear its button; `refresh` has to follow."""
        self._store = store
        self._lamp = lamp
        self._events = events
        self._open: tuple[float, ...] = ()
        self._turn = asyncio.Lock()
        self._presses: set[asyncio.Task[None]] = set()
        lamp.changed = lambda: events.publish("lamp", asdict(self.lamp))
        lamp.pressed = self._press

    @property
    def lamp(self) -> LampState:
        """What the lamp does now."""
        return LampState(
            blinking=self._lamp.blinking,
            lit=self._lamp.lit,
            working=self._lamp.working,
            unacknowledged=len(self._open),
            since=min(self._open, default=None),
        )

    async def refresh(self) -> None:
        """Blink if an alarm was left open when the service ended.

        Raises:
            StoreError: the store cannot be read.
        """
        async with self._turn:
            await self._follow_store()

    async def take(self, alarm: Alarm, body: bytes) -> bool:
        """Keep an alarm and blink; False if it was known already, which changes nothing.

        Raises:
            StoreError: it cannot be kept, and was not.
        """
        async with self._turn:
            new = await asyncio.to_thread(self._store.add, alarm, body, time.time())
            if new:
                await self._follow_store()
            return new

    async def acknowledge(self, fault_id: str | None, by: str) -> tuple[str, ...]:
        """Acknowledge one alarm, or all open ones for None; the ids of those that were open.

        Raises:
            StoreError: that cannot be kept, and was not.
        """
        async with self._turn:
            acknowledged = await asyncio.to_thread(self._store.acknowledge, fault_id, by, time.time())
            if acknowledged:
                await self._follow_store()
            return acknowledged

    def _press(self) -> None:
        task = asyncio.get_running_loop().create_task(self._acknowledge_all())
        self._presses.add(task)
        task.add_done_callback(self._presses.discard)

    async def _acknowledge_all(self) -> None:
        try:
            await self.acknowledge(None, "button")
        except StoreError as error:
            _log.error("the button was pressed, but: %s", error)

    async def _follow_store(self) -> None:
        alarms = await asyncio.to_thread(self._store.open_alarms)
        self._open = tuple(alarm.received for alarm in alarms)
        if alarms:
            self._lamp.blink()
        else:
            self._lamp.rest()
        self._events.publish("alarms", {"unacknowledged": len(alarms)})
