"""The TSPA as it runs: its own process and TLS, a real name server, clients that believe only the DNS."""

import asyncio
import json
import signal
import socket
import sqlite3
import ssl
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import dns.name
import dns.rdatatype
import pytest

from lightest_agents.dns.http import DaneClient, Response
from lightest_agents.dns.lookups import Resolver, Status
from lightest_agents.dns.tlsa import Match, smimea_matches
from lightest_agents.service.identity import make_identity
from lightest_agents.trust.signed_list import SignedList, open_list
from lightest_agents.trust.trust_list import ServiceStatus, TrustList
from tests.tspa_process import LIGHTEST, NAME, TspaProcess
from tests.unit.tspa.certificates import make_certificate
from tests.world import World

POINTS = ("signed", "stored", "updated", "being promoted", "promoted")
CLAIMS = tuple(f"sensor{number}.germany.raspidemo" for number in range(8))


@pytest.fixture(scope="module")
def running(running_world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TspaProcess]:
    """One service for all tests, which have a sensor each."""
    labels = [claim.partition(".")[0] for claim in CLAIMS]
    service = TspaProcess(running_world, tmp_path_factory.mktemp("tspa"), labels)
    service.start()
    yield service
    assert service.stop() == 0
    service.close()


@pytest.fixture
def service(running: TspaProcess, world: World) -> TspaProcess:
    """The service with its address and key in the DNS."""
    running.publish_address()
    return running


@pytest.fixture
async def resolver(world: World) -> AsyncIterator[Resolver]:
    resolver = Resolver(port=world.resolver_port)
    yield resolver
    await resolver.close()


@pytest.fixture
async def client(resolver: Resolver) -> AsyncIterator[DaneClient]:
    client = DaneClient(resolver)
    yield client
    await client.close()


async def fetch(client: DaneClient, service: TspaProcess, claim: str) -> SignedList:
    response = await client.request("GET", service.list_url(claim))
    assert response.status == 200, response.body
    found = open_list(response.body)
    assert isinstance(found, SignedList), found
    return found


async def current(client: DaneClient, service: TspaProcess, claim: str) -> TrustList:
    return (await fetch(client, service, claim)).trust_list


async def put(client: DaneClient, service: TspaProcess, path: str, body: object) -> Response:
    token = (service.folder / "acme.token").read_text().strip()
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}
    url = f"{service.url}/v1/sensors/{path}"
    return await client.request("PUT", url, body=json.dumps(body).encode(), headers=headers, timeout=30)


async def test_an_enrolled_sensor_is_found_by_the_dns_alone(
    service: TspaProcess, client: DaneClient, resolver: Resolver
) -> None:
    claim, pem = CLAIMS[0], make_certificate(CLAIMS[0])
    first = service.register(claim, pem, "--suppliers", "supplier2,supplier1")
    again = service.register(claim, pem, "--suppliers", "supplier2,supplier1")
    assert (first["changed"], again["changed"]) == (True, False)

    owner = dns.name.from_text(f"_scheme._trust.{claim}".replace("germany", "trust.germany"))
    uri = await resolver.lookup(owner, dns.rdatatype.URI)
    smimea = await resolver.lookup(owner, dns.rdatatype.SMIMEA)
    assert (uri.status, smimea.status) == (Status.ANSWER, Status.ANSWER)
    assert uri.rrset is not None
    assert smimea.rrset is not None
    assert [record.target.decode() for record in uri.rrset] == [service.list_url(claim)]
    found = await fetch(client, service, claim)
    assert isinstance(smimea_matches(list(smimea.rrset), [found.signer], now=datetime.now(UTC)), Match)
    assert found.trust_list.service.certificate == ssl.PEM_cert_to_DER_cert(pem.decode())
    assert [supplier.name for supplier in found.trust_list.suppliers] == ["supplier2", "supplier1"]


async def test_a_list_that_has_not_changed_is_not_sent_again(
    service: TspaProcess, client: DaneClient
) -> None:
    claim = CLAIMS[1]
    service.register(claim, make_certificate(claim))
    full = await client.request("GET", service.list_url(claim))
    assert full.headers["ETag"] == f'"{sha256(full.body).hexdigest()}"'
    assert full.headers["Content-Type"] == "application/jose"
    assert full.headers["Content-Length"] == str(len(full.body))
    same = await client.request(
        "GET", service.list_url(claim), headers={"If-None-Match": full.headers["ETag"]}
    )
    assert (same.status, same.body) == (304, b"")
    head = await client.request("HEAD", service.list_url(claim))
    assert (head.status, head.body, head.headers["ETag"]) == (200, b"", full.headers["ETag"])
    assert head.headers["Content-Length"] == str(len(full.body))
    service.json("publish", claim)
    newer = await client.request(
        "GET", service.list_url(claim), headers={"If-None-Match": full.headers["ETag"]}
    )
    assert newer.status == 200


