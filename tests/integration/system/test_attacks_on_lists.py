"""What an attacker can do between verifier and publisher, or as a publisher who has gone bad."""

import asyncio
import base64
import json
import select
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from aiohttp import web

from lightest_agents.trust.signed_list import MAX_LIST_BYTES
from lightest_agents.trust.verdict import Reason
from tests.https_server import HttpsServer
from tests.publisher import Publisher, Sensor, utc_now
from tests.system import System
from tests.unit.dns.pki import Holder, make, record
from tests.world import Identity, World

# On the path


@contextmanager
def impostor(
    folder: Path, publisher: Publisher, document: bytes, authority: Holder, certified: Holder
) -> Iterator[list[str]]:
    """Serve a list where the publisher did, with another certificate; yields the paths that are asked for."""
    certificate, key = folder / "impostor.crt", folder / "impostor.key"
    certificate.write_bytes(certified.pem + authority.pem)
    key.write_bytes(certified.key_pem)
    asked: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.Response(body=document, content_type="application/jose")

    server = HttpsServer(Identity(publisher.name, certificate, key, certified.der), publisher.port, answer)
    publisher.stop()
    server.start()
    try:
        yield asked
    finally:
        server.stop()
        publisher.start()


def test_a_man_in_the_middle_with_a_certificate_of_a_trusted_authority_hears_nothing(
    system: System, publisher: Publisher, sensor: Sensor, tmp_path: Path
) -> None:
    document = publisher.publish(sensor, suppliers=[system.entry])
    certified = make(publisher.name, system.authority, names=[publisher.name])
    with impostor(tmp_path, publisher, document, system.authority, certified) as asked:
        fault = system.refused(sensor.fault(), Reason.TLSA_MISMATCH)
        assert asked == []
    system.accepted(fault["id"])


@pytest.mark.parametrize("usage", [0, 1])
def test_an_authority_in_the_roots_satisfies_a_pkix_usage(
    system: System, world: World, publisher: Publisher, sensor: Sensor, tmp_path: Path, usage: int
) -> None:
    document = publisher.publish(sensor, suppliers=[system.entry])
    certified = make(publisher.name, system.authority, names=[publisher.name])
    set_pkix_record(world, publisher, usage, system.authority, certified)
    with impostor(tmp_path, publisher, document, system.authority, certified) as asked:
        system.accepted(system.verifier.raise_fault(sensor.fault()))
        assert asked == [publisher.path(sensor)]


@pytest.mark.parametrize("usage", [0, 1])
def test_an_unknown_authority_satisfies_no_pkix_usage(
    system: System, world: World, publisher: Publisher, sensor: Sensor, tmp_path: Path, usage: int
) -> None:
    document = publisher.publish(sensor, suppliers=[system.entry])
    unknown = make("Authority", ca=True)
    certified = make(publisher.name, unknown, names=[publisher.name])
    set_pkix_record(world, publisher, usage, unknown, certified)
    with impostor(tmp_path, publisher, document, unknown, certified) as asked:
        fault = system.refused(sensor.fault(), Reason.TLSA_MISMATCH)
        assert asked == []
    world.set(f"_{publisher.port}._tcp.{publisher.name}", "TLSA", publisher.identity.tlsa)
    system.accepted(fault["id"])


def set_pkix_record(
    world: World, publisher: Publisher, usage: int, authority: Holder, certified: Holder
) -> None:
    """The only TLSA record of the publisher is PKIX-TA(0) or PKIX-EE(1), and soon forgotten."""
    described = record(usage, 1, 1, certified if usage else authority)
    owner = f"_{publisher.port}._tcp.{publisher.name}"
    world.set(owner, "TLSA", f"{usage} 1 1 {described.cert.hex()}", ttl=1)


# The signer


def test_a_list_by_another_key_than_the_one_in_the_dns(
    system: System, world: World, publisher: Publisher, sensor: Sensor
) -> None:
    publisher.publish(sensor, suppliers=[system.entry], signer=world.identity("mallory"))
    system.refused(sensor.fault(), Reason.LIST_SIGNER)


