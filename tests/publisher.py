"""A publisher of trust lists over real TLS, and sensors in the field, for tests of the verifier.

publisher.publish(sensor, suppliers=[stub.entry])      a list, and all records that lead to it
publisher.serve(sensor, document)                      an older list, or whatever a test wants to be served
"""

import asyncio
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import dns.name
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from cryptography.x509.oid import NameOID

from lightest_agents.trust.jws import PrivateKey
from lightest_agents.trust.notification import Measurement, Notification, new_jti, sign
from lightest_agents.trust.signed_list import sign_list
from lightest_agents.trust.trust_list import SensorService, ServiceStatus, Supplier, TrustList
from tests.https_server import HttpsServer
from tests.world import Identity, World, free_port


def utc_now() -> datetime:
    """In whole seconds, as trust lists have it."""
    return datetime.now(UTC).replace(microsecond=0)


def self_signed(key: ec.EllipticCurvePrivateKey, name: str) -> x509.Certificate:
    """A certificate for `name`, valid from a day ago to a day ahead."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])])
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )


@dataclass(slots=True)
class Sensor:
    """A sensor in the field: its own key, and a counter of notifications."""

    label: str = "sensor1"
    location: str = "germany"
    domain: str = "raspidemo"
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    seq: int = 0

    @property
    def claim(self) -> str:
        return f"{self.label}.{self.location}.{self.domain}"

    @property
    def scheme(self) -> str:
        return f"{self.label}.trust.{self.location}.{self.domain}"

    @property
    def certificate(self) -> bytes:
        return self_signed(self.key, self.claim).public_bytes(Encoding.DER)

    def notification(self, celsius: float = 27.5, **changes: Any) -> Notification:
        """What it says next; `changes` are fields of `Notification`."""
        now = datetime.now(UTC).timestamp()
        self.seq += 1
        said = Notification(
            jti=new_jti(int(now * 1000)),
            iat=int(now),
            seq=self.seq,
            sensor=self.label,
            location=self.location,
            fault="overtemperature",
            threshold=25.0,
            measurement=(Measurement("temperature", "Cel", celsius, now),),
        )
        return replace(said, **changes)

    def fault(self, celsius: float = 27.5, *, key: PrivateKey | None = None, **changes: Any) -> bytes:
        """A signed notification, by its own key or a given one."""
        return sign(self.notification(celsius, **changes), key or self.key)


@dataclass(frozen=True, slots=True)
class Request:
    """What the publisher was asked, and how it answered."""

    path: str
    headers: Mapping[str, str]
    status: int


class Publisher:
    """`<label>.raspidemo`: serves lists with ETag and Cache-Control, and writes the records that lead there.

    Attributes:
        max_age: of the lists it serves, in seconds.
        requests: all that it was asked.
        override: what is served instead of everything else, if not None.
        held: keep those who ask waiting as long as it is set.
    """

    def __init__(self, world: World, label: str = "tspa") -> None:
        """Make keys for TLS and for signing; `start` serves."""
        self._world = world
        self.label = label
        self.name = f"{label}.raspidemo"
        self.port = free_port()
        self.max_age = 300
        self.requests: list[Request] = []
        self.override: Callable[[web.Request], web.Response] | None = None
        self.held = False
        self.identity = world.tls_server(label, self.port)
        self.signer = world.identity("list-signer")
        self._documents: dict[str, bytes] = {}
        self._sequences: dict[str, int] = {}
        self._lock = threading.Lock()
        self._server = HttpsServer(self.identity, self.port, self._answer)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Listen."""
        self._server.start()

    def stop(self) -> None:
        """Be down."""
        self._server.stop()

    def path(self, sensor: Sensor) -> str:
        """Of the sensor's list."""
        return f"/lists/{sensor.location}/{sensor.label}"

    def url(self, sensor: Sensor) -> str:
        """Of the sensor's list."""
        return f"https://{self.name}:{self.port}{self.path(sensor)}"

    def publish(
        self, sensor: Sensor, *, suppliers: Sequence[Supplier] = (), records: bool = True, **options: Any
    ) -> bytes:
        """Serve a new list about the sensor, and write the records of claim and scheme; the document.

        Args:
            suppliers: in their order.
            records: whether to write DNS records.
            options: see `document`.
        """
        document = self.document(sensor, suppliers=suppliers, **options)
        self.serve(sensor, document)
        if records:
            self.point(sensor)
        return document

    def document(
        self,
        sensor: Sensor,
        *,
        suppliers: Sequence[Supplier] = (),
        sequence: int | None = None,
        issued: datetime | None = None,
        next_update: datetime | None = None,
        status: ServiceStatus = ServiceStatus.GRANTED,
        claim: str | None = None,
        certificate: bytes | None = None,
        signer: Identity | None = None,
    ) -> bytes:
        """A signed list about the sensor, not served yet; by default with the next sequence number."""
        number = sequence or self._sequences.get(sensor.claim, 0) + 1
        self._sequences[sensor.claim] = number
        issued = issued or utc_now()
        trust_list = TrustList(
            sequence=number,
            issued=issued,
            next_update=next_update or issued + timedelta(days=1),
            operator="Test Operator",
            territory="DE",
            information="https://tspa.raspidemo/",
            manufacturer="Acme Sensors GmbH",
            manufacturer_label="acme",
            service=SensorService(
                dns.name.from_text(claim or sensor.claim),
                certificate or sensor.certificate,
                status,
                issued - timedelta(days=1),
            ),
            suppliers=tuple(suppliers),
        )
        return sign_list(trust_list, *read_identity(signer or self.signer))

    def serve(self, sensor: Sensor, document: bytes) -> None:
        """Serve any document where the sensor's list is."""
        with self._lock:
            self._documents[self.path(sensor)] = document

    def point(self, sensor: Sensor) -> None:
        """Write the claim's pointer, and the scheme's URI and SMIMEA records."""
        scheme = f"_scheme._trust.{sensor.scheme}"
        self._world.set(f"_scheme._trust.{sensor.claim}", "PTR", f"{scheme}.")
        self._world.set(scheme, "URI", f'10 1 "{self.url(sensor)}"')
        self._world.smimea(scheme, self.signer.der)

    def asked(self, sensor: Sensor) -> int:
        """How often somebody asked for the sensor's list."""
        return sum(request.path == self.path(sensor) for request in self.requests)

    async def _answer(self, request: web.Request) -> web.Response:
        response = self._response(request)
        self.requests.append(Request(request.path, dict(request.headers), response.status))
        while self.held:
            await asyncio.sleep(0.01)
        return response

    def _response(self, request: web.Request) -> web.Response:
        if self.override is not None:
            return self.override(request)
        with self._lock:
            document = self._documents.get(request.path)
        if document is None:
            return web.Response(status=404)
        headers = {
            "ETag": f'"{sha256(document).hexdigest()[:16]}"',
            "Cache-Control": f"max-age={self.max_age}",
        }
        if request.headers.get("If-None-Match") == headers["ETag"]:
            return web.Response(status=304, headers=headers)
        return web.Response(body=document, content_type="application/jose", headers=headers)


def read_identity(identity: Identity) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    """The key and the certificate in an identity's files."""
    key = load_pem_private_key(Path(identity.key).read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key, x509.load_der_x509_certificate(identity.der)
