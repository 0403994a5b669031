"""What a stranger can send to the verifier's port: too much, too slowly, or anything at all."""

import itertools
import socket
import ssl
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress

import pytest

from tests.publisher import Sensor
from tests.system import System
from tests.verifier_process import VerifierProcess

STRANGER = "127.0.0.66"
HEAD = b"POST /v1/faults HTTP/1.1\r\nHost: verifier\r\nContent-Type: application/jose\r\n"
CHUNK = b"10000\r\n" + bytes(0x10000) + b"\r\n"
MEGABYTE = 1 << 20


def connect(verifier: VerifierProcess) -> socket.socket:
    """A connection of another host than the sensors'."""
    return socket.create_connection(("127.0.0.1", verifier.port), 10, (STRANGER, 0))


def connect_by_tls(verifier: VerifierProcess) -> ssl.SSLSocket:
    """The same, after the hand-shake."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context.wrap_socket(connect(verifier))


def status_of(connection: socket.socket) -> int | None:
    """The status of the answer; None if the connection ends without one."""
    with suppress(ConnectionError, ssl.SSLError):
        answer = connection.recv(4096)
        if answer.startswith(b"HTTP/1.1 "):
            return int(answer[9:12])
    return None


@contextmanager
def undisturbed(verifier: VerifierProcess) -> Iterator[None]:
    """While the block runs the verifier meets with nothing unexpected, and afterwards it serves others."""
    begin = verifier.log.stat().st_size
    yield
    assert verifier.request("GET", "/healthz").status == 200
    log = verifier.log.read_bytes()[begin:].decode()
    assert "Traceback" not in log, log


STALLED = {
    "before the hand-shake": None,
    "in a header": HEAD + b"X-Slow: ",
    "before the body": HEAD + b"Content-Length: 700\r\n\r\n",
    "in the body": HEAD + b"Content-Length: 700\r\n\r\neyJ",
    "in a chunk": HEAD + b"Transfer-Encoding: chunked\r\n\r\n700\r\neyJ",
}


def test_a_crowd_that_stops_in_the_middle_keeps_no_sensor_out(system: System, sensor: Sensor) -> None:
    crowd = [*itertools.islice(itertools.cycle(STALLED.values()), 30), *itertools.repeat(None, 570)]
    with undisturbed(system.verifier), ExitStack() as stack:
        for begun in crowd:
            with suppress(OSError):  # what is more than one host may have is closed at once
                if begun is None:
                    stack.enter_context(closing(connect(system.verifier)))
                else:
                    connection = stack.enter_context(closing(connect_by_tls(system.verifier)))
                    connection.sendall(begun)
        system.accepted(system.verifier.raise_fault(sensor.fault()))


GARBAGE = {
    "zero bytes": bytes(5000),
    "no method": b"\r\n\r\n\r\n :\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HTTP/9": b"GET / HTTP/9.9\r\nHost: x\r\n\r\n",
    "two lengths": HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
    "a length and chunks": HEAD + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a negative length": HEAD + b"Content-Length: -1\r\n\r\n",
    "no hexadecimal chunk": HEAD + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n",
    "a header of a megabyte": HEAD + b"X: " + b"x" * MEGABYTE + b"\r\n\r\n",
    "100,000 headers": HEAD + b"X: y\r\n" * 100_000 + b"\r\n",
    "a compressed body": HEAD + b"Content-Encoding: gzip\r\nContent-Length: 4\r\n\r\n\x1f\x8b\x08\x00",
}


@pytest.mark.parametrize("garbage", GARBAGE)
def test_garbage_is_refused(system: System, garbage: str) -> None:
    with undisturbed(system.verifier), closing(connect_by_tls(system.verifier)) as connection:
        with suppress(ConnectionError, ssl.SSLError):
            connection.sendall(GARBAGE[garbage])
        status = status_of(connection)
        assert status is None or 400 <= status < 500


@pytest.mark.parametrize("begun", [begun for begun in STALLED.values() if begun], ids=list(STALLED)[1:])
def test_a_client_that_goes_away_in_the_middle_is_forgotten(system: System, begun: bytes) -> None:
    with undisturbed(system.verifier), closing(connect_by_tls(system.verifier)) as connection:
        connection.sendall(begun)


@pytest.mark.parametrize(
    "garbage", [b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\xff\xff" + bytes(MEGABYTE), b"\x80" * 5000]
)
def test_what_is_no_tls_is_refused(system: System, garbage: bytes) -> None:
    with undisturbed(system.verifier), closing(connect(system.verifier)) as connection:
        with suppress(ConnectionError):
            connection.sendall(garbage)
        assert status_of(connection) is None


@pytest.mark.parametrize(
    "head",
    [HEAD + b"Transfer-Encoding: chunked\r\n\r\n", HEAD + b"Content-Length: 10737418240\r\n\r\n"],
    ids=["in chunks", "with its length"],
)
def test_a_body_without_end_is_not_read_to_its_end(system: System, head: bytes) -> None:
    with undisturbed(system.verifier), closing(connect_by_tls(system.verifier)) as connection:
        connection.sendall(head)
        with suppress(ConnectionError, ssl.SSLError):
            for _ in range(1 << 16):
                connection.sendall(CHUNK)
            pytest.fail("4 GiB were read")