def test_a_signer_that_was_replaced_but_not_in_the_dns(
    system: System, world: World, publisher: Publisher, sensor: Sensor
) -> None:
    system.accepted(system.verifier.raise_fault(sensor.fault()))
    publisher.signer = world.identity(publisher.signer.name)
    publisher.publish(sensor, suppliers=[system.entry], records=False)
    system.refused(sensor.fault(), Reason.LIST_SIGNER)


def reheaded(document: bytes, **members: object) -> bytes:
    """The list with other members in its header."""
    head, payload, signature = document.split(b".")
    header = json.loads(base64.urlsafe_b64decode(head + b"==")) | members
    return b".".join((base64.urlsafe_b64encode(json.dumps(header).encode()).rstrip(b"="), payload, signature))


def altered(document: bytes) -> bytes:
    """The list with another sequence number."""
    head, segment, signature = document.split(b".")
    payload = base64.urlsafe_b64decode(segment + b"==")
    changed = payload.replace(b'"LoTESequenceNumber":1', b'"LoTESequenceNumber":9')
    assert changed != payload
    return b".".join((head, base64.urlsafe_b64encode(changed).rstrip(b"="), signature))


def bare(document: bytes) -> bytes:
    """The JSON that was signed, alone."""
    return base64.urlsafe_b64decode(document.split(b".")[1] + b"==")


def twice_signed(document: bytes) -> bytes:
    """The list in the general JSON form of a JWS, which may have several signatures."""
    head, payload, signature = document.decode().split(".")
    signatures = [{"protected": head, "signature": signature}, {"protected": head, "signature": ""}]
    return json.dumps({"payload": payload, "signatures": signatures}).encode()


DOCUMENTS: dict[str, tuple[Callable[[bytes], bytes], Reason]] = {
    "altered": (altered, Reason.LIST_SIGNATURE),
    "without signature": (lambda document: document.rpartition(b".")[0] + b".", Reason.LIST_SIGNATURE),
    "alg none": (lambda document: reheaded(document, alg="none"), Reason.LIST_SIGNATURE),
    "alg HS256": (lambda document: reheaded(document, alg="HS256"), Reason.LIST_SIGNATURE),
    "bare": (bare, Reason.LIST_MALFORMED),
    "two signatures": (twice_signed, Reason.LIST_MALFORMED),
    "a signature too many": (
        lambda document: document + b"." + document.rpartition(b".")[2],
        Reason.LIST_MALFORMED,
    ),
    "key by address": (lambda document: reheaded(document, x5u="https://x/"), Reason.LIST_MALFORMED),
    "garbage": (lambda _: b"\xff\x00" * 100, Reason.LIST_MALFORMED),
    "nothing": (lambda _: b"", Reason.LIST_MALFORMED),
}


@pytest.mark.parametrize("document", DOCUMENTS)
def test_a_list_that_is_not_signed_as_it_has_to_be(
    system: System, publisher: Publisher, sensor: Sensor, document: str
) -> None:
    spoil, reason = DOCUMENTS[document]
    publisher.serve(sensor, spoil(publisher.document(sensor, suppliers=[system.entry], sequence=1)))
    system.refused(sensor.fault(), reason)


# Old, early and foreign lists


def test_a_list_that_has_expired_delays_the_alarm_until_it_is_renewed(
    system: System, publisher: Publisher, sensor: Sensor
) -> None:
    issued = utc_now() - timedelta(days=2)
    publisher.publish(sensor, suppliers=[system.entry], issued=issued, next_update=issued + timedelta(days=1))
    fault = system.refused(sensor.fault(), Reason.LIST_EXPIRED)
    publisher.publish(sensor, suppliers=[system.entry])
    system.accepted(fault["id"])


def test_a_list_of_the_future(system: System, publisher: Publisher, sensor: Sensor) -> None:
    publisher.publish(sensor, suppliers=[system.entry], issued=utc_now() + timedelta(hours=1))
    system.refused(sensor.fault(), Reason.LIST_NOT_YET_VALID)


