"""What it costs to verify a fault, against the one signature verification that nobody can do without.

    python -m benchmarks.verify [--rounds 15] [--faults 1600]

A real named, Unbound, publisher, supplier and verifier on loopback. Costs are CPU time of the verifier's code
or process for one fault, and their ratios to `cryptography`'s ES256 verification just before and after; the
rounds of all measurements are interleaved, so that what else the machine does hits all alike, and medians are
printed. At the end, a walk for a sensor that nobody has asked for is compared by the clock with its bare
look-ups, hand-shake and GET.
"""

import argparse
import asyncio
import http.client
import os
import socket
import ssl
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dns.message
import dns.name
import dns.rdatatype
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from dns.rdatatype import AAAA, PTR, SMIMEA, TLSA, URI, A, RdataType
from rich.console import Console
from rich.table import Table

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT))

from benchmarks.senders import Senders  # noqa: E402
from lightest_agents.dns.http import DaneClient  # noqa: E402
from lightest_agents.dns.lookups import Lookup, Resolver, Status  # noqa: E402
from lightest_agents.service.config import load_config  # noqa: E402
from lightest_agents.trust import decision, names  # noqa: E402
from lightest_agents.trust.notification import parse  # noqa: E402
from lightest_agents.trust.signed_list import open_list  # noqa: E402
from lightest_agents.trust.verdict import Refusal  # noqa: E402
from lightest_agents.verifier.claims import Claims  # noqa: E402
from lightest_agents.verifier.database import reading  # noqa: E402
from lightest_agents.verifier.lists import NoSequences  # noqa: E402
from lightest_agents.verifier.service import make_claims, make_walk  # noqa: E402
from lightest_agents.verifier.settings import VerifierSettings  # noqa: E402
from lightest_agents.verifier.store import FILE_NAME  # noqa: E402
from lightest_agents.verifier.walk import ChainWalk  # noqa: E402
from tests.publisher import Publisher, Sensor  # noqa: E402
from tests.supplier_stub import SupplierStub  # noqa: E402
from tests.verifier_process import VerifierProcess  # noqa: E402
from tests.world import World  # noqa: E402

CONNECTIONS = 64
AT_A_TIME = 64
BATCH = 256
NAIVE = 20
COLD = 15
WIDTH = 100

Question = tuple[dns.name.Name, RdataType]


class VerdictError(Exception):
    """What has to hold was refused."""

    def __init__(self, refusal: Refusal) -> None:
        """Say why."""
        super().__init__(f"{refusal.reason}: {refusal.detail}")


@dataclass(slots=True)
class Row:
    """One measurement: `measure` returns seconds of CPU time per fault."""

    name: str
    goal: str
    measure: Callable[[], float]
    seconds: list[float] = field(default_factory=list)
    shares: list[float] = field(default_factory=list)

    def measure_against(self, raw: Callable[[], float]) -> None:
        """One round; `raw` measures what it is compared with."""
        before, own, after = raw(), self.measure(), raw()
        self.seconds.append(own)
        self.shares.append((before + after) / 2 / own)

    @property
    def median(self) -> float:
        """Seconds of CPU time per fault."""
        return statistics.median(self.seconds)


@dataclass(frozen=True, slots=True)
class Bench:
    """Everything that runs, and the sensors that all of it knows."""

    world: World
    publisher: Publisher
    supplier: SupplierStub
    verifier: VerifierProcess
    settings: VerifierSettings
    sensors: Sequence[Sensor]
    lists: Sequence[bytes]

    def questions(self, sensor: Sensor) -> tuple[tuple[Question, ...], ...]:
        """The look-ups of one walk; those in a group do not wait for one another."""
        claim, scheme = (names.trust_domain(name) for name in (sensor.claim, sensor.scheme))
        place, host = names.pointer(scheme), names.trust_domain(self.publisher.name)
        return (
            ((names.pointer(claim), PTR),),
            ((place, URI), (place, SMIMEA)),
            ((self.tlsa, TLSA), (host, A), (host, AAAA)),
        )

    @property
    def tlsa(self) -> dns.name.Name:
        """Where the key of the publisher's host is."""
        return dns.name.from_text(f"_{self.publisher.port}._tcp.{self.publisher.name}")

    def resolver(self, *, cache: bool = False) -> Resolver:
        """A new client of the resolver."""
        return Resolver(port=self.world.resolver_port, cache=cache)

    def walk(self, resolver: Resolver, client: DaneClient, claims: Claims | None = None) -> ChainWalk:
        """A walk as the verifier makes it, which has seen nothing."""
        known = claims or make_claims(self.settings)
        return make_walk(self.settings, resolver, client, (), NoSequences(), known)


