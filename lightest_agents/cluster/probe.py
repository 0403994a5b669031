"""Reads the health of the host it runs on; prints one JSON object.

Sent over SSH as text and run by that host's own Python 3.11 or newer as root, so it uses nothing but the
standard library. Arguments: the services to look at, `--`, the zones that the host's name server serves.
"""

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

_ANCHOR = Path("/etc/unbound/trust-anchor.key")
_DISKS = ("/", "/var/lib")


def run(*command: str) -> tuple[int, str]:
    """Exit code and output of a command; 127 when it is not there or takes longer than 10 s."""
    try:
        done = subprocess.run(  # noqa: S603 -- fixed commands, no shell
            command, capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return 127, str(error)
    return done.returncode, done.stdout or done.stderr


def service_state(unit: str) -> str:
    """`active`, `failed`, `inactive`, `not installed`, or `not possible` where the machine cannot run it.

    A container cannot set the clock, so systemd skips the time service there by that unit's own condition;
    a kernel without packet filter has no firewall.
    """
    wanted = "LoadState,ActiveState,ConditionResult,ConditionTimestampMonotonic"
    _, output = run("systemctl", "show", f"--property={wanted}", f"{unit}.service")
    values = dict(line.split("=", 1) for line in output.splitlines() if "=" in line)
    state = values.get("ActiveState", "unknown")
    skipped = values.get("ConditionResult") == "no" and values.get("ConditionTimestampMonotonic") != "0"
    if state == "inactive" and skipped:
        return "not possible"
    if (
        state != "active"
        and unit == "nftables"
        and shutil.which("nft")
        and run("nft", "list", "tables")[0] != 0
    ):
        return "not possible"
    return "not installed" if values.get("LoadState") == "not-found" else state


def units(name: str) -> list[str]:
    """`name`, or, where it has a `*`, the services that match it and are not merely known by name."""
    if "*" not in name:
        return [name]
    _, output = run("systemctl", "list-units", "--all", "--plain", "--no-legend", "--full", f"{name}.service")
    return [line.split()[0].removesuffix(".service") for line in output.splitlines() if line.strip()]


def failed_units() -> list[str]:
    """The units that systemd calls failed."""
    _, output = run("systemctl", "list-units", "--state=failed", "--plain", "--no-legend", "--full")
    return [line.split()[0] for line in output.splitlines() if line.strip()]


def disk_use() -> dict[str, float]:
    """By path, per cent of the space that ordinary users may fill; each file system once."""
    use = {}
    devices = {Path(path).stat().st_dev: path for path in reversed(_DISKS)}
    for path in reversed(devices.values()):
        usage = shutil.disk_usage(path)
        use[path] = round(100 * usage.used / max(1, usage.used + usage.free), 1)
    return use


def clock_is_synchronized() -> bool | None:
    """Whether the kernel's clock follows a time server; None when unknown."""
    code, output = run("timedatectl", "show", "--property=NTPSynchronized", "--value")
    return output.strip() == "yes" if code == 0 else None


def uptime() -> float:
    """Seconds since PID 1 started, which in a container is not when the kernel did."""
    ticks = int(Path("/proc/1/stat").read_text().rsplit(")", 1)[1].split()[19])
    since_boot = float(Path("/proc/uptime").read_text().split()[0])
    return round(since_boot - ticks / 100, 1)


def zone_status(zone: str) -> dict[str, str]:
    """What `rndc zonestatus` says, by its own words; `error` when it fails."""
    code, output = run("rndc", "zonestatus", zone)
    if code != 0:
        return {"error": output.strip()}
    return dict(line.split(": ", 1) for line in output.splitlines() if ": " in line)


def main(arguments: list[str]) -> dict[str, Any]:
    """The whole report; `started` and `ended` are Unix times in seconds."""
    started = time.time()
    split = arguments.index("--")
    report = {
        "started": started,
        "services": {unit: service_state(unit) for name in arguments[:split] for unit in units(name)},
        "failed_units": failed_units(),
        "disks": disk_use(),
        "synchronized": clock_is_synchronized(),
        "uptime": uptime(),
        "anchor": _ANCHOR.read_text() if _ANCHOR.exists() else None,
        "zones": {zone: zone_status(zone) for zone in arguments[split + 1 :]},
    }
    report["ended"] = time.time()
    return report


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1:])))
