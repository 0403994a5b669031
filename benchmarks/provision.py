"""What a cluster costs to build, to leave alone and to grow, for fleets of several sizes; printed as ratios.

    python benchmarks/provision.py [--sizes 10 10000 100000]

One lab host plays every role but the agents'. For each size it is made anew, with no package cached; then
`site.yml` runs for the first time, with nothing to do, and three times with one more sensor each (medians).
Only ratios carry over to other machines.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

PROJECT = Path(__file__).resolve().parents[1]
COUNTRY = "germany.raspidemo"
CONTAINER = "lightest-bench-pi"
ADDITIONS = 3


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a playbook: its seconds, the controller's memory at its peak, what trust_zone returned."""

    seconds: float
    mebibytes: float
    changed: int
    zone: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Figures:
    """What was measured for one size."""

    sensors: int
    first: Run
    named_seconds: float
    idle: Run
    grow: list[Run]

    def median(self, field: str) -> float:
        """The median over the runs that added a sensor."""
        return float(statistics.median(getattr(run, field) for run in self.grow))

    @property
    def dns(self) -> float:
        """Seconds of DNS work to add one sensor, the median."""
        return float(statistics.median(run.zone["dns_seconds"] for run in self.grow))


def memory_of_tree(root: int) -> float:
    """Proportional set size of a process and its descendants, in MiB."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            first, _, rest = stat.read_text().partition(" (")
        except OSError:
            continue
        children.setdefault(int(rest.rpartition(")")[2].split()[1]), []).append(int(first))
    total, todo = 0, [root]
    while todo:
        pid = todo.pop()
        todo += children.get(pid, [])
        try:
            rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
        except OSError:
            continue
        total += sum(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))
    return total / 1024


def play(inventory: Path, playbook: str) -> Run:
    """Run a playbook and measure it."""
    record = inventory / ".record.json"
    environment = {
        "ANSIBLE_CALLBACK_PLUGINS": str(PROJECT / "benchmarks" / "callbacks"),
        "ANSIBLE_CALLBACKS_ENABLED": "record",
        "BENCHMARK_RECORD": str(record),
    }
    started = time.monotonic()
    with (inventory / ".log").open("w") as log:
        process = subprocess.Popen(
            ["ansible-playbook", "-i", str(inventory), "--skip-tags", "agent", playbook],
            cwd=PROJECT,
            env={**os.environ, **environment},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        peak = 0.0

        def watch() -> None:
            nonlocal peak
            while process.poll() is None:
                peak = max(peak, memory_of_tree(process.pid))
                time.sleep(0.3)

        watcher = threading.Thread(target=watch)
        watcher.start()
        process.wait()
        watcher.join()
    seconds = time.monotonic() - started
    if process.returncode != 0:
        sys.exit(f"{playbook} failed:\n{(inventory / '.log').read_text()[-4000:]}")
    recorded = json.loads(record.read_text())
    zone: dict[str, Any] = next((each for each in recorded["zones"] if each["zone"] == COUNTRY), {})
    return Run(seconds, peak, recorded["changed"], zone)


def named_seconds() -> float:
    """CPU time of named since it was started."""
    shown = subprocess.run(
        [PROJECT / "lab" / "podman", "exec", CONTAINER, "systemctl", "show", "-P", "CPUUsageNSec", "named"],
        check=True,
        capture_output=True,
        text=True,
    )
    return int(shown.stdout) / 1e9


def sensor(number: int) -> str:
    """One row of the fleet's CSV, with a fixed address."""
    return f"press-{number},acme,repairs,10.{128 + number // 65536}.{number // 256 % 256}.{number % 256}\n"


def measure(inventory: Path, sensors: int) -> Figures:
    """Build a cluster of one host with so many sensors, and grow it."""
    play(inventory, "playbooks/lab_down.yml")
    shutil.rmtree(inventory.parent / "apt", ignore_errors=True)
    (inventory.parent / "apt" / "debian13").mkdir(parents=True)
    fleet = inventory / "countries" / "germany.csv"
    fleet.write_text("name,manufacturer,suppliers,ipv4\n" + "".join(map(sensor, range(sensors))))
    play(inventory, "playbooks/lab.yml")
    first = play(inventory, "site.yml")
    named = named_seconds()
    idle = play(inventory, "site.yml")
    grow = []
    for number in range(sensors, sensors + ADDITIONS):
        with fleet.open("a") as rows:
            rows.write(sensor(number))
        grow.append(play(inventory, "site.yml"))
    play(inventory, "playbooks/lab_down.yml")
    return Figures(sensors, first, named, idle, grow)


def prepare(folder: Path) -> Path:
    """The inventory of a lab of one host, apart from all others."""
    inventory = folder / "inventory"
    shutil.copytree(PROJECT / "molecule" / "single" / "inventory", inventory)
    for path in inventory.rglob("*.yml"):
        text = path.read_text().replace("10.55.", "10.56.").replace("fd55::", "fd56::")
        text = (
            text.replace("lightest-single", "lightest-bench")
            .replace("ksk-zsk", "csk")
            .replace("nsec3", "nsec")
        )
        lines = [
            f"lab_folder: {PROJECT}/.lab" if line.startswith("lab_folder:") else line
            for line in text.splitlines()
        ]
        path.write_text("\n".join(lines) + "\n")
    with (inventory / "group_vars" / "all" / "lab.yml").open("a") as settings:
        settings.write(f"lab_apt_cache: {folder}/apt\n")
    return inventory


def report(figures: list[Figures]) -> None:
    """Print seconds, and beside them what they are in proportion."""
    base = figures[0]
    table = Table(title="One host in every role; PTR and A for each sensor")
    for column in ("sensors", "first run", "named's CPU", "no change", "÷ first", "changed"):
        table.add_column(column, justify="right")
    for column in (
        "one more",
        f"÷ {base.sensors}",
        "its DNS work",
        f"÷ {base.sensors}",
        "messages",
        "memory",
    ):
        table.add_column(column, justify="right")
    for each in figures:
        table.add_row(
            f"{each.sensors:,}",
            f"{each.first.seconds:.1f} s",
            f"{each.named_seconds:.1f} s",
            f"{each.idle.seconds:.1f} s",
            f"{each.idle.seconds / each.first.seconds:.2f}",
            str(each.idle.changed),
            f"{each.median('seconds'):.1f} s",
            f"{each.median('seconds') / base.median('seconds'):.2f}",
            f"{each.dns * 1000:.1f} ms",
            f"{each.dns / base.dns:.2f}",
            str(each.grow[-1].zone["messages"]),
            f"{max(run.mebibytes for run in (each.first, each.idle, *each.grow)):.0f} MiB",
        )
    Console(width=160).print(table)


def main() -> None:
    """Measure each size in turn."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", type=int, nargs="+", default=[10, 10_000, 100_000])
    sizes = parser.parse_args().sizes
    with tempfile.TemporaryDirectory() as folder:
        inventory = prepare(Path(folder))
        figures = []
        for size in sizes:
            figures.append(measure(inventory, size))
            report(figures)


if __name__ == "__main__":
    main()
