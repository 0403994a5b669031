"""What is known of the seven links while the chain is walked."""

import time
from collections.abc import Mapping
from types import TracebackType

from lightest_agents.trust.verdict import Link, LinkState, Outcome, Refusal, Step, Trace

RECEIVED = "well formed and on the disk; its signature is checked at step 6"
"""What is known of the first link before the walk."""


class Progress:
    """The details of the links that held, and the time that each link took."""

    __slots__ = ("_details", "_seconds")

    def __init__(self, seconds: dict[Step, float] | None = None) -> None:
        """Nothing is known yet, but perhaps the `seconds` spent on some links."""
        self._seconds: dict[Step, float] = {} if seconds is None else seconds
        self._details: dict[Step, str] = {}

    def held(self, step: Step, detail: str) -> None:
        """Note that a link held, and what was seen."""
        self._details[step] = detail

    def held_again(self, details: Mapping[Step, str]) -> None:
        """Note links that hold for a reason known before, which took no time of their own."""
        self._details.update(details)
        for step in details:
            self._seconds.setdefault(step, 0.0)

    def details(self, *steps: Step) -> dict[Step, str]:
        """What was seen of links that held."""
        return {step: self._details[step] for step in steps}

    def timing(self, step: Step) -> "_Timing":
        """A context whose time counts as spent on `step`."""
        return _Timing(self._seconds, step)

    def branch(self) -> "Progress":
        """The same links so far, for one of several ways on; all ways share the time that was spent."""
        branch = Progress(self._seconds)
        branch._details.update(self._details)
        return branch

    def trace(self, refusal: Refusal | None = None, *, given_up: bool = False) -> Trace:
        """The chain as far as it held, up to the link that `refusal` is about, if there is one.

        Args:
            refusal: why the walk ended; the link waits if that may pass, or else is broken.
            given_up: there will be no other attempt, so that nothing waits.
        """
        broken = LinkState.BROKEN
        if refusal is not None and refusal.reason.outcome is Outcome.DEFERRED and not given_up:
            broken = LinkState.WAITING
        return Trace(tuple([self._link(step, refusal, broken) for step in Step]))

    def _link(self, step: Step, refusal: Refusal | None, broken: LinkState) -> Link:
        seconds = self._seconds.get(step)
        milliseconds = None if seconds is None else round(seconds * 1000, 3)
        if refusal is not None and step == refusal.reason.step:
            return Link(step, broken, milliseconds, refusal.detail, refusal.reason)
        reached = refusal is None or step < refusal.reason.step
        if reached and step in self._details:
            return Link(step, LinkState.HELD, milliseconds, self._details[step], None)
        return Link(step, LinkState.NOT_REACHED, None, "", None)


class _Timing:
    """A class, as a generator would take longer than some of what it measures."""

    __slots__ = ("_seconds", "_start", "_step")

    def __init__(self, seconds: dict[Step, float], step: Step) -> None:
        self._seconds = seconds
        self._step = step

    def __enter__(self) -> None:
        self._start = time.perf_counter()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        spent = time.perf_counter() - self._start
        self._seconds[self._step] = self._seconds.get(self._step, 0.0) + spent


def trace_before_walk() -> Trace:
    """The chain of a fault that waits for its first walk."""
    links = [
        Link(Step.SENSOR, LinkState.HELD, None, RECEIVED, None),
        Link(Step.CLAIM, LinkState.WAITING, None, "waits for its turn", None),
    ]
    links += [Link(step, LinkState.NOT_REACHED, None, "", None) for step in Step if step > Step.CLAIM]
    return Trace(tuple(links))