def main() -> None:
    """Measure all in turn, then print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--faults", type=int, default=1600, help="of one round of the whole path")
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        running(Path(folder)) as bench,
        asyncio.Runner() as runner,
        ExitStack() as stack,
    ):
        verify = raw(bench)
        rows = [
            Row("raw: cryptography verifies ES256", "", verify),
            Row("pure decision: bytes, list and key to verdict", "80 %", pure(bench)),
            Row("walk, all within TTL", "80 %", warm(bench, runner, stack)),
            Row("walk, four fresh look-ups", "50 %", fresh(bench, runner, stack)),
            Row("walk that keeps nothing", "", naive(bench, runner)),
            Row("whole path: HTTPS in to supplier told", "25 %", whole(bench, stack, options.faults)),
        ]
        for row in rows:
            row.measure()  # fills the caches
        for _ in range(options.rounds):
            for row in rows:
                row.measure_against(verify)
        report(rows)
        report_cold(cold(bench, runner))


@contextmanager
def running(folder: Path) -> Iterator[Bench]:
    """All servers, and a list for each of the sensors."""
    for name in ("world", "verifier"):
        (folder / name).mkdir()
    world = World(folder / "world")
    # The tests' resolver forgets denials within a second; a real one keeps them as long as their zone says.
    configuration = folder / "world" / "unbound.conf"
    configuration.write_text(configuration.read_text().replace("cache-max-negative-ttl: 1\n", ""))
    with world, Publisher(world) as publisher, SupplierStub(world) as supplier:
        publisher.max_age = 86400
        sensors = [Sensor(f"sensor{number}") for number in range(CONNECTIONS)]
        lists = [publisher.publish(sensor, suppliers=[supplier.entry]) for sensor in sensors]
        with VerifierProcess(world, folder / "verifier") as verifier:
            settings = load_config(verifier.config, VerifierSettings)
            yield Bench(world, publisher, supplier, verifier, settings, sensors, lists)


def raw(bench: Bench) -> Callable[[], float]:
    """One verification with a loaded key."""
    key, algorithm = bench.sensors[0].key, ec.ECDSA(hashes.SHA256())
    public = key.public_key()
    texts = [bench.sensors[0].fault() for _ in range(BATCH)]
    signed = [(key.sign(text, algorithm), text) for text in texts]

    def measure() -> float:
        started = time.process_time()
        for signature, text in signed:
            public.verify(signature, text, algorithm)
        return (time.process_time() - started) / BATCH

    return measure


def pure(bench: Bench) -> Callable[[], float]:
    """The rules alone: a body, a parsed list and its key to a verdict."""
    sensor = bench.sensors[0]
    opened = open_list(bench.lists[0])
    assert not isinstance(opened, Refusal)  # noqa: S101
    trust_list = opened.trust_list
    key = decision.verification_key(trust_list.service)
    assert not isinstance(key, Refusal)  # noqa: S101
    bodies = [sensor.fault() for _ in range(BATCH)]
    claim = names.trust_domain(sensor.claim)
    max_age, max_ahead = (timedelta(seconds=each) for each in (bench.settings.max_age, 60))

    def measure() -> float:
        now = datetime.now(UTC)
        started = time.process_time()
        for body in bodies:
            signed = parse(body)
            if isinstance(signed, Refusal):
                raise VerdictError(signed)
            refusal = decision.decide(
                signed,
                trust_list,
                key,
                claim=claim,
                seen=trust_list.sequence,
                now=now,
                received=now,
                max_age=max_age,
                max_ahead=max_ahead,
            )
            if refusal is not None:
                raise VerdictError(refusal)
        return (time.process_time() - started) / BATCH

    return measure


def warm(bench: Bench, runner: asyncio.Runner, stack: ExitStack) -> Callable[[], float]:
    """From a body to the end of step 6, with nothing to be asked."""
    return _walks(bench, runner, stack, bench.resolver(cache=True))


def fresh(bench: Bench, runner: asyncio.Runner, stack: ExitStack) -> Callable[[], float]:
    """The same, but every record on the way is asked for again, and the key of the list's host with them."""
    return _walks(bench, runner, stack, FourQuestions(bench.world.resolver_port, bench.tlsa))


