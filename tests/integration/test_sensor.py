"""The sensor's agent as a process, against a real resolver and a real TLS server in the verifier's place."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from lightest_agents.sensor.outbox import FaultState, Outbox
from lightest_agents.service.server import listening, tls_context
from lightest_agents.trust import notification
from lightest_agents.trust.jws import key_of_certificate
from tests.world import Identity, World, free_port

LIGHTEST = (sys.executable, "-W", "error", "-c", "from lightest_agents.cli import main; main()")


async def eventually(holds: Callable[[], object], what: str) -> None:
    try:
        async with asyncio.timeout(20):
            while not holds():
                await asyncio.sleep(0.01)
    except TimeoutError:
        raise AssertionError(f"{what} did not happen") from None


class Verifier:
    """Takes what it is sent, knows a body it has seen, and answers as a test wants."""

    def __init__(self, port: int, identity: Identity) -> None:
        self.port = port
        self.identity = identity
        self.requests = 0
        self.bodies: list[bytes] = []
        self.answers: list[web.Response] = []
        self.answering = asyncio.Event()
        self.answering.set()
        self._stack = AsyncExitStack()

    async def start(self) -> None:
        app = web.Application(client_max_size=8192)
        app.router.add_post("/v1/faults", self._receive)
        context = tls_context(self.identity.certificate, self.identity.key)
        await self._stack.enter_async_context(
            listening(app, addresses=["127.0.0.1"], port=self.port, context=context)
        )

    async def stop(self) -> None:
        await self._stack.aclose()

    async def _receive(self, request: web.Request) -> web.Response:
        self.requests += 1
        assert request.content_type == "application/jose"
        body = await request.read()
        if self.answers:
            return self.answers.pop(0)
        if body not in self.bodies:
            self.bodies.append(body)
        await self.answering.wait()
        return web.json_response({"id": f"fault-{self.bodies.index(body)}"}, status=202)

    async def hears(self, seq: int) -> None:
        await eventually(lambda: seq in self.seqs, f"fault {seq} at the verifier")

    @property
    def seqs(self) -> list[int]:
        """The numbers of the faults, in the order in which they came."""
        return [one.seq for one in self.notifications]

    @property
    def notifications(self) -> list[notification.Notification]:
        found = [notification.parse(body) for body in self.bodies]
        assert all(isinstance(one, notification.SignedNotification) for one in found)
        return [one.notification for one in found if isinstance(one, notification.SignedNotification)]


class Sensor:
    """A sensor with a thermometer that a test sets, and its agent."""

    def __init__(self, folder: Path, world: World, verifier: Verifier, thermometer: str) -> None:
        self.folder = folder
        self.config = folder / "sensor.toml"
        self.log = folder / "log"
        self.config.write_text(
            f"""
            domain = "raspidemo"
            location = "germany"
            name = "sensor1"
            verifier = "https://verifier.raspidemo:{verifier.port}"
            state = "{folder}"
            interval = 0.05
            retry_first = 0.1
            retry_cap = 0.2
            resolver_port = {world.resolver_port}
            [thermometer]
            {thermometer}
            """
        )
        self.be(20)
        self.process: subprocess.Popen[bytes] | None = None

    def be(self, celsius: float) -> None:
        temporary = self.folder / "celsius.new"
        temporary.write_text(str(celsius))
        temporary.rename(self.folder / "celsius")

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*LIGHTEST, "sensor", "run", "--config", str(self.config)], stdout=log, stderr=log
            )

    def end(self, number: signal.Signals) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(20)

    def run(self, *arguments: str) -> Any:
        """What a sub-command prints with --json; problems are for the test to see."""
        done = subprocess.run(
            [*LIGHTEST, "sensor", *arguments, "--json", "--config", str(self.config)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode in (0, 1), done.stderr
        return json.loads(done.stdout)

    @contextmanager
    def outbox(self) -> Iterator[Outbox]:
        with Outbox(self.folder / "outbox.sqlite3", read_only=True) as outbox:
            yield outbox

    def counts(self) -> Counter[FaultState]:
        with self.outbox() as outbox:
            return Counter(outbox.counts())

    async def overheats(self) -> None:
        """One fault, from cold to cold."""
        await self.raises()
        await self.cools_down()

    async def raises(self) -> int:
        """One fault, stored in the heat; its number."""
        with self.outbox() as outbox:
            seq = outbox.seq + 1
            self.be(27.5)
            await eventually(lambda: outbox.seq == seq, f"fault {seq}")
            return seq

    async def cools_down(self) -> None:
        with self.outbox() as outbox:
            self.be(20)
            await eventually(lambda: outbox.armed, "cooling down")

    async def says(self, words: str) -> None:
        await eventually(lambda: words in self.log.read_text(), f"{words!r} in the log")


@pytest.fixture
async def verifier(world: World) -> AsyncIterator[Verifier]:
    port = free_port()
    verifier = Verifier(port, world.tls_server("verifier", port))
    await verifier.start()
    yield verifier
    await verifier.stop()


FILE = 'driver = "file"\npath = "{folder}/celsius"'
SIMULATED = 'driver = "simulated"'


@asynccontextmanager
async def running(
    folder: Path, world: World, verifier: Verifier, thermometer: str = FILE
) -> AsyncIterator[Sensor]:
    sensor = Sensor(folder, world, verifier, thermometer.format(folder=folder))
    sensor.run("enrol")
    sensor.start()
    try:
        await sensor.says("is watched")
        yield sensor
    finally:
        assert sensor.end(signal.SIGTERM) == 0, sensor.log.read_text()
        assert "Traceback" not in sensor.log.read_text()


async def test_a_heated_sensor_delivers_a_fault_signed_by_its_own_key(
    tmp_path: Path, world: World, verifier: Verifier
) -> None:
    async with running(tmp_path, world, verifier, SIMULATED) as sensor:
        answer = await asyncio.to_thread(sensor.run, "heat", "27.5", "--for", "0.5", "--wait", "20")
        assert (answer["state"], answer["id"], answer["problem"]) == ("delivered", "fault-0", None)
        again = await asyncio.to_thread(sensor.run, "heat", "30", "--wait", "20")
        assert (again["seq"], again["id"]) == (2, "fault-1")
        assert "is no fault" in sensor.run("heat", "22", "--wait", "20")["problem"]
        status = sensor.run("status")
        assert (status["celsius"], status["armed"]) == (30.0, False)
        assert status["outbox"] == {"waiting": 0, "delivered": 2, "refused": 0}
        assert status["last"]["id"] == "fault-1"
        enrolment = sensor.run("enrol")

    assert enrolment["changed"] is False
    certificate = x509.load_pem_x509_certificate(enrolment["certificate"].encode())
    signed = notification.parse(verifier.bodies[0])
    assert isinstance(signed, notification.SignedNotification)
    key = key_of_certificate(certificate.public_bytes(Encoding.DER))
    assert notification.verify(signed, key) is None
    assert signed.notification.measurement[0].value == 27.5


async def test_a_verifier_without_the_right_tlsa_hears_nothing(
    tmp_path: Path, world: World, verifier: Verifier
) -> None:
    owner = f"_{verifier.port}._tcp.verifier.raspidemo"
    async with running(tmp_path, world, verifier) as sensor:
        for tlsa, complaint in (
            (f"3 1 1 {'ab' * 32}", "tlsa-mismatch: "),
            (None, "tlsa-missing: "),
        ):
            if tlsa is None:
                world.remove(owner, "TLSA")
            else:
                world.set(owner, "TLSA", tlsa)
            await sensor.overheats()
            await sensor.says(complaint)
        assert verifier.requests == 0
        assert sensor.counts()[FaultState.WAITING] == 2

        world.set(owner, "TLSA", verifier.identity.tlsa)
        await eventually(lambda: sensor.counts()[FaultState.DELIVERED] == 2, "delivery")
        assert verifier.seqs == [1, 2]
        assert b"the verifier can be reached again" in sensor.log.read_bytes()


async def test_faults_wait_for_a_verifier_or_resolver_that_is_down(
    tmp_path: Path, world: World, verifier: Verifier
) -> None:
    await verifier.stop()
    async with running(tmp_path, world, verifier) as sensor:
        for _ in range(3):
            await sensor.overheats()
        await sensor.says("unreachable: ")
        await verifier.start()
        await eventually(lambda: verifier.seqs == [1, 2, 3], "delivery in order")

        await eventually(lambda: not sensor.counts()[FaultState.WAITING], "settlement")
        world.stop_unbound()
        await sensor.overheats()
        await sensor.says("tlsa-unavailable: ")
        world.start_unbound()
        await eventually(lambda: verifier.seqs == [1, 2, 3, 4], "delivery")
        assert sensor.log.read_bytes().count(b"unreachable: ") < 4


async def test_what_the_verifier_refuses_is_kept_and_does_not_stop_the_rest(
    tmp_path: Path, world: World, verifier: Verifier
) -> None:
    refusal = {"reason": "name-refused", "detail": "no label"}
    verifier.answers = [
        web.Response(status=503),
        web.Response(status=429, headers={"Retry-After": "0"}),
        web.Response(status=408),
        web.Response(status=307, headers={"Location": "http://evil.raspidemo/"}),
        web.Response(status=200, text="what?"),
        web.json_response(refusal, status=400),
    ]
    async with running(tmp_path, world, verifier) as sensor:
        await sensor.overheats()
        await eventually(lambda: sensor.counts()[FaultState.REFUSED] == 1, "the refusal")
        assert verifier.requests == 6
        with sensor.outbox() as outbox:
            fault = outbox.fault(1)
        assert fault is not None
        assert fault.answer == "400 name-refused: no label"
        await sensor.overheats()
        await eventually(lambda: verifier.seqs == [2], "the next delivery")
        assert sensor.counts()[FaultState.REFUSED] == 1


async def test_no_fault_is_lost_or_doubled_however_often_the_agent_is_killed(
    tmp_path: Path, world: World, verifier: Verifier
) -> None:
    """Killed in the heat, before the delivery, and after it before its answer."""
    async with running(tmp_path, world, verifier) as sensor:
        for when in ("unheard", "unanswered", "any time", "unanswered", "any time"):
            if when == "unheard":
                await verifier.stop()
            if when == "unanswered":
                verifier.answering.clear()
            seq = await sensor.raises()
            if when == "unanswered":
                await verifier.hears(seq)
            assert sensor.end(signal.SIGKILL) == -signal.SIGKILL
            sensor.log.unlink()
            sensor.start()  # still hot: no second fault
            await sensor.says("is watched")
            await sensor.cools_down()
            if when == "unheard":
                await verifier.start()
            verifier.answering.set()
            await eventually(lambda: not sensor.counts()[FaultState.WAITING], "delivery")
        await sensor.overheats()
        await eventually(lambda: sensor.counts()[FaultState.DELIVERED] == 6, "delivery")
        assert verifier.seqs == [1, 2, 3, 4, 5, 6]
        assert len({one.jti for one in verifier.notifications}) == 6


async def test_an_agent_that_cannot_run_says_why(tmp_path: Path, world: World, verifier: Verifier) -> None:
    sensor = Sensor(tmp_path, world, verifier, FILE.format(folder=tmp_path))
    for complaint in ("make it with `lightest sensor enrol`", "is not on this host"):
        done = subprocess.run(
            [*LIGHTEST, "sensor", "run", "--config", str(sensor.config)],
            capture_output=True,
            text=True,
            check=False,
            env=os.environ,
        )
        assert done.returncode == 2
        assert complaint in done.stderr
        assert "Traceback" not in done.stderr
        sensor.run("enrol")
        text = sensor.config.read_text()
        sensor.config.write_text(text.replace("resolver_port", 'resolver = "192.0.2.1"\nresolver_port'))
