"""The document of the reason codes says what the code says."""

from pathlib import Path

from lightest_agents.trust.verdict import Reason

DOCUMENT = Path(__file__).parents[3] / "docs/reasons.md"


def test_every_reason_is_documented_and_nothing_else() -> None:
    rows = [line for line in DOCUMENT.read_text().splitlines() if "| `" in line]
    assert rows == [
        f"| {reason.step:d} {reason.step.word} | `{reason}` | {reason.outcome} | {reason.meaning} |"
        for reason in Reason
    ]