def _walks(bench: Bench, runner: asyncio.Runner, stack: ExitStack, resolver: Resolver) -> Callable[[], float]:
    client = DaneClient(resolver)
    stack.callback(lambda: runner.run(_close(client, resolver)))
    walk = bench.walk(resolver, client)
    bodies = [bench.sensors[number % len(bench.sensors)].fault() for number in range(BATCH)]

    async def some(queue: Iterator[bytes]) -> None:
        for body in queue:
            await _follow(walk, body)

    async def all_at_once() -> float:
        queue = iter(bodies)
        started = time.process_time()
        async with asyncio.TaskGroup() as tasks:
            for _ in range(AT_A_TIME):
                tasks.create_task(some(queue))
        return (time.process_time() - started) / BATCH

    return lambda: runner.run(all_at_once())


async def _close(client: DaneClient, resolver: Resolver) -> None:
    await client.close()
    await resolver.close()


def naive(bench: Bench, runner: asyncio.Runner) -> Callable[[], float]:
    """Everything from the beginning for each fault: look-ups, connection, TLSA, list and its signature."""
    bodies = [bench.sensors[number].fault() for number in range(NAIVE)]

    async def one_by_one() -> float:
        spent = 0.0
        for body in bodies:
            # The test's publisher is in this process, but in another thread.
            started = time.thread_time()
            resolver = bench.resolver()
            client = DaneClient(resolver)
            await _follow(bench.walk(resolver, client), body)
            await _close(client, resolver)
            spent += time.thread_time() - started
        return spent / NAIVE

    return lambda: runner.run(one_by_one())


async def _follow(walk: ChainWalk, body: bytes) -> None:
    signed = parse(body)
    if isinstance(signed, Refusal):
        raise VerdictError(signed)
    walked = await walk.follow(signed, time.time())
    if isinstance(walked.end, Refusal):
        raise VerdictError(walked.end)


def whole(bench: Bench, stack: ExitStack, faults: int) -> Callable[[], float]:
    """The verifier's process: HTTPS in, disk, seven steps, disk, the supplier told over TLS, disk."""
    senders = Senders(bench.verifier.identity.certificate, bench.verifier.port)
    stack.callback(senders.close)
    connection = stack.enter_context(reading(bench.verifier.state / FILE_NAME))

    def measure() -> float:
        each = faults // CONNECTIONS
        queues = [[sensor.fault() for _ in range(each)] for sensor in bench.sensors]
        before = len(bench.supplier.alarms)
        started = _cpu_seconds(bench.verifier.pid)
        senders.send(queues)
        while connection.execute("SELECT count(*) FROM faults WHERE decided IS NULL").fetchone()[0]:
            time.sleep(0.01)
        spent = _cpu_seconds(bench.verifier.pid) - started
        told = len(set(bench.supplier.fault_ids[before:]))
        if told != each * CONNECTIONS:
            raise AssertionError(f"{told} of {each * CONNECTIONS} alarms")
        return spent / told

    return measure


def _cpu_seconds(pid: int) -> float:
    """CPU time of a process so far, in all its threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class FourQuestions(Resolver):
    """Keeps nothing; asks for the TLSA records of the list's host, too, when it is asked for three others."""

    def __init__(self, port: int, tlsa: dns.name.Name) -> None:
        """`port` is that of the resolver on loopback."""
        super().__init__(port=port)
        self._tlsa = tlsa

    async def lookup_all(self, questions: Sequence[Question]) -> list[Lookup]:
        """As ever, but for the fourth."""
        if len(questions) != 3:
            return await super().lookup_all(questions)
        *found, tlsa = await super().lookup_all((*questions, (self._tlsa, TLSA)))
        if tlsa.status is not Status.ANSWER:
            raise AssertionError(tlsa.detail)
        return found


