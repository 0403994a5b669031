"""Thermometers: the DS18B20 of the 1-wire bus, a simulation, a file and a command."""

import asyncio
import json
import math
import os
import re
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import IO, Protocol

from lightest_agents.sensor.errors import ThermometerError
from lightest_agents.sensor.settings import (
    CommandSettings,
    Ds18b20Settings,
    FileSettings,
    SensorSettings,
    SimulatedSettings,
)
from lightest_agents.service.files import write_whole

_ABSOLUTE_ZERO = -273.15
_DS18B20_RANGE = (-55.0, 125.0)
_DS18B20_POWER_ON = 85_000
_DS18B20_LINES = re.compile(
    r"(?:[0-9a-f]{2} ){9}: crc=[0-9a-f]{2} (?P<crc>YES|NO)\n"
    r"(?:[0-9a-f]{2} ){9}t=(?P<thousandths>-?[0-9]{1,6})\n"
)
_MAX_BYTES = 1000
"""More than any thermometer says."""


class Thermometer(Protocol):
    """Whatever tells a temperature."""

    async def read(self) -> float:
        """The temperature in °C.

        Raises:
            ThermometerError: there is none to be had now; the next attempt may succeed.
        """


def make_thermometer(settings: SensorSettings) -> Thermometer:
    """The thermometer that the settings describe."""
    match settings.thermometer:
        case Ds18b20Settings(device=device, folder=folder):
            return Ds18b20(folder, device)
        case SimulatedSettings(celsius=celsius):
            return Simulated(celsius, settings.override)
        case FileSettings(path=path):
            return NumberFile(path)
        case CommandSettings(argv=argv, timeout=timeout):
            return Command(argv, timeout)


class Ds18b20:
    """A DS18B20, read through the kernel's `w1_slave` file (w1_therm in the kernel's documentation)."""

    def __init__(self, folder: Path, device: str | None) -> None:
        """Read the device of this id, or the only one in `folder`."""
        self._folder = folder
        self._device = device

    async def read(self) -> float:
        """The temperature; the conversion takes the device 0.75 s.

        Raises:
            ThermometerError: there is no such device, or no one device, or what it says is damaged.
        """
        return await asyncio.to_thread(self._read)

    def _read(self) -> float:
        path = self._folder / (self._device or self._only_device()) / "w1_slave"
        found = _DS18B20_LINES.fullmatch(_text(path))
        if found is None or found["crc"] != "YES":
            raise ThermometerError(f"{path}: the reading is damaged; check the wires and the 4.7 kΩ resistor")
        thousandths = int(found["thousandths"])
        if thousandths == _DS18B20_POWER_ON:
            raise ThermometerError(f"{path}: has lost its power and not measured yet; check the wires")
        lowest, highest = _DS18B20_RANGE
        if not lowest <= thousandths / 1000 <= highest:
            raise ThermometerError(f"{path}: {thousandths / 1000} °C is beyond what a DS18B20 can measure")
        return thousandths / 1000

    def _only_device(self) -> str:
        found = sorted(path.name for path in self._folder.glob("28-*"))
        if not found:
            raise ThermometerError(
                f"{self._folder}: no DS18B20 is on the bus; enable it (dtoverlay=w1-gpio), check the wires"
            )
        if len(found) > 1:
            raise ThermometerError(
                f"{self._folder}: several DS18B20 are on the bus; set `device` to one of {', '.join(found)}"
            )
        return found[0]


class Simulated:
    """A smooth curve that wanders by less than 1.5 °C around its centre, unless it is overridden."""

    def __init__(self, celsius: float, override: Path) -> None:
        """Wander around `celsius`; look for what overrides it in the file `override`."""
        self._celsius = celsius
        self._override = override

    async def read(self) -> float:
        """The temperature now.

        Raises:
            ThermometerError: the override cannot be read.
        """
        now = time.time()
        heated = read_override(self._override, now)
        return round(self._curve(now), 3) if heated is None else heated

    def _curve(self, now: float) -> float:
        # A day, some minutes of machine, and periods that never meet again in place of noise.
        waves = ((1.0, 86400.0), (0.3, 600.0), (0.06, 37.3), (0.04, 5.9))
        return self._celsius + sum(height * math.sin(math.tau * now / period) for height, period in waves)