async def test_a_sensor_is_withdrawn_and_restored(service: TspaProcess, client: DaneClient) -> None:
    claim = CLAIMS[2]
    service.register(claim, make_certificate(claim))
    for command, status in (("withdraw", ServiceStatus.WITHDRAWN), ("restore", ServiceStatus.GRANTED)):
        done = service.call(command, claim, "--reason", "it was opened")
        assert json.loads(done.stdout)["changed"]
        assert (await current(client, service, claim)).service.status is status


async def test_a_supplier_goes_away_and_comes_back(service: TspaProcess, client: DaneClient) -> None:
    claim = CLAIMS[3]
    service.register(claim, make_certificate(claim))
    for presence, available in (("away", False), ("available", True)):
        for changed in (True, False):
            answer = service.json("availability", "supplier1", presence)
            assert answer["changed"] is changed
        assert [item.available for item in (await current(client, service, claim)).suppliers] == [available]


def test_another_manufacturers_sensor_is_refused(service: TspaProcess) -> None:
    claim = CLAIMS[0]
    for name in (claim, "sensor99.germany.raspidemo"):
        done = service.call(
            "register", name, "--certificate", "-", manufacturer="bolt", stdin=make_certificate(name)
        )
        assert done.returncode == 2
        assert done.stderr.decode() == f"lightest: forbidden: {name} is not a sensor of bolt\n"


def test_a_server_that_the_dns_does_not_vouch_for_gets_no_token(service: TspaProcess, world: World) -> None:
    world.set(f"_{service.port}._tcp.{NAME}", "TLSA", f"3 1 1 {'0' * 64}")
    done = service.call("register", CLAIMS[0], "--certificate", "-", stdin=make_certificate(CLAIMS[0]))
    assert done.returncode == 2
    assert b"no usable record describes a certificate that the peer presented" in done.stderr


async def test_parallel_changes_leave_no_gap(service: TspaProcess, client: DaneClient) -> None:
    claim = CLAIMS[4]
    service.register(claim, make_certificate(claim))
    first, second = "supplier1", "supplier2"
    orders = ([first], [second], [first, second], [second, first]) * 2
    answers = await asyncio.gather(
        *(put(client, service, f"{claim}/suppliers", {"suppliers": order}) for order in orders)
    )
    assert {answer.status for answer in answers} == {200}
    newest = await current(client, service, claim)
    assert newest.sequence <= 1 + sum(json.loads(answer.body)["changed"] for answer in answers)
    named = [supplier.name for supplier in newest.suppliers]
    again = await put(client, service, f"{claim}/suppliers", {"suppliers": named})
    assert json.loads(again.body)["changed"] is False


_CRASH = """
import os, signal, sys
from pathlib import Path
from django.db import transaction
from lightest_agents.tspa.models import Manufacturer
from lightest_agents.tspa.services import publishing, sensors
from lightest_agents.tspa.services.audit import Caller

_, point, claim, pem = sys.argv
promote = publishing._promote

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

def die_being_promoted(publications):
    with transaction.atomic():
        promote(publications)
        die()

def die_promoted(publications):
    promote(publications)
    die()

match point:
    case "signed":
        publishing.Publication.save = die
    case "stored":
        publishing._bring_in_line = die
    case "updated":
        publishing._promote = die
    case "being promoted":
        publishing._promote = die_being_promoted
    case "promoted":
        publishing._promote = die_promoted
sensors.register_certificate(Caller(Manufacturer.objects.get(label="acme"), ""), claim, pem.encode())
"""


_SERVED = """
import sys
from lightest_agents.tspa import selectors

publication = selectors.current_publication("germany", sys.argv[1])
sys.stdout.buffer.write(bytes(publication.document) if publication else b"")
"""


@pytest.fixture(scope="module")
def at_rest(running_world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TspaProcess]:
    """A TSPA that does not run, so that nothing heals unless it is told to."""
    service = TspaProcess(
        running_world, tmp_path_factory.mktemp("tspa"), [f"s{n}" for n in range(len(POINTS))]
    )
    yield service
    service.close()


@pytest.mark.parametrize("point", POINTS)
def test_a_publication_that_is_killed_is_neither_half_done_nor_lost(
    at_rest: TspaProcess, world: World, point: str
) -> None:
    label = f"s{POINTS.index(point)}"
    claim = f"{label}.germany.raspidemo"

    def served() -> TrustList | None:
        document = at_rest.python(_SERVED, label).stdout
        found = open_list(document)
        return found.trust_list if isinstance(found, SignedList) else None

    for number in (1, 2):
        before = served()
        pem = make_certificate(claim).decode()
        killed = at_rest.python(_CRASH, point, claim, pem)
        assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
        published = point == "promoted"
        if not published:
            assert served() == before
        assert at_rest.json("heal") == {"published": 0 if published else 1, "problems": []}
        after = served()
        assert after is not None
        assert after.sequence == number
        assert after.service.certificate == ssl.PEM_cert_to_DER_cert(pem)
    assert at_rest.json("heal") == {"published": 0, "problems": []}


