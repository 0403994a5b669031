"""The chain and a table of faults for a terminal, and as plain text for a pipe."""

from collections.abc import Sequence
from datetime import datetime

from rich.box import ROUNDED
from rich.console import Console
from rich.table import Table
from rich.text import Text

from lightest_agents.trust.verdict import LinkState, Reason, Trace
from lightest_agents.verifier.store import Fault, State

_PLAIN_WIDTH = 240
_STYLES = {
    LinkState.HELD: "green",
    LinkState.BROKEN: "red",
    LinkState.WAITING: "yellow",
    LinkState.NOT_REACHED: "dim",
}
_STATE_STYLES = {State.ACCEPTED: "green", State.REJECTED: "red"}


def make_console() -> Console:
    """The console of standard output; a pipe gets plain text that is not cut to a screen's width."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=_PLAIN_WIDTH, no_color=True)


def print_trace(console: Console, trace: Trace) -> None:
    """The chain in one line, then a line for each link, then what a refusal means."""
    signs = Text(" ").join(Text(link.state.sign, style=_STYLES[link.state]) for link in trace.links)
    console.print(signs)
    table = _table(console, "link", "state", "ms", "what was seen")
    for link in trace.links:
        table.add_row(
            link.step.word,
            Text(link.state.value, style=_STYLES[link.state]),
            "" if link.milliseconds is None else f"{link.milliseconds:.1f}",
            Text(link.detail),
        )
    console.print(table)
    for link in trace.links:
        if link.reason is not None:
            print_reason(console, link.reason)


def print_reason(console: Console, reason: Reason) -> None:
    """A reason code and what it means."""
    console.print(Text(f"{reason.value}: {reason.meaning}"), soft_wrap=True)


def print_verdict(console: Console, fault: Fault) -> None:
    """What became of a fault, in one line."""
    if fault.state is State.ACCEPTED:
        words = f"accepted; {fault.supplier} has the alarm"
    elif fault.state is State.DEFERRED and fault.next_attempt is not None:
        words = f"deferred after {_times(fault.attempts)}; tried again at {_moment(fault.next_attempt)}"
    elif fault.state is State.RECEIVED:
        words = "received; its chain has not been walked yet"
    else:
        words = fault.state.value
    console.print(Text(f"{fault.id} of {fault.claim}: {words}", style=_style(fault.state)), soft_wrap=True)


def print_faults(console: Console, faults: Sequence[Fault]) -> None:
    """One line for each fault."""
    table = _table(console, "fault", "received", "claim", "verdict", "reason or supplier")
    for fault in faults:
        table.add_row(
            fault.id,
            _moment(fault.received),
            fault.claim,
            Text(fault.state.value, style=_style(fault.state)),
            fault.reason.value if fault.reason else fault.supplier or "",
        )
    console.print(table)


def _table(console: Console, *headings: str) -> Table:
    table = Table(
        box=ROUNDED if console.is_terminal else None, pad_edge=console.is_terminal, header_style="bold"
    )
    for heading in headings:
        table.add_column(heading, overflow="fold", justify="right" if heading == "ms" else "left")
    return table


def _style(state: State) -> str:
    return f"bold {_STATE_STYLES.get(state, 'yellow')}"


def _times(count: int) -> str:
    return "1 attempt" if count == 1 else f"{count} attempts"


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M:%S")
