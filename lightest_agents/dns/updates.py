"""Signed dynamic updates (RFC 2136, RFC 8945) over TCP, one message for everything that belongs together."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import dns.asyncquery
import dns.exception
import dns.message
import dns.name
import dns.rcode
import dns.rdata
import dns.rdatatype
import dns.tsig
import dns.update

from lightest_agents.dns.errors import UpdateError, UpdateKeyError

_KEY = re.compile(
    r'\s*key\s+"?(?P<name>[A-Za-z0-9._-]+)"?\s*\{'
    r'(?=[^}]*\balgorithm\s+"?(?P<algorithm>[A-Za-z0-9-]+)"?\s*;)'
    r'(?=[^}]*\bsecret\s+"?(?P<secret>[A-Za-z0-9+/=]+)"?\s*;)'
    r"[^}]*\}\s*;\s*"
)
_ADVICE = {
    "NOTAUTH": "it is not the primary server of this zone, or does not accept the key",
    "REFUSED": "its update policy does not let this key change these records",
    "NOTZONE": "a record is outside the zone",
    "SERVFAIL": "it could not write the zone; its log says why",
    "FORMERR": "it does not understand the update",
}
_TSIG_ADVICE: dict[type[dns.exception.DNSException], tuple[str, str]] = {
    dns.tsig.PeerBadKey: ("BADKEY", "it does not know the key; give both the same key file"),
    dns.tsig.PeerBadSignature: (
        "BADSIG",
        "its key of this name has another secret; give both the same key file",
    ),
    dns.tsig.PeerBadTime: ("BADTIME", "its clock and this one differ too much; synchronise both"),
    dns.tsig.PeerBadTruncation: ("BADTRUNC", "it refuses the length of the signature"),
}

Rrsets = Mapping[tuple[dns.name.Name, dns.rdatatype.RdataType], Sequence[dns.rdata.Rdata]]
"""The records that are to be at (owner, type) afterwards; none to delete what is there."""


@dataclass(frozen=True, slots=True)
class UpdateKey:
    """A TSIG key; its secret is in no representation of it.

    Attributes:
        tsig: the key as dnspython wants it.
    """

    tsig: dns.tsig.Key = field(repr=False)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read one key statement as `tsig-keygen` writes it.

        Raises:
            UpdateKeyError: the file cannot be read or is not one such statement.
        """
        try:
            found = _KEY.fullmatch(path.read_text("ascii"))
        except OSError as error:
            raise UpdateKeyError(f"{path}: {error.strerror}; it must be a key file of this user") from error
        except UnicodeError:
            found = None
        if found is None or found["algorithm"].lower() != "hmac-sha256":
            raise UpdateKeyError(
                f'{path} is not a TSIG key: expected key "…" {{ algorithm hmac-sha256; secret "…"; }};'
            )
        try:
            return cls(dns.tsig.Key(found["name"], found["secret"], dns.tsig.HMAC_SHA256))
        except (ValueError, dns.exception.DNSException):
            # The cause would show the secret.
            raise UpdateKeyError(f"{path}: the name or secret of the key is damaged") from None


async def replace_rrsets(
    zone: dns.name.Name,
    server: str,
    port: int,
    key: UpdateKey,
    rrsets: Rrsets,
    *,
    ttl: int = 300,
    timeout: float = 10.0,
) -> None:
    """Make whole RRsets what they are to be, all of them or none (RFC 2136, section 3.7).

    Doing so again changes nothing: safe to repeat when nobody confirmed it.

    Args:
        zone: that all owners are in.
        server: IP address of its primary server.
        port: of the server, TCP.
        key: that signs the update; an answer that it does not sign is no answer.
        rrsets: see `Rrsets`.
        ttl: of every record, in seconds.
        timeout: in seconds.

    Raises:
        UpdateError: it was refused, or no answer came that can be trusted.
    """
    update = dns.update.UpdateMessage(zone, keyring=key.tsig)
    for (owner, rdtype), rdatas in rrsets.items():
        update.delete(owner, rdtype)
        for rdata in rdatas:
            update.add(owner, ttl, rdata)
    where = f"the name server {server} port {port}"
    try:
        answer = await dns.asyncquery.tcp(update, server, timeout=timeout, port=port)
    except tuple(_TSIG_ADVICE) as error:
        rcode, advice = _TSIG_ADVICE[type(error)]
        raise UpdateError(f"{where} refused to update {zone}: {rcode}: {advice}", rcode) from error
    except dns.exception.Timeout as error:
        raise UpdateError(f"{where} did not answer within {timeout:g} s; {zone} may have changed") from error
    except dns.exception.DNSException as error:
        # That includes an answer that the key does not sign.
        raise UpdateError(f"{where} gave an answer that proves nothing: {error}") from error
    except (OSError, EOFError, ValueError) as error:
        raise UpdateError(f"{where} cannot be reached: {error}") from error
    if answer.rcode() != dns.rcode.NOERROR:
        rcode = dns.rcode.to_text(answer.rcode())
        advice = _ADVICE.get(rcode, "see its log")
        raise UpdateError(f"{where} refused to update {zone}: {rcode}: {advice}", rcode)
