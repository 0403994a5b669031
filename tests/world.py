"""A trust domain on loopback: a real BIND with signed dynamic zones and a real Unbound that validates them.

`with World(folder) as world:` serves these zones, each chained to its parent by a DS record:

    raspidemo
    germany.raspidemo   trust.germany.raspidemo
    france.raspidemo    trust.france.raspidemo

A test writes records with `set` and `remove`, and breaks a zone with `break_zone` or `intercept`. `restore`
brings back the world as it was made, whoever wrote to it.
"""

import socket
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from enum import Enum
from functools import partial
from hashlib import sha256
from pathlib import Path
from types import TracebackType

import dns.flags
import dns.message
import dns.name
import dns.query
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdataset
import dns.rdatatype
import dns.tsig
import dns.update
import dns.xfr
import dns.zone

from tests.identities import Identity, free_port, make_identity
from tests.interceptor import Interceptor, Tamper, age_signatures, strip_signatures
from tests.world_files import DOMAIN, TTL, WorldFiles, program

__all__ = ["DOMAIN", "TTL", "Break", "Identity", "World", "free_port", "make_identity"]

_Rrsets = dict[tuple[dns.name.Name, dns.rdatatype.RdataType], dns.rdataset.Rdataset]
_DNSSEC_TYPES = frozenset(
    dns.rdatatype.from_text(text)
    for text in ("SOA", "RRSIG", "NSEC", "DNSKEY", "CDS", "CDNSKEY", "TYPE65534")
)


class Break(Enum):
    """A way to break the chain of trust at one zone."""

    INSECURE = "its parent has no DS"
    WRONG_DS = "its parent has the DS of another key"
    EXPIRED = "its signatures expired in 2020"
    STRIPPED = "somebody on the path removes its signatures"


