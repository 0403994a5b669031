"""TLS whose hand-shake ends with the DANE check, so that no byte of a request goes to anybody else."""

import ssl
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Self

from lightest_agents.dns.tlsa import NoMatch, TlsaRecord, tlsa_matches


class DaneMismatchError(ssl.SSLCertVerificationError):
    """The peer's certificates are not those its TLSA records describe.

    An `ssl` error, as that is what the event loop's hand-shake passes on.
    """

    def __init__(self, outcome: NoMatch) -> None:
        """Carry `outcome` as it is."""
        super().__init__(outcome.detail)
        self.outcome = outcome


class DaneContext(ssl.SSLContext):
    """A TLS client for one server, whose certificates are judged by TLSA records and by nothing else.

    Every connection makes a full hand-shake and is checked: there are no session tickets to resume, and no
    renegotiation in which the certificate could change.
    """

    def __new__(cls, *_: Any, **__: Any) -> Self:
        """`ssl` takes the protocol here."""
        return super().__new__(cls, ssl.PROTOCOL_TLS_CLIENT)

    def __init__(self, records: Sequence[TlsaRecord], names: Sequence[str], roots: Sequence[bytes]) -> None:
        """Describe the server.

        Args:
            records: its TLSA records, from a secure answer.
            names: DNS names one of which its certificate must be for, unless the record is DANE-EE(3).
            roots: DER certificates of trust anchors for the usages PKIX-TA(0) and PKIX-EE(1).
        """
        self.check_hostname = False
        self.verify_mode = ssl.CERT_NONE
        self.minimum_version = ssl.TLSVersion.TLSv1_2
        self.options |= ssl.OP_NO_TICKET | ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
        self.set_alpn_protocols(["http/1.1"])
        self.sslobject_class = _DaneObject
        self._records = records
        self._names = names
        self._roots = roots

    def check(self, chain: Sequence[bytes]) -> None:
        """Judge the chain that the server presented.

        Raises:
            DaneMismatchError: it is not the one described.
        """
        now = datetime.now(UTC)
        outcome = tlsa_matches(self._records, chain, self._names, roots=self._roots, now=now)
        if isinstance(outcome, NoMatch):
            raise DaneMismatchError(outcome)


class _DaneObject(ssl.SSLObject):
    """One connection of a `DaneContext`."""

    def do_handshake(self) -> None:
        """Shake hands, then check; the event loop sends nothing of the application before this returns."""
        super().do_handshake()
        context = self.context
        if not isinstance(context, DaneContext):
            raise ssl.SSLError("this connection has no TLSA records to be checked against")
        context.check(_presented_chain(self))


def _presented_chain(connection: ssl.SSLObject) -> list[bytes]:
    """What the peer sent, in DER, its own certificate first."""
    if sys.version_info >= (3, 13):
        return [bytes(certificate) for certificate in connection.get_unverified_chain()]
    # Until Python 3.13 made it public, the same method was there without a public name.
    unverified = connection._sslobj.get_unverified_chain() or ()  # type: ignore[attr-defined]
    return [ssl.PEM_cert_to_DER_cert(certificate.public_bytes()) for certificate in unverified]
