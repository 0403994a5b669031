#!/usr/bin/env python3
"""Sum up what all pytest runs of one `make test` have written as JUnit XML; the last line is the verdict.

A step's reports are those whose names begin with the step's.
"""

import argparse
import sys
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Count:
    """Numbers of test cases of one run; an error outside a test's body counts as failed."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0

    def __add__(self, other: "Count") -> "Count":
        """Add case by case."""
        return Count(self.passed + other.passed, self.failed + other.failed, self.skipped + other.skipped)

    def __str__(self) -> str:
        """Read as pytest's own summary."""
        return f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped"


def count(report: Path) -> Count:
    """Count the test cases of one JUnit report; a report that cannot be read is one failure."""
    try:
        cases = list(ElementTree.parse(report).iter("testcase"))  # noqa: S314  our own pytest wrote it
    except ElementTree.ParseError:
        return Count(failed=1)
    failed = sum(case.find("failure") is not None or case.find("error") is not None for case in cases)
    skipped = sum(case.find("skipped") is not None for case in cases)
    return Count(passed=len(cases) - failed - skipped, failed=failed, skipped=skipped)


def main() -> int:
    """Print one line for each report and step that failed, then the sum; return 1 when anything failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="where the pytest runs write their *.xml")
    parser.add_argument("--failed-step", action="append", default=[], help="a step that failed as a whole")
    arguments = parser.parse_args()

    counts = {report.stem: count(report) for report in sorted(arguments.folder.glob("*.xml"))}
    for name, counted in counts.items():
        print(f"{name}: {counted}")
    for step in arguments.failed_step:
        print(f"{step}: FAILED")
        # A step may fail without a failing test, such as lint or a play that stops: that is a failure too.
        if not any(counted.failed for name, counted in counts.items() if name.startswith(step)):
            counts[step] = counts.get(step, Count()) + Count(failed=1)
    total = sum(counts.values(), Count())
    if total.passed == 0 and total.failed == 0:
        print(f"no test has run: {arguments.folder} holds no reports")
        total = Count(failed=1)
    print(f"{total.passed} passed, {total.failed} failed")
    return 1 if total.failed else 0


if __name__ == "__main__":
    sys.exit(main())
