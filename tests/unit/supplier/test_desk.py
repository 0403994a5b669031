import asyncio
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from lightest_agents.supplier import lamp as lamps
from lightest_agents.supplier.desk import Desk
from lightest_agents.supplier.events import Broadcast, Stream, encode
from lightest_agents.supplier.lamp import Lamp, panel
from lightest_agents.supplier.settings import LampSettings
from lightest_agents.supplier.store import AlarmStore, StoredAlarm
from tests.unit.supplier.alarms import make_alarm

FIRST, SECOND = make_alarm(1), make_alarm(2)


@pytest.fixture
async def lamp(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Lamp]:
    monkeypatch.setattr(lamps, "HALF_PERIOD", 0.005)
    with panel(LampSettings(driver="mock")) as lamp:
        yield lamp


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[AlarmStore]:
    store = AlarmStore(tmp_path)
    yield store
    store.close()


@pytest.fixture
async def events() -> Broadcast:
    return Broadcast(1)


@pytest.fixture
async def desk(store: AlarmStore, lamp: Lamp, events: Broadcast) -> Desk:
    desk = Desk(store, lamp, events)
    await desk.refresh()
    return desk


async def until(stream: Stream, wanted: bytes) -> None:
    async with asyncio.timeout(5):
        while await stream.get() != wanted:
            pass


async def test_the_lamp_blinks_until_the_last_alarm_is_acknowledged(desk: Desk) -> None:
    assert not desk.lamp.blinking
    assert await desk.take(FIRST, b"1")
    assert await desk.take(SECOND, b"2")
    assert (desk.lamp.blinking, desk.lamp.unacknowledged) == (True, 2)
    assert await desk.acknowledge(FIRST.fault_id, "page") == (FIRST.fault_id,)
    assert (desk.lamp.blinking, desk.lamp.unacknowledged) == (True, 1)
    assert await desk.acknowledge(None, "page") == (SECOND.fault_id,)
    assert (desk.lamp.blinking, desk.lamp.lit, desk.lamp.since) == (False, False, None)


async def test_an_alarm_that_comes_again_does_not_wake_the_lamp(desk: Desk) -> None:
    await desk.take(FIRST, b"1")
    await desk.acknowledge(None, "page")
    assert not await desk.take(FIRST, b"1")
    assert not desk.lamp.blinking


async def test_an_alarm_left_open_blinks_again_after_a_restart(
    store: AlarmStore, lamp: Lamp, events: Broadcast
) -> None:
    store.add(FIRST, b"1", 1000.0)
    desk = Desk(store, lamp, events)
    await desk.refresh()
    assert (desk.lamp.blinking, desk.lamp.since) == (True, 1000.0)


class SlowStore(AlarmStore):
    """A store that, once asked to, keeps the answer to one question until it may give it."""

    asked: threading.Event | None = None

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.may_answer = threading.Event()

    def open_alarms(self) -> tuple[StoredAlarm, ...]:
        found = super().open_alarms()
        if self.asked is not None and not self.asked.is_set():
            self.asked.set()
            self.may_answer.wait(5)
        return found


async def test_an_alarm_that_comes_in_the_middle_of_an_acknowledgement_blinks(
    tmp_path: Path, lamp: Lamp, events: Broadcast
) -> None:
    """Otherwise what the store said before it came would darken the lamp over it."""
    store = SlowStore(tmp_path)
    desk = Desk(store, lamp, events)
    await desk.take(FIRST, b"1")
    store.asked = threading.Event()
    acknowledging = asyncio.create_task(desk.acknowledge(None, "page"))
    assert await asyncio.to_thread(store.asked.wait, 5)
    taking = asyncio.create_task(desk.take(SECOND, b"2"))
    await asyncio.wait({taking}, timeout=0.2)
    store.may_answer.set()
    await asyncio.gather(acknowledging, taking)
    assert (desk.lamp.blinking, desk.lamp.unacknowledged) == (True, 1)
    store.close()


async def test_the_button_acknowledges_everything(desk: Desk, lamp: Lamp, store: AlarmStore) -> None:
    await desk.take(FIRST, b"1")
    await desk.take(SECOND, b"2")
    dark = asyncio.Event()
    lamp.changed = lambda: None if lamp.blinking else dark.set()
    lamp.pressed()
    async with asyncio.timeout(5):
        await dark.wait()
    assert {kept.acknowledged_by for kept in store.acknowledged_alarms(10)} == {"button"}


async def test_listeners_hear_of_alarms_and_see_each_beat(desk: Desk, events: Broadcast) -> None:
    with events.listen() as stream:
        await desk.take(FIRST, b"1")
        await until(stream, encode("alarms", {"unacknowledged": 1}))
        beats: list[bool] = []
        while len(beats) < 4:
            message = await stream.get()
            assert message is not None
            beats.append(b'"lit": true' in message)
        assert beats in ([False, True] * 2, [True, False] * 2)
        await desk.acknowledge(None, "page")
        await until(stream, encode("alarms", {"unacknowledged": 0}))