async def test_a_service_that_is_killed_during_an_update_heals_when_it_starts(
    service: TspaProcess, world: World, client: DaneClient
) -> None:
    claim = CLAIMS[5]
    named = world._named
    assert named is not None
    body = {"certificate": make_certificate(claim).decode()}
    # Make the resolver know the way first: the name server is about to fall silent.
    assert (await client.request("GET", f"{service.url}/healthz")).status == 200
    named.send_signal(signal.SIGSTOP)
    try:
        sending = asyncio.create_task(put(client, service, f"{claim}/certificate", body))
        await wait_for(lambda: pending(service, claim))
        service.kill()
        assert isinstance((await asyncio.gather(sending, return_exceptions=True))[0], Exception)
    finally:
        named.send_signal(signal.SIGCONT)
    world.flush()
    await asyncio.to_thread(service.start)
    await wait_for(lambda: not pending(service, claim))
    assert (await current(client, service, claim)).sequence == 1


def pending(service: TspaProcess, claim: str) -> bool:
    with closing(sqlite3.connect(f"file:{service.folder}/tspa.sqlite3?mode=ro", uri=True)) as database:
        rows = database.execute(
            "SELECT 1 FROM tspa_publication JOIN tspa_sensor ON tspa_sensor.id = sensor_id"
            " WHERE label = ? AND state = 'pending'",
            (claim.partition(".")[0],),
        )
        return rows.fetchone() is not None


async def wait_for(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)


def test_the_operators_commands_change_nothing_the_second_time(service: TspaProcess) -> None:
    assert service.json("migrate") == {"changed": False, "applied": []}
    assert service.json("sync", "registry.json")["changed"] is False
    token = service.folder / "acme.token"
    secret = token.read_text()
    assert token.stat().st_mode & 0o777 == 0o600
    assert service.json("token", "acme", "--file", "acme.token")["changed"] is False
    assert token.read_text() == secret
    assert service.json("token", "acme", "--file", "bolt.token")["changed"] is True
    assert service.json("token", "bolt", "--file", "bolt.token")["changed"] is True


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("sync", "none.json"), "lightest: none.json: cannot be read: No such file or directory\n"),
        (
            ("token", "nobody", "--file", "x.token"),
            "lightest: no manufacturer nobody is registered; add it to",
        ),
        (("publish", CLAIMS[7]), f"lightest: {CLAIMS[7]}: there is no certificate yet; register one first\n"),
        (("publish",), "lightest: name sensors, or give --all\n"),
        (("availability", "nobody", "away"), "lightest: no supplier nobody is registered\n"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(
    service: TspaProcess, arguments: tuple[str, ...], sentence: str
) -> None:
    done = service.run(*arguments)
    assert done.returncode == 2
    assert done.stderr.decode().startswith(sentence)


def test_a_service_without_database_or_keys_does_not_start(service: TspaProcess, tmp_path: Path) -> None:
    make_identity(tmp_path, NAME, signer=True)
    config = tmp_path / "tspa.toml"
    config.write_text(service.config.read_text().replace(str(service.folder), str(tmp_path)))

    def refusal() -> str:
        done = subprocess.run([LIGHTEST, "tspa", "run", "--config", config], capture_output=True, check=False)
        assert done.returncode == 2
        return done.stderr.decode()

    assert refusal() == "lightest: the database is not up to date; run `lightest tspa migrate`\n"
    (tmp_path / "signer.key").unlink()
    assert refusal() == f"lightest: {tmp_path}/signer.key: cannot be read: No such file or directory\n"


def test_clients_that_say_nothing_do_not_keep_others_out(service: TspaProcess) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    silent = [socket.create_connection(("127.0.0.1", service.port)) for _ in range(40)]
    try:
        talking = context.wrap_socket(silent.pop())
        talking.sendall(b"GET / HT")
        with closing(
            context.wrap_socket(socket.create_connection(("127.0.0.1", service.port), 10))
        ) as client:
            client.sendall(f"GET /healthz HTTP/1.1\r\nHost: {NAME}\r\n\r\n".encode())
            assert client.recv(15) == b"HTTP/1.1 200 OK"
        silent.append(talking)
    finally:
        for connection in silent:
            connection.close()


def test_the_settings_are_safe_to_deploy_and_the_migrations_are_complete(service: TspaProcess) -> None:
    done = service.python(
        "from django.core.management import call_command\n"
        "call_command('check', deploy=True, fail_level='WARNING')\n"
        "call_command('makemigrations', check_changes=True, dry_run=True)\n"
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_nothing_secret_was_logged_or_left_open(service: TspaProcess) -> None:
    for name in ("tspa.sqlite3", "django.key", "acme.token"):
        assert (service.folder / name).stat().st_mode & 0o077 == 0, name
    log = (service.folder / "log").read_text()
    for token in service.folder.glob("*.token"):
        assert token.read_text().strip() not in log
    assert "Traceback" not in log, log
