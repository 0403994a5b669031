"""Step 7: the supplier hears of the fault from the verifier, who signs for it."""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from weakref import WeakValueDictionary

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from lightest_agents.dns.errors import HttpError
from lightest_agents.dns.http import DaneClient
from lightest_agents.service.config import ConfigError
from lightest_agents.trust.alarm import Alarm, AlarmSigner
from lightest_agents.trust.jws import PrivateKey
from lightest_agents.trust.notification import SignedNotification
from lightest_agents.trust.trust_list import Supplier, TrustList, in_order
from lightest_agents.trust.verdict import Reason, Refusal
from lightest_agents.verifier.store import Fault

_log = logging.getLogger(__name__)

_SEND_SECONDS = 10.0
_AT_ONCE = 16
_MAX_ANSWER = 64 * 1024


@dataclass(frozen=True, slots=True)
class Signer:
    """The verifier's alarm signer; suppliers find its certificate through the DNS."""

    key: PrivateKey
    certificate: x509.Certificate

    @classmethod
    def read(cls, folder: Path) -> "Signer":
        """The key and certificate `signer.key` and `signer.crt`, both PEM, in the state folder.

        Raises:
            ConfigError: they are missing, of another kind, or do not belong together.
        """
        key_file, certificate_file = folder / "signer.key", folder / "signer.crt"
        try:
            key = load_pem_private_key(key_file.read_bytes(), None)
            certificate = x509.load_pem_x509_certificate(certificate_file.read_bytes())
        except OSError as error:
            raise ConfigError(
                f"{error.filename}: cannot be read: {error.strerror}; `lightest identity` makes it"
            ) from error
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise ConfigError(f"{key_file} or {certificate_file} is not usable PEM: {error}") from error
        if not isinstance(key, EllipticCurvePrivateKey | Ed25519PrivateKey):
            raise ConfigError(f"{key_file}: is neither a P-256 nor an Ed25519 key; make one that is")
        if certificate.public_key() != key.public_key():
            raise ConfigError(f"{certificate_file} is not the certificate of {key_file}; restore one of them")
        return cls(key, certificate)


class _Gate:
    """Lets few alarms at a time through to one supplier, who does not take any number of connections."""

    __slots__ = ("__weakref__", "failed", "failure", "slots")

    def __init__(self) -> None:
        self.slots = asyncio.Semaphore(_AT_ONCE)
        self.failure: Refusal | None = None
        self.failed = 0.0


class Alarms:
    """Raises alarms with suppliers."""

    def __init__(
        self,
        client: DaneClient,
        signer: Signer,
        *,
        issuer: str,
        origin: str,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Alarms from one verifier.

        Args:
            client: sends them.
            signer: signs them.
            issuer: the verifier's DNS name without the final dot.
            origin: the address under which its pages are found, `https://verifier.raspidemo:8443`.
            clock: gives seconds since the epoch.
        """
        self._client = client
        self._signer = AlarmSigner(signer.key, signer.certificate)
        self._issuer = issuer
        self._origin = origin
        self._clock = clock
        # Those that nobody passes are forgotten.
        self._gates: WeakValueDictionary[str, _Gate] = WeakValueDictionary()

    async def raise_alarm(
        self, fault: Fault, signed: SignedNotification, trust_list: TrustList
    ) -> Supplier | Refusal:
        """The first supplier of the list, in its order, who takes the alarm.

        A supplier knows an alarm by the fault's id, so that it can be sent again after a crash.

        Refusals: `supplier-none-available`, `supplier-unreachable`, `supplier-refused` if all that could be
        reached refused it.
        """
        refusals = []
        for supplier in in_order(trust_list.suppliers):
            refusal = await self._send(supplier, fault, signed)
            if refusal is None:
                return supplier
            _log.warning("fault %s: %s", fault.id, refusal.detail)
            refusals.append(refusal)
        if not refusals:
            return Refusal(
                Reason.SUPPLIER_NONE_AVAILABLE, f"list {trust_list.sequence} has no available supplier"
            )
        reasons = {refusal.reason for refusal in refusals}
        unreachable = Reason.SUPPLIER_UNREACHABLE in reasons
        return Refusal(
            Reason.SUPPLIER_UNREACHABLE if unreachable else Reason.SUPPLIER_REFUSED,
            "; ".join(refusal.detail for refusal in refusals),
        )

    async def _send(self, supplier: Supplier, fault: Fault, signed: SignedNotification) -> Refusal | None:
        gate = self._gates.setdefault(supplier.url, _Gate())
        came = time.monotonic()
        async with gate.slots:
            if gate.failure is not None and gate.failed >= came:
                return gate.failure  # it went down while this one waited
            refusal = await self._post(supplier, fault, signed)
            if refusal is not None and refusal.reason is Reason.SUPPLIER_UNREACHABLE:
                gate.failure, gate.failed = refusal, time.monotonic()
            return refusal

    async def _post(self, supplier: Supplier, fault: Fault, signed: SignedNotification) -> Refusal | None:
        body = self._signer.sign(self._alarm(supplier, fault, signed))
        try:
            response = await self._client.request(
                "POST",
                supplier.url,
                body=body,
                headers={"Content-Type": "application/jose"},
                max_bytes=_MAX_ANSWER,
                timeout=_SEND_SECONDS,
            )
        except HttpError as error:
            return Refusal(Reason.SUPPLIER_UNREACHABLE, f"{supplier.name}: {error}")
        if 200 <= response.status < 300:
            return None
        refused = 400 <= response.status < 500 and response.status not in (408, 429)
        return Refusal(
            Reason.SUPPLIER_REFUSED if refused else Reason.SUPPLIER_UNREACHABLE,
            f"{supplier.name} answered with HTTP status {response.status}",
        )

    def _alarm(self, supplier: Supplier, fault: Fault, signed: SignedNotification) -> Alarm:
        notification = signed.notification
        return Alarm(
            iss=self._issuer,
            aud=supplier.name,
            iat=int(self._clock()),
            fault_id=fault.id,
            sensor=notification.sensor,
            location=notification.location,
            claim=fault.claim,
            fault=notification.fault,
            threshold=notification.threshold,
            measurement=notification.measurement,
            raised=notification.iat,
            trace=f"{self._origin}/v1/faults/{fault.id}",
        )
