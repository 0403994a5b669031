"""The verifier's work: every fault on the disk gets a verdict, once."""

import asyncio
import logging
import random
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace

from lightest_agents.trust.notification import SignedNotification, parse
from lightest_agents.trust.trust_list import Supplier
from lightest_agents.trust.verdict import Outcome, Reason, Refusal, Step
from lightest_agents.verifier.alarms import Alarms
from lightest_agents.verifier.database import StoreError
from lightest_agents.verifier.progress import Progress
from lightest_agents.verifier.settings import VerifierSettings
from lightest_agents.verifier.store import Fault, State, Store
from lightest_agents.verifier.walk import ChainWalk

_log = logging.getLogger(__name__)

_RUNNERS = 128
_STORE_RETRY = 2.0
_FORGET_EVERY = 600.0


@dataclass(frozen=True, slots=True)
class _Job:
    fault: Fault
    signed: SignedNotification


class Worker:
    """Walks the chain for each fault, at the same time for different claims, one by one for the same claim.

    What is decided is on the disk before it is forgotten here: after a crash the faults without a verdict are
    walked again, and a supplier who got the alarm already knows it by the fault's id.
    """

    def __init__(
        self,
        settings: VerifierSettings,
        store: Store,
        walk: ChainWalk,
        alarms: Alarms,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """A worker that does nothing before `run`; `clock` gives seconds since the epoch."""
        self._settings = settings
        self._store = store
        self._walk = walk
        self._alarms = alarms
        self._clock = clock
        self._ready: asyncio.Queue[str] = asyncio.Queue()
        self._waiting: dict[str, deque[_Job]] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._undecided = 0

    @property
    def undecided(self) -> int:
        """The number of faults without a verdict."""
        return self._undecided

    def add(self, fault: Fault, signed: SignedNotification) -> None:
        """Take a fault that is on the disk."""
        self._undecided += 1
        self._enqueue(_Job(fault, signed))

    async def resume(self) -> None:
        """Take up the faults that an earlier process has left without a verdict; to be called before `add`.

        Raises:
            StoreError: the faults on the disk cannot be read.
        """
        for fault in await self._store.undecided():
            signed = parse(fault.body)
            self._undecided += 1
            if isinstance(signed, Refusal):  # taken by an earlier release, whose rules were others
                await self._keep(fault, Progress(), signed)
                continue
            job = _Job(fault, signed)
            if fault.next_attempt is None:
                self._enqueue(job)
            else:
                # A clock that has jumped must not make a fault wait for long.
                self._enqueue_later(job, min(fault.next_attempt - self._clock(), self._settings.retry_cap))

    async def run(self) -> None:
        """Decide what comes, until cancelled."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._forget_old())
                for _ in range(_RUNNERS):
                    tasks.create_task(self._serve())
        finally:
            for timer in self._timers.values():
                timer.cancel()

    def _enqueue(self, job: _Job) -> None:
        self._timers.pop(job.fault.id, None)
        jobs = self._waiting.get(job.fault.claim)
        if jobs is None:
            jobs = self._waiting[job.fault.claim] = deque()
            self._ready.put_nowait(job.fault.claim)
        jobs.append(job)

    def _enqueue_later(self, job: _Job, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        self._timers[job.fault.id] = loop.call_later(max(seconds, 0.0), self._enqueue, job)

    async def _serve(self) -> None:
        while True:
            claim = await self._ready.get()
            jobs = self._waiting[claim]
            await self._handle(jobs.popleft())
            if jobs:
                self._ready.put_nowait(claim)  # behind all other claims
            else:
                del self._waiting[claim]

    async def _handle(self, job: _Job) -> None:
        """One attempt; the fault is decided afterwards, or waits for the next one."""
        progress = Progress()
        try:
            result = await self._attempt(job, progress)
            kept = await self._keep(job.fault, *result)
        except StoreError as error:
            _log.warning("fault %s waits for the disk: %s", job.fault.id, error)
            self._enqueue_later(job, _STORE_RETRY)
            return
        except Exception:  # a fault that nobody can keep must not stop the others
            _log.exception("fault %s: a defect of the verifier", job.fault.id)
            self._enqueue_later(job, self._settings.retry_cap)
            return
        if kept.next_attempt is not None:
            self._enqueue_later(replace(job, fault=kept), kept.next_attempt - self._clock())

    async def _attempt(self, job: _Job, progress: Progress) -> tuple[Progress, Refusal | Supplier]:
        """The links, and why they do not hold or the supplier who has taken the alarm."""
        try:
            walked = await self._walk.follow(job.signed, job.fault.received)
            if isinstance(walked.end, Refusal):
                return walked.progress, walked.end
            progress = walked.progress
            with progress.timing(Step.SIGNATURE):
                other = await self._store.use_once(job.fault, walked.end.certificate_digest)
            if other is not None:
                return progress, Refusal(
                    Reason.REPLAYED,
                    f"its jti {job.fault.jti} or sequence number {job.fault.seq} was used by fault {other}",
                )
            with progress.timing(Step.SUPPLIER):
                taken = await self._alarms.raise_alarm(job.fault, job.signed, walked.end.trust_list)
        except StoreError:
            raise
        except Exception as error:
            _log.exception("fault %s: a defect of the verifier", job.fault.id)
            return progress, Refusal(Reason.INTERNAL_ERROR, f"{type(error).__name__}; the log has more")
        if isinstance(taken, Refusal):
            return progress, taken
        progress.held(Step.SUPPLIER, f"{taken.title} ({taken.name}) has taken the alarm")
        return progress, taken

    async def _keep(self, fault: Fault, progress: Progress, end: Refusal | Supplier) -> Fault:
        """Put the outcome of an attempt on the disk; the fault as it is now."""
        kept = self._outcome(fault, progress, end)
        await self._store.update(kept)
        if kept.decided is not None:
            self._undecided -= 1
        _log.info(
            "fault %s of %s: %s%s",
            kept.id,
            kept.claim,
            kept.state,
            f" ({kept.reason}: {kept.detail})" if kept.reason else f", {kept.supplier} has the alarm",
        )
        return kept

    def _outcome(self, fault: Fault, progress: Progress, end: Refusal | Supplier) -> Fault:
        """`fault` after an attempt that came to `end`."""
        now = self._clock()
        done = replace(fault, attempts=fault.attempts + 1, next_attempt=None)
        if isinstance(end, Supplier):
            return replace(
                done,
                state=State.ACCEPTED,
                reason=None,
                detail="",
                trace=progress.trace(),
                decided=now,
                supplier=end.name,
            )
        # Parts of it may be somebody else's words, in whatever characters.
        end = replace(end, detail=end.detail.encode(errors="backslashreplace").decode())
        if end.outcome is Outcome.DEFERRED:
            waited = now - fault.received
            if waited < self._settings.retry_for:
                return replace(
                    done,
                    state=State.DEFERRED,
                    reason=end.reason,
                    detail=end.detail,
                    trace=progress.trace(end),
                    next_attempt=now + self._delay(done.attempts),
                )
            end = replace(
                end, detail=f"{end.detail}; given up after {done.attempts} attempts in {waited / 3600:.1f} h"
            )
        return replace(
            done,
            state=State.REJECTED,
            reason=end.reason,
            detail=end.detail,
            trace=progress.trace(end, given_up=True),
            decided=now,
        )

    def _delay(self, attempts: int) -> float:
        """Seconds until the next attempt: doubled each time, and spread so that not all come at once."""
        longest = min(self._settings.retry_first * 2.0 ** min(attempts - 1, 30), self._settings.retry_cap)
        return longest * random.uniform(0.5, 1.0)  # noqa: S311 - spreads load, guards nothing

    async def _forget_old(self) -> None:
        while True:
            try:
                while await self._store.forget(self._clock() - self._settings.keep_for):
                    await asyncio.sleep(0)
            except StoreError as error:
                _log.warning("old faults stay for now: %s", error)
            await asyncio.sleep(_FORGET_EVERY)
