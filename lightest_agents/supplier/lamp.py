"""The lamp on the panel: an LED that blinks while an alarm is open, and the button that acknowledges.

What is told about the lamp is read back from its pin after each change, so that a page that follows shows
what the LED does and not what it was asked to do.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from gpiozero import LED, Button  # type: ignore[import-untyped]
from gpiozero.pins import Factory  # type: ignore[import-untyped]
from gpiozero.pins.mock import MockFactory  # type: ignore[import-untyped]

from lightest_agents.errors import LightestError
from lightest_agents.supplier.settings import LampSettings

HALF_PERIOD = 0.5
"""Seconds lit and seconds dark: 1 Hz."""

_BOUNCE = 0.05

_log = logging.getLogger(__name__)


class LampError(LightestError):
    """The pins of the lamp or the button cannot be used."""

    reason = "lamp-unusable"


class Lamp:
    """One LED, dark or blinking; to be used inside a running event loop.

    Attributes:
        changed: called after each change of the pin and after each change between dark and blinking.
        pressed: called at each press of the button.
    """

    def __init__(self, led: LED) -> None:
        """Drive `led`, which is dark."""
        self._led = led
        self._timer: asyncio.TimerHandle | None = None
        self._failed = False
        self.changed: Callable[[], None] = lambda: None
        self.pressed: Callable[[], None] = lambda: None

    @property
    def lit(self) -> bool:
        """Whether the pin is on now."""
        return bool(self._led.value)

    @property
    def blinking(self) -> bool:
        """Whether the lamp is being blinked."""
        return self._timer is not None

    @property
    def working(self) -> bool:
        """Whether the pin did what was asked of it the last time."""
        return not self._failed

    def blink(self) -> None:
        """Blink from now on, beginning lit; a lamp that blinks already goes on in its own time."""
        if self._timer is None:
            self._tick(asyncio.get_running_loop().time())

    def rest(self) -> None:
        """Be dark from now on."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._switch(on=False)

    def _tick(self, due: float) -> None:
        # From when it was due, so that the lamp keeps its pace whatever the event loop is busy with.
        due += HALF_PERIOD
        self._timer = asyncio.get_running_loop().call_at(due, self._tick, due)
        self._switch(on=not self.lit)

    def _switch(self, *, on: bool) -> None:
        try:
            self._led.value = on
        except Exception:  # gpiozero and the libraries below it have no error in common
            if not self._failed:
                _log.exception("the lamp's pin cannot be switched; it is tried again at each beat")
            self._failed = True
        else:
            self._failed = False
        self.changed()


@contextmanager
def panel(settings: LampSettings) -> Iterator[Lamp]:
    """The lamp and, where one is wired, its button; both released at the end.

    Raises:
        LampError: there are no such pins here, or something else holds them.
    """
    loop = asyncio.get_running_loop()
    factory = _factory(settings)
    try:
        led = LED(settings.pin, pin_factory=factory)
        lamp = Lamp(led)
        button = None
        if settings.button is not None:
            button = Button(settings.button, bounce_time=_BOUNCE, pin_factory=factory)
            # gpiozero calls from a thread of its own.
            button.when_pressed = lambda: loop.call_soon_threadsafe(lambda: lamp.pressed())
    except Exception as error:
        factory.close()
        raise LampError(
            f"GPIO pin {settings.pin} cannot be used ({error}); check the wiring, that the service may open "
            "/dev/gpiochip*, and that nothing else holds the pin"
        ) from error
    try:
        yield lamp
    finally:
        lamp.changed = lambda: None
        lamp.rest()
        if button is not None:
            button.close()
        led.close()
        factory.close()


def _factory(settings: LampSettings) -> Factory:
    if settings.driver == "mock":
        return MockFactory()
    try:
        from gpiozero.pins.lgpio import LGPIOFactory  # type: ignore[import-untyped]

        return LGPIOFactory()
    except Exception as error:  # no library, no chip, no permission: each comes as something else
        raise LampError(
            f"this machine has no GPIO pins that can be used ({error}); where there is no LED, set "
            '`driver = "mock"` under [lamp]'
        ) from error