def write_override(path: Path, celsius: float, until: float) -> None:
    """Make a simulated thermometer say `celsius` until a time in seconds since the epoch.

    Raises:
        ThermometerError: the file cannot be written.
    """
    try:
        write_whole(path, json.dumps({"celsius": celsius, "until": until}).encode())
    except OSError as error:
        raise ThermometerError(f"{path} cannot be written: {error.strerror}") from error


def read_override(path: Path, now: float) -> float | None:
    """What a simulated thermometer shall say now; None when it may say what it likes.

    Raises:
        ThermometerError: the file is there and cannot be read.
    """
    if not path.exists():
        return None
    try:
        values = json.loads(_text(path))
        celsius, until = float(values["celsius"]), float(values["until"])
    except (ValueError, TypeError, KeyError) as error:
        raise ThermometerError(f"{path}: is damaged; remove it") from error
    return _plausible(celsius, str(path)) if now < until else None


class NumberFile:
    """A file that holds one number, in °C."""

    def __init__(self, path: Path) -> None:
        """Read the file `path`."""
        self._path = path

    async def read(self) -> float:
        """The number in the file.

        Raises:
            ThermometerError: the file cannot be read, or there is something else in it.
        """
        return _number(_text(self._path), str(self._path))


class Command:
    """A program that prints one number, in °C."""

    def __init__(self, argv: tuple[str, ...], timeout: float) -> None:
        """Run `argv`, for `timeout` seconds at most."""
        self._argv = argv
        self._timeout = timeout

    async def read(self) -> float:
        """The number that the program prints.

        Raises:
            ThermometerError: it cannot be run, fails, takes too long or prints something else.
        """
        program = self._argv[0]
        try:
            async with asyncio.timeout(self._timeout):
                output, status = await self._run()
        except TimeoutError as error:
            raise ThermometerError(f"{program}: took more than {self._timeout:g} s") from error
        except (OSError, ValueError) as error:
            raise ThermometerError(f"{program}: cannot be run: {error}") from error
        if status != 0:
            raise ThermometerError(f"{program}: failed with exit code {status}")
        return _number(output.decode(errors="replace"), program)

    async def _run(self) -> tuple[bytes, int]:
        # A pipe of asyncio's own would let whoever has inherited it keep us waiting after the program's end.
        read_end, write_end = os.pipe()
        with os.fdopen(read_end, "rb", buffering=0) as pipe:
            try:
                process = await asyncio.create_subprocess_exec(
                    *self._argv,
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=write_end,
                    stderr=asyncio.subprocess.DEVNULL,
                    start_new_session=True,
                )
            finally:
                os.close(write_end)
            try:
                return await _read_some(pipe), await process.wait()
            finally:
                with suppress(ProcessLookupError):  # with all that it has started
                    os.killpg(process.pid, signal.SIGKILL)
                await process.wait()


async def _read_some(pipe: IO[bytes]) -> bytes:
    """What comes out of a pipe, up to about a limit; then it is closed, so that nobody can write any more."""
    reader = asyncio.StreamReader()
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), pipe
    )
    try:
        content = b""
        while len(content) < _MAX_BYTES and (more := await reader.read(_MAX_BYTES)):
            content += more
        return content
    finally:
        transport.close()


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(_MAX_BYTES).decode()
    except OSError as error:
        raise ThermometerError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ThermometerError(f"{path}: is no text") from error


def _number(text: str, source: str) -> float:
    try:
        return _plausible(float(text), source)
    except ValueError as error:
        raise ThermometerError(f"{source}: {text[:40]!r} is no temperature") from error


def _plausible(celsius: float, source: str) -> float:
    if not (math.isfinite(celsius) and celsius >= _ABSOLUTE_ZERO):
        raise ThermometerError(f"{source}: {celsius} °C is no temperature")
    return celsius