class CountingResolver(Resolver):
    """Counts how often somebody waited for it."""

    waits = 0

    async def lookup_all(self, questions: Sequence[Question]) -> list[Lookup]:
        """As ever; questions asked together are waited for once."""
        self.waits += 1
        return await super().lookup_all(questions)


@dataclass(slots=True)
class Cold:
    """A sensor that nobody has asked for; seconds by the clock."""

    walk: list[float] = field(default_factory=list)
    bare: list[float] = field(default_factory=list)
    in_turn: list[float] = field(default_factory=list)
    waits: int = 0


def cold(bench: Bench, runner: asyncio.Runner) -> Cold:
    """Walks and bare exchanges in turn, each with an empty resolver."""
    result = Cold()
    for number in range(COLD):
        sensor, document = bench.sensors[number], bench.lists[number]
        body = sensor.fault()
        bench.world.flush()
        resolver = CountingResolver(port=bench.world.resolver_port, cache=True)
        client = DaneClient(resolver)
        walk = bench.walk(resolver, client)

        async def follow(walk: ChainWalk = walk, body: bytes = body) -> float:
            started = time.perf_counter()
            await _follow(walk, body)
            return time.perf_counter() - started

        result.walk.append(runner.run(follow()))
        result.waits = resolver.waits
        runner.run(_close(client, resolver))
        for times, in_turn in ((result.bare, False), (result.in_turn, True)):
            bench.world.flush()
            started = time.perf_counter()
            bare_exchanges(bench, sensor, document, in_turn=in_turn)
            times.append(time.perf_counter() - started)
    return result


def bare_exchanges(bench: Bench, sensor: Sensor, document: bytes, *, in_turn: bool) -> None:
    """What a walk has to ask for over the network, by sockets that look at nothing."""
    groups = bench.questions(sensor)
    if in_turn:
        groups = tuple((question,) for group in groups for question in group)
    with socket.socket(type=socket.SOCK_DGRAM) as udp:
        udp.settimeout(5)
        udp.connect(("127.0.0.1", bench.world.resolver_port))
        for group in groups:
            for name, rdtype in group:
                udp.send(dns.message.make_query(name, rdtype, want_dnssec=True).to_wire())
            for _ in group:
                udp.recv(65535)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    connection = http.client.HTTPSConnection("127.0.0.1", bench.publisher.port, context=context)
    connection.request("GET", bench.publisher.path(sensor))
    if connection.getresponse().read() != document:
        raise AssertionError("this is not the list")
    connection.close()


def report(rows: Sequence[Row]) -> None:
    """Print microseconds, faults per second of one core, and the ratios."""
    table = Table(title=f"CPU time for one fault, medians of {len(rows[0].seconds)} interleaved rounds")
    table.add_column("")
    for heading in ("µs", "per s and core", "of raw", "goal"):
        table.add_column(heading, justify="right")
    for row in rows:
        share = f"{statistics.median(row.shares):.1%}"
        table.add_row(row.name, f"{row.median * 1e6:,.1f}", f"{1 / row.median:,.0f}", share, row.goal)
    console = Console(width=WIDTH)
    console.print(table)
    ratio = rows[4].median / rows[2].median
    console.print(f"A walk within TTL costs 1/{ratio:.0f} of one that keeps nothing; the goal is 1/25.")


def report_cold(found: Cold) -> None:
    """Print milliseconds by the clock and the ratios."""
    walk, bare, in_turn = (statistics.median(each) * 1000 for each in (found.walk, found.bare, found.in_turn))
    table = Table(title=f"An unseen sensor, all caches empty, medians of {COLD}")
    table.add_column("")
    for heading in ("ms", "walk ÷ it", "goal"):
        table.add_column(heading, justify="right")
    table.add_row("walk", f"{walk:.1f}", "", "")
    table.add_row("its look-ups in its order, hand-shake, GET", f"{bare:.1f}", f"{walk / bare:.2f}", "≤ 1.5")
    table.add_row("its look-ups in turn, hand-shake, GET", f"{in_turn:.1f}", f"{walk / in_turn:.2f}", "≤ 1.5")
    console = Console(width=WIDTH)
    console.print(table)
    console.print(
        f"The walk waits for {found.waits + 3} network round trips, one after the other: {found.waits} to"
        " the resolver, then TCP, TLS 1.3 and GET."
    )


if __name__ == "__main__":
    main()
