"""The records by which the scheme zone points to a sensor's list, and the update that brings them there."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import dns.name
import dns.rdata
import dns.rdataclass
import dns.rdatatype

from lightest_agents.dns.errors import UpdateError, UpdateKeyError
from lightest_agents.dns.updates import UpdateKey, replace_rrsets
from lightest_agents.tspa.errors import DnsUpdateFailedError

_TIMEOUT = 5.0

_URI, _SMIMEA = dns.rdatatype.URI, dns.rdatatype.SMIMEA


@dataclass(frozen=True, slots=True)
class SchemeServer:
    """Where a scheme zone takes updates: its primary server's address and the file of the TSIG key."""

    zone: dns.name.Name
    address: str
    port: int
    key_file: str


@dataclass(frozen=True, slots=True)
class SchemeRecords:
    """What the scheme zone says of one sensor's trust scheme.

    Attributes:
        url: where the list is served.
        signer: SHA-256 of the list signer's certificate, in hexadecimal.
    """

    url: str
    signer: str


async def bring_in_line(server: SchemeServer, wanted: Mapping[dns.name.Name, SchemeRecords | None]) -> None:
    """Make the scheme zone say what is wanted of each owner name, and nothing else: all or none of it.

    Whether the zone says so already is nobody's guess but the primary's: it is always told, and one that
    has nothing to change does not change its serial.

    Args:
        server: the zone's primary.
        wanted: by owner name; None means that the name has neither URI nor SMIMEA.

    Raises:
        DnsUpdateFailedError: the server does not answer, or refuses.
    """
    rrsets = {
        (owner, rdtype): rdatas
        for owner, records in wanted.items()
        for rdtype, rdatas in _rrsets(records).items()
    }
    try:
        key = UpdateKey.read(Path(server.key_file))
        await replace_rrsets(server.zone, server.address, server.port, key, rrsets, timeout=_TIMEOUT)
    except (UpdateError, UpdateKeyError) as error:
        raise DnsUpdateFailedError(str(error)) from error


def _rrsets(records: SchemeRecords | None) -> dict[dns.rdatatype.RdataType, list[dns.rdata.Rdata]]:
    """URI 10 1 (RFC 7553) and SMIMEA 3 0 1 (RFC 8162)."""
    if records is None:
        return {_URI: [], _SMIMEA: []}
    return {
        _URI: [_rdata(_URI, f'10 1 "{records.url}"')],
        _SMIMEA: [_rdata(_SMIMEA, f"3 0 1 {records.signer}")],
    }


def _rdata(rdtype: dns.rdatatype.RdataType, text: str) -> dns.rdata.Rdata:
    return dns.rdata.from_text(dns.rdataclass.IN, rdtype, text)
