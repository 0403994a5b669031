"""Thermometers, as the kernel, files and programs really answer."""

import os
import signal
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightest_agents.sensor.errors import ThermometerError
from lightest_agents.sensor.thermometers import (
    Command,
    Ds18b20,
    NumberFile,
    Simulated,
    read_override,
    write_override,
)

GOOD = "91 01 4b 46 7f ff 0c 10 25 : crc=25 YES\n91 01 4b 46 7f ff 0c 10 25 t=25062\n"
DEVICE = "28-0316a2795c1d"


def bus(folder: Path, **devices: str) -> Path:
    for name, text in devices.items():
        (folder / f"28-{name}").mkdir()
        (folder / f"28-{name}" / "w1_slave").write_text(text)
    (folder / "w1_bus_master1").mkdir()
    return folder


async def test_a_ds18b20_is_read_by_its_id_or_as_the_only_one(tmp_path: Path) -> None:
    folder = bus(tmp_path, **{"0316a2795c1d": GOOD})
    assert await Ds18b20(folder, None).read() == 25.062
    assert await Ds18b20(folder, DEVICE).read() == 25.062
    with pytest.raises(ThermometerError, match="cannot be read"):
        await Ds18b20(folder, "28-000000000000").read()


async def test_a_ds18b20_below_zero(tmp_path: Path) -> None:
    folder = bus(tmp_path, a=GOOD.replace("t=25062", "t=-10125"))
    assert await Ds18b20(folder, None).read() == -10.125


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (GOOD.replace("YES", "NO"), "damaged"),
        ("", "damaged"),
        (GOOD[:40], "damaged"),
        (GOOD.replace("t=25062", "t="), "damaged"),
        (GOOD.replace("t=25062", "t=85000"), "lost its power"),
        (GOOD.replace("t=25062", "t=127937"), "beyond what a DS18B20"),
        (GOOD.replace("t=25062", "t=-55125"), "beyond what a DS18B20"),
    ],
)
async def test_a_damaged_reading_of_a_ds18b20_is_no_temperature(
    tmp_path: Path, text: str, complaint: str
) -> None:
    with pytest.raises(ThermometerError, match=complaint):
        await Ds18b20(bus(tmp_path, a=text), None).read()


async def test_a_bus_with_none_or_several_devices_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ThermometerError, match="no DS18B20"):
        await Ds18b20(tmp_path / "missing", None).read()
    with pytest.raises(ThermometerError, match="set `device` to one of 28-a, 28-b"):
        await Ds18b20(bus(tmp_path, b=GOOD, a=GOOD), None).read()


async def test_a_simulated_thermometer_wanders_unless_it_is_heated(tmp_path: Path) -> None:
    thermometer = Simulated(20.0, tmp_path / "heat.json")
    assert abs(await thermometer.read() - 20.0) < 1.5
    write_override(tmp_path / "heat.json", 27.5, time.time() + 60)
    assert await thermometer.read() == 27.5
    write_override(tmp_path / "heat.json", 27.5, time.time() - 1)
    assert abs(await thermometer.read() - 20.0) < 1.5


@given(content=st.binary(max_size=60) | st.sampled_from([b'{"celsius": NaN, "until": 1e99}', b"[]", b"{}"]))
def test_any_override_is_a_temperature_or_a_sentence(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "heat.json"
    path.write_bytes(content)
    with pytest.raises(ThermometerError):
        read_override(path, 0.0)


@pytest.mark.parametrize(("text", "celsius"), [("25.5\n", 25.5), (" -3 ", -3.0), ("2.5e1", 25.0)])
async def test_a_file_with_a_number_is_a_thermometer(tmp_path: Path, text: str, celsius: float) -> None:
    (tmp_path / "t").write_text(text)
    assert await NumberFile(tmp_path / "t").read() == celsius


@pytest.mark.parametrize("content", [b"", b"hot", b"nan", b"inf", b"-300", b"\xff", b"1" * 2000])
async def test_a_file_without_a_number_is_not(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "t").write_bytes(content)
    with pytest.raises(ThermometerError):
        await NumberFile(tmp_path / "t").read()
    with pytest.raises(ThermometerError, match="cannot be read"):
        await NumberFile(tmp_path / "missing").read()


def python(program: str, timeout: float = 20.0) -> Command:
    return Command((sys.executable, "-c", program), timeout)


async def test_a_program_that_prints_a_number_is_a_thermometer() -> None:
    slowly = "import sys,time\nfor sign in '25.25': print(sign, end='', flush=True); time.sleep(0.01)"
    assert await python(slowly).read() == 25.25


@pytest.mark.parametrize(
    ("program", "complaint"),
    [
        ("print('hot')", "'hot.n' is no temperature"),
        ("print(25); raise SystemExit(3)", "failed with exit code 3"),
        ("while True: print(25)", "is no temperature|failed with exit code|took more"),
        ("pass", "'' is no temperature"),
    ],
)
async def test_a_program_that_fails_is_not(program: str, complaint: str) -> None:
    with pytest.raises(ThermometerError, match=complaint):
        await python(program, timeout=5.0).read()


async def test_a_program_that_is_not_there_is_a_sentence() -> None:
    with pytest.raises(ThermometerError, match="cannot be run"):
        await Command(("/nonexistent/thermometer",), 5.0).read()


async def test_nobody_waits_for_ever_for_what_a_program_has_left_behind(tmp_path: Path) -> None:
    """It has the program's output, and a session of its own, so that it is not ended with the program."""
    program = (
        "import subprocess, sys\n"
        "child = subprocess.Popen(['sleep', '600'], start_new_session=True)\n"
        f"open({str(tmp_path / 'pid')!r}, 'w').write(str(child.pid))\n"
        "print(25)"
    )
    try:
        with pytest.raises(ThermometerError, match="took more than 1 s"):
            await python(program, timeout=1.0).read()
    finally:
        os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)


async def test_a_program_that_hangs_is_ended_with_all_it_has_started(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    program = (
        "import os, subprocess, sys, time\n"
        "child = subprocess.Popen(['sleep', '600'])\n"
        f"open({str(pids)!r}, 'w').write(f'{{os.getpid()}} {{child.pid}}')\n"
        "time.sleep(600)"
    )
    with pytest.raises(ThermometerError, match="took more than 1 s"):
        await python(program, timeout=1.0).read()
    for pid in pids.read_text().split():
        deadline = time.monotonic() + 5
        while _runs(int(pid)) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert not _runs(int(pid))


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