def test_a_list_that_was_rolled_back_is_refused_also_after_a_crash_of_the_verifier(
    system: System, publisher: Publisher, sensor: Sensor
) -> None:
    old = publisher.publish(sensor, suppliers=[system.entry])
    publisher.publish(sensor, suppliers=[system.entry])
    system.accepted(system.verifier.raise_fault(sensor.fault()))
    publisher.serve(sensor, old)
    system.refused(sensor.fault(), Reason.LIST_ROLLBACK)
    system.verifier.kill()
    system.verifier.start()
    system.refused(sensor.fault(), Reason.LIST_ROLLBACK)


def test_the_list_of_another_sensor(system: System, publisher: Publisher, sensor: Sensor) -> None:
    traitor = system.new_sensor()
    publisher.serve(sensor, publisher.document(traitor, suppliers=[system.entry]))
    system.refused(sensor.fault(key=traitor.key), Reason.LIST_OTHER_SENSOR)


# Answers that are no list


async def a_byte_a_second() -> AsyncIterator[bytes]:
    while True:
        yield b"e"
        await asyncio.sleep(1)


def test_a_list_that_says_it_is_too_large(system: System, publisher: Publisher, sensor: Sensor) -> None:
    publisher.override = lambda _: web.Response(body=bytes(MAX_LIST_BYTES + 1))
    system.refused(sensor.fault(), Reason.LIST_TOO_LARGE)


def test_a_list_without_end_is_not_read_to_its_end(
    system: System, publisher: Publisher, sensor: Sensor
) -> None:
    all_of_it, sent = 64 * MAX_LIST_BYTES, 0

    async def without_length() -> AsyncIterator[bytes]:
        nonlocal sent
        while sent < all_of_it:
            sent += 65536
            yield bytes(65536)
            await asyncio.sleep(0)

    publisher.override = lambda _: web.Response(body=without_length())
    system.refused(sensor.fault(), Reason.LIST_TOO_LARGE)
    publisher.stop()
    assert MAX_LIST_BYTES < sent < all_of_it


def test_a_list_that_comes_slowly_holds_up_no_other_sensor(
    system: System, world: World, publisher: Publisher, sensor: Sensor
) -> None:
    publisher.override = lambda _: web.Response(body=a_byte_a_second())
    slow = system.verifier.raise_fault(sensor.fault())
    other = system.new_sensor()
    with Publisher(world, "tspa2") as quick:
        quick.publish(other, suppliers=[system.entry])
        system.accepted(system.verifier.raise_fault(other.fault()))
    assert system.verifier.fault(slow)["status"] == "received"
    system.check_refused(system.verifier.wait(slow, "deferred"), Reason.LIST_UNAVAILABLE)
    publisher.override = None
    system.accepted(slow)


def test_a_redirect_to_plain_http_is_not_followed(
    system: System, publisher: Publisher, sensor: Sensor
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        check_redirect(system, publisher, sensor, f"http://{publisher.name}:{port}{publisher.path(sensor)}")
        assert select.select([listener], [], [], 0) == ([], [], [])


def test_a_redirect_to_another_host_is_not_followed(
    system: System, world: World, publisher: Publisher, sensor: Sensor
) -> None:
    with Publisher(world, "mallory") as mallory:
        mallory.publish(sensor, suppliers=[system.entry], records=False)
        check_redirect(system, publisher, sensor, mallory.url(sensor))
        assert mallory.requests == []


def check_redirect(system: System, publisher: Publisher, sensor: Sensor, location: str) -> None:
    publisher.override = lambda _: web.Response(status=302, headers={"Location": location})
    fault = system.refused(sensor.fault(), Reason.LIST_UNAVAILABLE)
    publisher.override = None
    system.accepted(fault["id"])


@pytest.mark.parametrize("status", [404, 500])
def test_a_publisher_that_says_no_delays_the_alarm(
    system: System, publisher: Publisher, sensor: Sensor, status: int
) -> None:
    publisher.override = lambda _: web.Response(status=status)
    fault = system.refused(sensor.fault(), Reason.LIST_UNAVAILABLE)
    publisher.override = None
    system.accepted(fault["id"])
