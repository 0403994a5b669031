"""Somebody on the path between a resolver and a name server, who may change every answer."""

import datetime
import socket
import threading
from base64 import b64decode
from collections.abc import Callable
from pathlib import Path

import dns.dnssec
import dns.exception
import dns.message
import dns.name
import dns.query
import dns.rdatatype
import dns.rrset
from cryptography.hazmat.primitives.asymmetric import ec
from dns.rdtypes.ANY.DNSKEY import DNSKEY

Tamper = Callable[[dns.message.Message, dns.message.Message], dns.message.Message | None]
"""(query, true answer) -> the answer the resolver shall see, or None for silence."""

_SIGNATURES = (dns.rdatatype.RRSIG, dns.rdatatype.NSEC, dns.rdatatype.NSEC3)


class Interceptor:
    """A thread that answers on a UDP port of 127.0.0.1 with changed answers of the server behind it."""

    def __init__(self, server_port: int, tamper: Tamper) -> None:
        """Start at once, on a free port."""
        self._server_port = server_port
        self._tamper = tamper
        self._socket = socket.socket(type=socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop answering."""
        with socket.socket(type=socket.SOCK_DGRAM) as last:
            last.sendto(b"", ("127.0.0.1", self.port))
        self._thread.join()
        self._socket.close()

    def _run(self) -> None:
        while True:
            wire, client = self._socket.recvfrom(65535)
            if not wire:
                return
            query = dns.message.from_wire(wire)
            try:
                answer = dns.query.tcp(query, "127.0.0.1", port=self._server_port, timeout=5)
            except (OSError, dns.exception.DNSException):
                continue
            changed = self._tamper(query, answer)
            if changed is not None:
                self._socket.sendto(changed.to_wire(), client)


def strip_signatures(query: dns.message.Message, answer: dns.message.Message) -> dns.message.Message:
    """The answer as an unsigned zone would give it."""
    for section in (answer.answer, answer.authority, answer.additional):
        section[:] = [rrset for rrset in section if rrset.rdtype not in _SIGNATURES]
    return answer


def age_signatures(keys: Path, zone: dns.name.Name) -> Tamper:
    """Sign every answer of `zone` anew with its true key, found in the folder `keys`, for January 2020."""
    path = next(keys.glob(f"K{zone.to_text()}+013+*.key"))
    text = path.with_suffix(".private").read_text()
    scalar = b64decode(text.split("PrivateKey: ")[1].split("\n")[0])
    private = ec.derive_private_key(int.from_bytes(scalar), ec.SECP256R1())
    record = next(line for line in path.read_text().splitlines() if " DNSKEY " in line)
    key = dns.rdata.from_text("IN", "DNSKEY", record.split(" DNSKEY ")[1])
    assert isinstance(key, DNSKEY)

    def sign_anew(query: dns.message.Message, answer: dns.message.Message) -> dns.message.Message:
        for section in (answer.answer, answer.authority):
            for old in [rrset for rrset in section if rrset.rdtype == dns.rdatatype.RRSIG]:
                covered = answer.get_rrset(section, old.name, old.rdclass, old.covers)
                if covered is None:
                    continue
                rrsig = dns.dnssec.sign(
                    covered,
                    private,
                    zone,
                    key,
                    inception=datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC),
                    expiration=datetime.datetime(2020, 2, 1, tzinfo=datetime.UTC),
                )
                section[section.index(old)] = dns.rrset.from_rdata(old.name, old.ttl, rrsig)
        return answer

    return sign_anew
