"""What the module trust_zone costs alone, without Ansible, on a zone of a small and of a large fleet.

    python -m benchmarks.zone [--sizes 10 100000]

A named of its own on loopback for each size, one PTR for each sensor. The additions of one sensor are
interleaved, so that what else the machine does hits all sizes alike; medians and their ratios are printed.
"""

import argparse
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table

PROJECT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(PROJECT), str(PROJECT / "library")]

import trust_zone  # noqa: E402
from tests.integration.conftest import NameServer, Operator  # noqa: E402

ADDITIONS = 25


@dataclass(slots=True)
class Fleet:
    """One zone under measurement; seconds throughout."""

    sensors: int
    server: NameServer
    operator: Operator
    load: float = 0.0
    load_named: float = 0.0
    idle: float = 0.0
    add: list[float] = field(default_factory=list)
    add_dns: list[float] = field(default_factory=list)

    def apply(self) -> tuple[float, float]:
        """Run the module; its time as a whole and for the DNS exchanges."""
        parameters = self.operator.params()
        started = time.perf_counter()
        result = trust_zone.run(parameters, False)
        return time.perf_counter() - started, float(str(result["dns_seconds"]))

    def named_seconds(self) -> float:
        """CPU time of named so far."""
        if self.server.process is None:
            return 0.0
        fields = Path(f"/proc/{self.server.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / 100


def main() -> None:
    """Load each zone, then add sensors to all in turn."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", type=int, nargs="+", default=[10, 100_000])
    with tempfile.TemporaryDirectory() as folder:
        fleets = [prepare(Path(folder) / str(size), size) for size in parser.parse_args().sizes]
        try:
            for number in range(ADDITIONS):
                for fleet in fleets:
                    fleet.operator.lines += fleet.operator.sensor(f"new-{number}")
                    seconds, dns_seconds = fleet.apply()
                    fleet.add.append(seconds)
                    fleet.add_dns.append(dns_seconds)
        finally:
            for fleet in fleets:
                fleet.server.stop()
    report(fleets)


def prepare(home: Path, sensors: int) -> Fleet:
    """A zone that holds so many sensors."""
    home.mkdir()
    server = NameServer(home)
    server.start()
    fleet = Fleet(sensors, server, Operator(server, home))
    for number in range(sensors):
        fleet.operator.lines += fleet.operator.sensor(f"press-{number}")
    fleet.load, _ = fleet.apply()
    fleet.load_named = fleet.named_seconds()
    fleet.idle, _ = fleet.apply()
    return fleet


def report(fleets: list[Fleet]) -> None:
    """Print milliseconds and ratios to the first size."""
    table = Table(title=f"trust_zone alone, medians of {ADDITIONS} interleaved additions")
    for heading in ("sensors", "first load", "named's CPU", "no change"):
        table.add_column(heading, justify="right")
    for heading in ("add one: DNS work", "÷ first", "add one: all", "÷ first"):
        table.add_column(heading, justify="right")
    dns_base, all_base = (statistics.median(each) for each in (fleets[0].add_dns, fleets[0].add))
    for fleet in fleets:
        dns_seconds, seconds = statistics.median(fleet.add_dns), statistics.median(fleet.add)
        table.add_row(
            f"{fleet.sensors:,}",
            f"{fleet.load:.2f} s",
            f"{fleet.load_named:.2f} s",
            f"{fleet.idle * 1000:.0f} ms",
            f"{dns_seconds * 1000:.1f} ms",
            f"{dns_seconds / dns_base:.2f}",
            f"{seconds * 1000:.0f} ms",
            f"{seconds / all_base:.1f}",
        )
    Console(width=140).print(table)


if __name__ == "__main__":
    main()
