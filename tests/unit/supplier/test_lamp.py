import asyncio
import logging
from collections.abc import Iterator

import pytest
from gpiozero import LED  # type: ignore[import-untyped]
from gpiozero.pins.mock import MockFactory, MockPin  # type: ignore[import-untyped]

from lightest_agents.supplier import lamp as lamps
from lightest_agents.supplier.lamp import Lamp, LampError, panel
from lightest_agents.supplier.settings import LampSettings


@pytest.fixture
def factory() -> Iterator[MockFactory]:
    factory = MockFactory()
    yield factory
    factory.close()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lamps, "HALF_PERIOD", 0.005)


class Watcher:
    """Notes what the pin was at each change that the lamp tells, and waits for as many as a test wants."""

    def __init__(self, lamp: Lamp) -> None:
        self._lamp = lamp
        self._seen: asyncio.Queue[tuple[bool, bool]] = asyncio.Queue()
        lamp.changed = lambda: self._seen.put_nowait((lamp.lit, lamp.blinking))

    async def next(self) -> tuple[bool, bool]:
        async with asyncio.timeout(5):
            return await self._seen.get()


async def test_a_blinking_lamp_goes_on_and_off_and_says_so_each_time(
    factory: MockFactory, quick: None
) -> None:
    lamp = Lamp(LED(17, pin_factory=factory))
    watcher = Watcher(lamp)
    assert (lamp.lit, lamp.blinking) == (False, False)
    lamp.blink()
    assert [await watcher.next() for _ in range(4)] == [(True, True), (False, True)] * 2
    lamp.rest()
    assert (lamp.lit, lamp.blinking) == (False, False)


async def test_a_lamp_at_rest_stays_dark(factory: MockFactory, quick: None) -> None:
    lamp = Lamp(LED(17, pin_factory=factory))
    watcher = Watcher(lamp)
    lamp.blink()
    assert await watcher.next() == (True, True)
    lamp.rest()
    assert await watcher.next() == (False, False)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):  # ten beats
            await watcher.next()


async def test_a_second_alarm_does_not_disturb_the_beat(factory: MockFactory) -> None:
    lamp = Lamp(LED(17, pin_factory=factory))
    lamp.blink()
    assert lamp.lit
    lamp.blink()
    assert lamp.lit
    lamp.rest()


class BrokenPin(MockPin):  # type: ignore[misc]
    """A pin that can be read and not be written."""

    broken = False

    def _set_state(self, value: object) -> None:
        if type(self).broken:
            raise OSError("pin lost")
        super()._set_state(value)


async def test_a_pin_that_fails_is_told_once_and_heals(
    quick: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    factory = MockFactory(pin_class=BrokenPin)
    lamp = Lamp(LED(17, pin_factory=factory))
    watcher = Watcher(lamp)
    monkeypatch.setattr(BrokenPin, "broken", True)
    lamp.blink()
    for _ in range(3):
        assert await watcher.next() == (False, True)
    assert not lamp.working
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    monkeypatch.setattr(BrokenPin, "broken", False)
    while not (await watcher.next())[0]:
        pass
    assert lamp.working
    lamp.rest()
    factory.close()


async def test_the_button_is_heard_in_the_event_loop(
    factory: MockFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lamps, "MockFactory", lambda: factory)
    monkeypatch.setattr(lamps, "_BOUNCE", None)
    pressed = asyncio.Event()
    with panel(LampSettings(pin=17, button=27, driver="mock")) as lamp:
        lamp.pressed = pressed.set
        await asyncio.to_thread(factory.pin(27).drive_low)
        async with asyncio.timeout(5):
            await pressed.wait()


async def test_the_pin_is_dark_and_free_after_the_panel(
    factory: MockFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lamps, "MockFactory", lambda: factory)
    with panel(LampSettings(driver="mock")) as lamp:
        pin = factory.pin(17)
        lamp.blink()
        assert pin.state
    assert [bool(state.state) for state in pin.states] == [False, True, False]


async def test_a_machine_without_pins_is_told_what_to_set() -> None:
    with pytest.raises(LampError, match='driver = "mock"'), panel(LampSettings(driver="gpio")):
        pass
