"""What a power cut does: the verifier is killed in each step of the walk, and no alarm is lost or doubled."""

import asyncio
import http.client
import json
import sqlite3
import ssl
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from pathlib import Path

import dns.message
import dns.rdatatype
import pytest
from aiohttp import web

from lightest_agents.verifier.store import FILE_NAME
from tests.publisher import Publisher, Sensor
from tests.system import System, honest, paused, wait_for
from tests.world import World

Arrive = Callable[[], None]
"""Returns when the verifier has come to where it is held."""
Hold = Callable[[System, Publisher, Sensor], AbstractContextManager[Arrive]]


@contextmanager
def held_back(world: World, zone: str, rdtype: dns.rdatatype.RdataType) -> Iterator[Arrive]:
    """Nobody answers for a zone from the first question for one type of its records on."""
    asked, released = threading.Event(), threading.Event()

    def tamper(query: dns.message.Message, answer: dns.message.Message) -> dns.message.Message:
        if query.question[0].rdtype == rdtype:
            asked.set()
            released.wait()
        return answer

    world.intercept(zone, tamper)
    try:
        yield lambda: wait_for(asked.is_set)
    finally:
        released.set()
        world.intercept(zone, honest)


@contextmanager
def busy_store(system: System) -> Iterator[None]:
    """The verifier reads its store, but what it writes has to wait."""
    with closing(sqlite3.connect(system.verifier.state / FILE_NAME, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield


def waits_to_be_read(port: int) -> bool:
    """Whether somebody has sent something to a loopback port that its server has not read yet (proc(5))."""
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, local, _, state, queues, *_ = line.split()
        if (local, state) == (f"0100007F:{port:04X}", "01") and int(queues.partition(":")[2], 16):
            return True
    return False


# Where the verifier is held


@contextmanager
def at_the_claim(system: System, publisher: Publisher, sensor: Sensor) -> Iterator[Arrive]:
    system.world.flush()
    with paused(system.world._named):
        yield lambda: None  # it gets no further


@contextmanager
def at_the_pointer(system: System, publisher: Publisher, sensor: Sensor) -> Iterator[Arrive]:
    between = f"_scheme._trust.{sensor.label}-between.trust.germany.raspidemo"
    system.world.set(f"_scheme._trust.{sensor.claim}", "PTR", f"{between}.")
    system.world.set(between, "PTR", f"_scheme._trust.{sensor.scheme}.")
    with held_back(system.world, "trust.germany.raspidemo", dns.rdatatype.PTR) as arrive:
        yield arrive


@contextmanager
def at_the_scheme(system: System, publisher: Publisher, sensor: Sensor) -> Iterator[Arrive]:
    with held_back(system.world, "trust.germany.raspidemo", dns.rdatatype.URI) as arrive:
        yield arrive


@contextmanager
def at_the_host_of_the_list(system: System, publisher: Publisher, sensor: Sensor) -> Iterator[Arrive]:
    with held_back(system.world, "raspidemo", dns.rdatatype.TLSA) as arrive:
        yield arrive


@contextmanager
def at_the_list(system: System, publisher: Publisher, sensor: Sensor) -> Iterator[Arrive]:
    publisher.held = True
    try:
        yield lambda: wait_for(lambda: publisher.requests)
    finally:
        publisher.held = False


@contextmanager
def at_the_signature(system: System, publisher: Publisher, sensor: Sensor) -> Iterator[Arrive]:
    # Once the list is known, the first that has to be written is that the notification is used up.
    system.accepted(system.verifier.raise_fault(sensor.fault()))
    document = publisher.document(sensor, suppliers=[system.entry], sequence=1)
    asked, released, answered = threading.Event(), threading.Event(), threading.Event()

    async def late() -> AsyncIterator[bytes]:
        asked.set()
        while not released.is_set():
            await asyncio.sleep(0.01)
        yield document
        answered.set()

    publisher.override = lambda _: web.Response(body=late())
    with ExitStack() as stack:

        def arrive() -> None:
            wait_for(asked.is_set)
            stack.enter_context(busy_store(system))
            released.set()
            wait_for(answered.is_set)
            system.verifier.request("GET", "/healthz")  # is read after what the publisher has sent

        yield arrive
    publisher.override = None


@contextmanager
def at_the_supplier(system: System, publisher: Publisher, sensor: Sensor) -> Iterator[Arrive]:
    with paused(system.supplier.process):
        yield lambda: wait_for(lambda: waits_to_be_read(system.supplier.port))


@contextmanager
def after_the_supplier(system: System, publisher: Publisher, sensor: Sensor) -> Iterator[Arrive]:
    """The lamp blinks, but nothing of it is on the verifier's disk."""
    with ExitStack() as stack:
        pause = stack.enter_context(ExitStack())
        pause.enter_context(paused(system.supplier.process))

        def arrive() -> None:
            wait_for(lambda: waits_to_be_read(system.supplier.port))
            stack.enter_context(busy_store(system))
            pause.close()
            wait_for(lambda: system.supplier.lamp()["blinking"])

        yield arrive


HOLDS: list[Hold] = [
    at_the_claim,
    at_the_pointer,
    at_the_scheme,
    at_the_host_of_the_list,
    at_the_list,
    at_the_signature,
    at_the_supplier,
    after_the_supplier,
]


@pytest.mark.parametrize("held", HOLDS, ids=[held.__name__ for held in HOLDS])
def test_a_fault_survives_a_kill(system: System, publisher: Publisher, sensor: Sensor, held: Hold) -> None:
    with held(system, publisher, sensor) as arrive:
        name = system.verifier.raise_fault(sensor.fault())
        arrive()
        assert system.verifier.fault(name)["status"] == "received"
        system.verifier.kill()
    system.verifier.start()
    system.accepted(name)


def test_an_alarm_that_is_acknowledged_while_the_verifier_is_dead_does_not_blink_again(
    system: System, publisher: Publisher, sensor: Sensor
) -> None:
    with after_the_supplier(system, publisher, sensor) as arrive:
        name = system.verifier.raise_fault(sensor.fault())
        arrive()
        system.verifier.kill()
    system.check_blinks_for([name])
    system.verifier.start()
    assert system.verifier.wait(name)["status"] == "accepted"
    system.check_dark()


def test_a_fault_that_is_not_on_the_disk_at_a_kill_was_not_confirmed(system: System, sensor: Sensor) -> None:
    body, verifier = sensor.fault(), system.verifier
    context = ssl.create_default_context(cafile=str(verifier.identity.certificate))
    context.check_hostname = False
    with closing(http.client.HTTPSConnection("127.0.0.1", verifier.port, context=context)) as connection:
        with busy_store(system):
            connection.request("POST", "/v1/faults", body, {"Content-Type": "application/jose"})
            verifier.request("GET", "/healthz")  # is read after the fault
            verifier.kill()
        with pytest.raises((OSError, http.client.HTTPException)):
            connection.getresponse()
    verifier.start()
    system.accepted(verifier.raise_fault(body))


SENSORS, FAULTS = 4, 10


def test_none_of_forty_faults_is_lost_or_doubled_by_three_kills_and_a_name_server_that_restarts(
    system: System, world: World, publisher: Publisher
) -> None:
    sensors = [system.new_sensor() for _ in range(SENSORS)]
    for sensor in sensors:
        publisher.publish(sensor, suppliers=[system.entry])
    names: list[str] = []
    with ThreadPoolExecutor(SENSORS) as pool:
        sending = [pool.submit(deliver, system, sensor, names) for sensor in sensors]
        for taken in (5, 15, 25):
            wait_for(lambda taken=taken: len(names) >= taken)  # type: ignore[misc]
            system.verifier.kill()
            if taken == 15:
                world.stop_named()
                world.flush()
            system.verifier.start()
        wait_for(lambda: len(names) == SENSORS * FAULTS)
        world.start_named()
        world.flush()
        for sender in sending:
            sender.result()

    assert {system.verifier.wait(name)["status"] for name in names} == {"accepted"}
    assert len(set(names)) == SENSORS * FAULTS
    system.check_blinks_for(names)
    listed = json.loads(system.verifier.run("verifier", "faults", "--json", "-n", "100000").stdout)
    claims = {sensor.claim for sensor in sensors}
    assert sorted(fault["id"] for fault in listed if fault["claim"] in claims) == sorted(names)


def deliver(system: System, sensor: Sensor, names: list[str]) -> None:
    """Send fault after fault, each until it is taken, as a sensor does."""
    for _ in range(FAULTS):
        body = sensor.fault()

        def is_taken(body: bytes = body) -> bool:
            try:
                names.append(system.verifier.raise_fault(body))
            except (OSError, http.client.HTTPException):
                return False
            return True

        wait_for(is_taken)
