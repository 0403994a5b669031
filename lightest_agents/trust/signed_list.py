"""The trust list as it is served: a JWS whose header is that of a JAdES baseline B signature.

ETSI TS 119 182-1 V1.2.1: `alg`, `typ`, `iat` (claimed signing time), `x5t#S256` and `x5c`. The certificate in
the document proves nothing by itself: who may sign is said by the SMIMEA record of the trust scheme, and the
caller compares.
"""

from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from lightest_agents.trust import jws, strict_json
from lightest_agents.trust.jws import PrivateKey
from lightest_agents.trust.lote import from_lote, to_lote
from lightest_agents.trust.strict_json import MalformedError, whole
from lightest_agents.trust.trust_list import TrustList, TrustListError
from lightest_agents.trust.verdict import Reason, Refusal

MAX_LIST_BYTES = 1024 * 1024
TYPE = "lote+jws"

_MEMBERS = frozenset({"iat", "x5t#S256"})


@dataclass(frozen=True, slots=True)
class SignedList:
    """A trust list and the certificate (DER) whose key signed it, which the caller still has to know."""

    trust_list: TrustList
    signer: bytes


def sign_list(trust_list: TrustList, key: PrivateKey, certificate: x509.Certificate) -> bytes:
    """The document to publish, signed when the list was issued.

    Raises:
        KeyRefusedError: the key is neither P-256 nor Ed25519, or not the certificate's.
        TrustListError: the document would be larger than 1 MiB.
    """
    members = {
        "iat": int(trust_list.issued.timestamp()),
        "x5t#S256": jws.thumbprint(certificate.public_bytes(Encoding.DER)),
    }
    signer = jws.CertifiedSigner(TYPE, key, certificate, members)
    body = signer.sign(strict_json.dump(to_lote(trust_list)))
    if len(body) > MAX_LIST_BYTES:
        raise TrustListError(f"the list would have {len(body)} bytes; name fewer suppliers")
    return body


def open_list(body: bytes) -> SignedList | Refusal:
    """The trust list in a document that is signed by the certificate it carries.

    Refusals: `list-too-large`, `list-malformed`, `list-signature`.
    """
    if len(body) > MAX_LIST_BYTES:
        return Refusal(Reason.LIST_TOO_LARGE, f"{len(body)} bytes; {MAX_LIST_BYTES} are the limit")
    try:
        document = jws.read_with_certificate(body, TYPE, _MEMBERS)
        whole(document.header["iat"], "iat")
        if document.header["x5t#S256"] != jws.thumbprint(document.signer):
            return Refusal(Reason.LIST_SIGNATURE, "x5t#S256 is not the digest of the certificate in x5c")
        return SignedList(from_lote(strict_json.load(document.payload)), document.signer)
    except (jws.AlgorithmRefusedError, jws.SignatureInvalidError) as error:
        return Refusal(Reason.LIST_SIGNATURE, str(error))
    except (MalformedError, TrustListError) as error:
        return Refusal(Reason.LIST_MALFORMED, str(error))
