"""The worker when the verifier itself fails: a defect in the walk, and a disk that takes no verdicts.

What happens between a real DNS, publishers and suppliers is in tests/integration/test_verifier.py.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from lightest_agents.trust.notification import SignedNotification, parse
from lightest_agents.trust.verdict import Reason, Refusal
from lightest_agents.verifier import worker as workers
from lightest_agents.verifier.alarms import Alarms
from lightest_agents.verifier.database import StoreError
from lightest_agents.verifier.progress import Progress
from lightest_agents.verifier.settings import VerifierSettings
from lightest_agents.verifier.store import Fault, State, Store, fault_id
from lightest_agents.verifier.walk import ChainWalk, Walked
from lightest_agents.verifier.worker import Worker
from tests.publisher import Sensor


class ScriptedWalk:
    """Does what a test says, one thing at each attempt, and then rejects."""

    def __init__(self, *ends: Exception | Refusal) -> None:
        self.ends = list(ends)
        self.running = 0
        self.most_running = 0
        self.order: list[str] = []

    async def follow(self, signed: SignedNotification, _received: float) -> Walked:
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        self.order.append(f"{signed.notification.sensor}/{signed.notification.seq}")
        await asyncio.sleep(0)
        self.running -= 1
        end = self.ends.pop(0) if self.ends else Refusal(Reason.CLAIM_UNKNOWN, "no such sensor")
        if isinstance(end, Exception):
            raise end
        return Walked(Progress(), end)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened = Store(tmp_path)
    yield opened
    await opened.close()


def make_worker(store: Store, walk: ScriptedWalk, folder: Path, clock: Callable[[], float]) -> Worker:
    settings = VerifierSettings(
        domain="raspidemo", name="verifier.raspidemo", state=folder, retry_first=0.001, retry_cap=0.002
    )
    return Worker(settings, store, cast(ChainWalk, walk), cast(Alarms, None), clock)


async def take(store: Store, sensor: Sensor) -> tuple[Fault, SignedNotification]:
    body = sensor.fault()
    signed = parse(body)
    assert isinstance(signed, SignedNotification)
    notification = signed.notification
    fault = Fault(
        fault_id(body), body, 1000.0, State.RECEIVED, sensor.claim, notification.jti, notification.seq
    )
    await store.add(fault)
    return fault, signed


async def decided(store: Store, name: str) -> Fault:
    async with asyncio.timeout(10):
        while True:
            fault = await store.get(name)
            if fault is not None and fault.decided is not None:
                return fault
            await asyncio.sleep(0.001)


async def test_a_defect_defers_the_fault_and_is_logged(
    store: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    walk = ScriptedWalk(KeyError("defect"))
    worker = make_worker(store, walk, tmp_path, lambda: 1001.0)
    fault, signed = await take(store, Sensor())
    worker.add(fault, signed)
    running = asyncio.create_task(worker.run())
    with caplog.at_level(logging.ERROR):
        assert (await decided(store, fault.id)).reason is Reason.CLAIM_UNKNOWN
    running.cancel()
    assert len(walk.order) == 2
    assert "KeyError: 'defect'" in caplog.text
    assert worker.undecided == 0


async def test_words_in_any_characters_can_be_kept(store: Store, tmp_path: Path) -> None:
    walk = ScriptedWalk(Refusal(Reason.LIST_MALFORMED, "half a pair: \ud800"))
    worker = make_worker(store, walk, tmp_path, lambda: 1001.0)
    fault, signed = await take(store, Sensor())
    worker.add(fault, signed)
    running = asyncio.create_task(worker.run())
    assert (await decided(store, fault.id)).detail == "half a pair: \\ud800"
    running.cancel()


async def test_a_fault_that_cannot_be_kept_does_not_stop_the_others(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = make_worker(store, ScriptedWalk(), tmp_path, lambda: 1001.0)
    taken = [await take(store, Sensor(label)) for label in ("a", "b")]
    update = store.update

    async def fail_for_first(fault: Fault) -> None:
        if fault.id == taken[0][0].id and len(failures) < 3:
            failures.append(fault.id)
            raise KeyError("defect")
        await update(fault)

    failures: list[str] = []
    monkeypatch.setattr(store, "update", fail_for_first)
    for fault, signed in taken:
        worker.add(fault, signed)
    running = asyncio.create_task(worker.run())
    for fault, _ in taken:
        await decided(store, fault.id)
    running.cancel()
    assert len(failures) == 3


async def test_a_disk_that_takes_no_verdict_delays_it(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "_STORE_RETRY", 0.001)
    walk = ScriptedWalk(StoreError("full"), StoreError("full"))
    worker = make_worker(store, walk, tmp_path, lambda: 1001.0)
    fault, signed = await take(store, Sensor())
    worker.add(fault, signed)
    running = asyncio.create_task(worker.run())
    assert (await decided(store, fault.id)).attempts == 1, "what was not kept was no attempt"
    running.cancel()
    assert len(walk.order) == 3


async def test_claims_are_walked_side_by_side_and_each_in_order(store: Store, tmp_path: Path) -> None:
    walk = ScriptedWalk()
    worker = make_worker(store, walk, tmp_path, lambda: 1001.0)
    sensors = [Sensor("a"), Sensor("b"), Sensor("c")]
    taken = [await take(store, sensor) for sensor in sensors * 4]
    await worker.resume()
    assert worker.undecided == 12
    running = asyncio.create_task(worker.run())
    for fault, _ in taken:
        await decided(store, fault.id)
    running.cancel()
    assert walk.most_running == 3
    assert walk.order == sorted(walk.order, key=lambda entry: entry[-1]), "no claim overtakes itself"


async def test_the_wait_doubles_up_to_its_cap(store: Store, tmp_path: Path) -> None:
    settings = VerifierSettings(domain="raspidemo", name="verifier.raspidemo", state=tmp_path)
    worker = Worker(settings, store, cast(ChainWalk, None), cast(Alarms, None))
    for attempts, longest in ((1, 1), (2, 2), (5, 16), (9, 256), (10, 300), (100, 300), (10_000, 300)):
        assert longest / 2 <= worker._delay(attempts) <= longest


async def test_a_clock_that_has_jumped_does_not_prolong_the_wait(store: Store, tmp_path: Path) -> None:
    fault, _ = await take(store, Sensor())
    await store.update(replace(fault, state=State.DEFERRED, attempts=1, next_attempt=9_000_000_000.0))
    worker = make_worker(store, ScriptedWalk(), tmp_path, lambda: 1001.0)
    await worker.resume()
    running = asyncio.create_task(worker.run())
    assert (await decided(store, fault.id)).attempts == 2
    running.cancel()