class World:
    """The name server, the resolver and the zones.

    Attributes:
        folder: an existing, private folder for everything the world writes.
        named_port: of the authoritative server, on 127.0.0.1.
        resolver_port: of the validating resolver, on 127.0.0.1.
        anchor: the DS record of the trust domain, as text.
    """

    def __init__(self, folder: Path) -> None:
        """Prepare the zones; nothing runs before the `with` block."""
        self.folder = folder
        self.named_port, self.resolver_port = free_port(), free_port()
        self._files = WorldFiles(folder, self.named_port, self.resolver_port)
        self.zones = self._files.zones
        self.anchor = self._files.anchor
        self._interceptors: dict[dns.name.Name, Interceptor] = {}
        self._named: subprocess.Popen[bytes] | None = None
        self._unbound: subprocess.Popen[bytes] | None = None
        self._unreadable: list[tuple[str, str]] = []
        self._serials: dict[dns.name.Name, int] = {}
        self._made: dict[dns.name.Name, _Rrsets] = {}

    def __enter__(self) -> "World":
        """Start both servers and wait until every zone is signed."""
        try:
            self.start_named()
            self.start_unbound()
            for zone in self.zones:
                self._serials[zone], self._made[zone] = self._transfer(zone)
        except BaseException:
            self._stop_all()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End every process and thread."""
        self._stop_all()

    # Records

    def set(self, owner: str, rdtype: str, *rdatas: str, ttl: int = TTL) -> None:
        """Replace one RRset, in the zone it belongs to, and make the resolver forget.

        Data may be in RFC 3597 form, `\\# 3 abcdef`, and is then written even where it makes no sense.
        """
        self._update(owner, rdtype, rdatas, ttl)
        if any(rdata.startswith("\\#") for rdata in rdatas):
            self._unreadable.append((owner, rdtype))

    def remove(self, owner: str, rdtype: str) -> None:
        """Delete one RRset, if it is there, and make the resolver forget."""
        self._update(owner, rdtype, (), TTL)

    def host(self, label: str) -> str:
        """Give `<label>.raspidemo` the address 127.0.0.1; its name, without the final dot."""
        name = dns.name.from_text(label, DOMAIN).to_text(omit_final_dot=True)
        self.set(name, "A", "127.0.0.1")
        return name

    def identity(self, name: str) -> Identity:
        """A new key and self-signed certificate; nothing of it is in the DNS yet."""
        return make_identity(self.folder, name)

    def tls_server(self, label: str, port: int, identity: Identity | None = None) -> Identity:
        """Publish the address and TLSA 3 1 1 of a server `<label>.raspidemo`, with a new or a given key."""
        name = self.host(label)
        identity = identity or self.identity(name)
        self.set(f"_{port}._tcp.{name}", "TLSA", identity.tlsa)
        return identity

    def smimea(self, owner: str, certificate: bytes) -> None:
        """Publish SMIMEA 3 0 1 of a DER certificate."""
        self.set(owner, "SMIMEA", f"3 0 1 {sha256(certificate).hexdigest()}")

    def key_file(self, name: str) -> Path:
        """The TSIG key `operator.<zone>` or `scheme.<scheme zone>`, as BIND writes it."""
        return self._files.key_file(name)

    # Attacks

    def break_zone(self, zone: str, how: Break) -> None:
        """Break the chain of trust at `zone`, which is not the trust domain itself."""
        match how:
            case Break.INSECURE:
                self.remove(zone, "DS")
            case Break.WRONG_DS:
                self.set(zone, "DS", self._files.foreign_ds)
            case Break.EXPIRED:
                self.intercept(zone, age_signatures(self.folder / "keys", dns.name.from_text(zone)))
            case Break.STRIPPED:
                self.intercept(zone, strip_signatures)

    def intercept(self, zone: str, tamper: Tamper) -> None:
        """Put somebody between the resolver and the name server of one zone.

        `tamper` gets the query and the true answer; it returns what the resolver shall see, or None for
        no answer at all.
        """
        name = dns.name.from_text(zone)
        self._release(name)
        self._interceptors[name] = Interceptor(self.named_port, tamper)
        self._control(f"stub_add {name} 127.0.0.1@{self._interceptors[name].port}")
        self.flush()

    # Processes

    def flush(self) -> None:
        """Make the resolver forget all it knows, good and bad."""
        if self._unbound is not None:
            self._control(f"flush_zone {DOMAIN}")
            self._control("flush_infra all")

    def start_named(self) -> None:
        """Start the name server and wait until it serves signed zones."""
        self._named = self._start("named", "-g", "-c", str(self.folder / "named.conf"))
        for zone in self.zones:
            self._wait(partial(self._is_signed, zone), f"a signed {zone}")

    def stop_named(self) -> None:
        """End the name server; what the resolver has in its cache stays there."""
        self._stop(self._named)
        self._named = None

    def start_unbound(self) -> None:
        """Start the resolver, with an empty cache."""
        self._unbound = self._start("unbound", "-d", "-c", str(self.folder / "unbound.conf"))
        self._wait(self._is_validating, "a validated answer")

    def stop_unbound(self) -> None:
        """End the resolver."""
        self._stop(self._unbound)
        self._unbound = None

    def restore(self) -> None:
        """Undo every change to the zones, the processes and the path between them."""
        if self._named is None:
            self.start_named()
        if self._unbound is None:
            self.start_unbound()
        for zone in list(self._interceptors):
            self._release(zone)
        while self._unreadable:  # they would spoil the transfer that shows what else was changed
            self.remove(*self._unreadable.pop())
        for zone in self.zones:
            self._restore_zone(zone)
        self.flush()

    # Inside

    def _zone_of(self, owner: dns.name.Name, rdtype: dns.rdatatype.RdataType) -> dns.name.Name:
        above = owner.parent() if rdtype == dns.rdatatype.DS else owner
        return max((zone for zone in self.zones if above.is_subdomain(zone)), key=len)

    def _update(self, owner: str, rdtype: str, rdatas: tuple[str, ...], ttl: int) -> None:
        name, kind = dns.name.from_text(owner), dns.rdatatype.from_text(rdtype)
        update = dns.update.UpdateMessage(self._zone_of(name, kind), keyring=self._files.writer)
        update.delete(name, kind)
        for rdata in rdatas:
            update.add(name, ttl, _rdata(kind, rdata))
        self._send(update)
        self.flush()

    def _send(self, update: dns.update.UpdateMessage) -> None:
        answer = dns.query.tcp(update, "127.0.0.1", port=self.named_port, timeout=10)
        assert answer.rcode() == dns.rcode.NOERROR, f"refused: {answer}"

    def _transfer(self, zone: dns.name.Name) -> tuple[int, _Rrsets]:
        """The serial and the RRsets of a zone, without those that BIND makes."""
        found = dns.zone.Zone(zone, relativize=False)
        query, _ = dns.xfr.make_query(found, keyring=self._files.writer)
        dns.query.inbound_xfr("127.0.0.1", found, query, port=self.named_port, timeout=10)
        rrsets = {
            (name, rdataset.rdtype): rdataset
            for name, rdataset in found.iterate_rdatasets()
            if rdataset.rdtype not in _DNSSEC_TYPES
        }
        return found.get_soa().serial, rrsets

    def _restore_zone(self, zone: dns.name.Name) -> None:
        if self._serial(zone) == self._serials[zone]:
            return
        _, found = self._transfer(zone)
        update = dns.update.UpdateMessage(zone, keyring=self._files.writer)
        for name, kind in found.keys() | self._made[zone].keys():
            old = self._made[zone].get((name, kind))
            if found.get((name, kind)) != old:
                update.delete(name, kind)
                if old is not None:
                    update.add(name, old)
        if update.update:
            self._send(update)
        self._serials[zone] = self._serial(zone)

    def _serial(self, zone: dns.name.Name) -> int:
        answer = self._ask(self.named_port, zone, "SOA")
        return int(answer.answer[0][0].serial)

    def _release(self, zone: dns.name.Name) -> None:
        if (interceptor := self._interceptors.pop(zone, None)) is not None:
            interceptor.close()
            self._control(f"stub_add {zone} 127.0.0.1@{self.named_port}")

    def _control(self, command: str) -> None:
        """What unbound-control says over the resolver's control socket."""
        with socket.socket(socket.AF_UNIX) as channel:
            channel.settimeout(10)
            channel.connect(str(self.folder / "unbound.ctl"))
            channel.sendall(f"UBCT1 {command}\n".encode())
            reply = b"".join(iter(lambda: channel.recv(4096), b""))
        assert reply.startswith(b"ok"), f"{command}: {reply!r}"

    def _ask(self, port: int, name: dns.name.Name, rdtype: str) -> dns.message.Message:
        query = dns.message.make_query(name, rdtype, want_dnssec=True)
        return dns.query.tcp(query, "127.0.0.1", port=port, timeout=5)

    def _is_signed(self, zone: dns.name.Name) -> bool:
        """The chain of denials is closed last, so it tells that the first signing is over."""
        answer = self._ask(self.named_port, zone, "NSEC")
        return any(rrset.rdtype == dns.rdatatype.RRSIG for rrset in answer.answer)

    def _is_validating(self) -> bool:
        return bool(self._ask(self.resolver_port, DOMAIN, "SOA").flags & dns.flags.AD)

    def _wait(self, holds: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            with suppress(OSError, dns.exception.DNSException):
                if holds():
                    return
            time.sleep(0.02)
        logs = "".join((self.folder / f"{name}.log").read_text() for name in ("named", "unbound"))
        raise AssertionError(f"{what} did not appear\n{logs[-3000:]}")

    def _start(self, name: str, *options: str) -> subprocess.Popen[bytes]:
        with (self.folder / f"{name}.log").open("ab") as log:
            return subprocess.Popen([program(name), *options], stdout=log, stderr=log, cwd=self.folder)

    def _stop(self, process: subprocess.Popen[bytes] | None) -> None:
        if process is not None:
            process.terminate()
            process.wait()

    def _stop_all(self) -> None:
        for interceptor in self._interceptors.values():
            interceptor.close()
        self.stop_unbound()
        self.stop_named()


def _rdata(kind: dns.rdatatype.RdataType, text: str) -> dns.rdata.Rdata:
    if not text.startswith("\\#"):
        return dns.rdata.from_text(dns.rdataclass.IN, kind, text)
    return dns.rdata.GenericRdata(dns.rdataclass.IN, kind, bytes.fromhex(text.split(maxsplit=2)[2]))
