"""A real BIND on a loopback port, with signed dynamic zones as the nameserver role makes them."""

import gzip
import secrets
import shutil
import socket
import subprocess
import time
from base64 import b64encode
from collections.abc import Iterator, Sequence
from pathlib import Path

import dns.message
import dns.name
import dns.query
import dns.rcode
import dns.rdatatype
import dns.tsig
import dns.update
import pytest

import trust_zone

ZONE = "germany.raspidemo"
CHILD = f"trust.{ZONE}"

CONFIG = """
options {{
  directory "{home}"; key-directory "{home}";
  pid-file "{home}/named.pid"; session-keyfile "{home}/session.key";
  listen-on port {port} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }};
  recursion no; dnssec-validation no; minimal-responses yes; empty-zones-enable no;
  sig-signing-nodes 20000; sig-signing-signatures 10000;
}};
controls {{ }};
logging {{ channel all {{ file "{home}/log"; severity debug 1; }}; category default {{ all; }}; }};
dnssec-policy trust {{ keys {{ csk lifetime unlimited algorithm ecdsap256sha256; }}; }};
{keys}
zone "{zone}" {{
  type primary; file "{home}/zone.db"; inline-signing no; dnssec-policy trust; {options}
  allow-transfer {{ key operator.{zone}; }};
  update-policy {{
    grant operator.{zone} zonesub A AAAA NS PTR DS;
    grant foreign zonesub A NS PTR TXT URI;
  }};
}};
"""

APEX = """$TTL 300
@ SOA ns1.{zone}. hostmaster.{zone}. 1 3600 600 86400 60
@ NS ns1.{zone}.
ns1 A 127.0.0.1
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class NameServer:
    """One named process serving one zone out of `home`."""

    def __init__(self, home: Path, options: str = "") -> None:
        self.home = home
        self.options = options
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None
        self.keys = {name: self._key(name) for name in (f"operator.{ZONE}", "foreign")}
        (home / "zone.db").write_text(APEX.format(zone=ZONE))
        self.configure()

    def _key(self, name: str) -> dns.tsig.Key:
        secret = b64encode(secrets.token_bytes(32)).decode()
        (self.home / f"{name}.key").write_text(
            f'key "{name}" {{\n\talgorithm hmac-sha256;\n\tsecret "{secret}";\n}};\n'
        )
        return dns.tsig.Key(name, secret, "hmac-sha256")

    @property
    def key_file(self) -> Path:
        return self.home / f"operator.{ZONE}.key"

    def configure(self) -> None:
        keys = "\n".join((self.home / f"{name}.key").read_text() for name in self.keys)
        text = CONFIG.format(home=self.home, port=self.port, keys=keys, zone=ZONE, options=self.options)
        (self.home / "named.conf").write_text(text)

    def start(self) -> None:
        named = shutil.which("named", path="/usr/sbin:/usr/bin:/sbin:/bin")
        assert named, "named is missing: install bind9"
        self.process = subprocess.Popen(
            [named, "-f", "-c", str(self.home / "named.conf")],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.wait("SOA")
        self.wait("DNSKEY")
        self.wait("NSEC")

    def wait(self, rdtype: str) -> None:
        """Until the apex has the type, so that the first signing is over."""
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            assert self.process is not None
            assert self.process.poll() is None, (self.home / "log").read_text()[-2000:]
            try:
                if self.ask(ZONE, rdtype):
                    return
            except OSError:
                pass
            time.sleep(0.02)
        raise AssertionError(f"{rdtype} did not appear\n" + (self.home / "log").read_text()[-2000:])

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait()
            self.process = None

    def kill(self) -> None:
        """As a power cut does."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()
        self.process = None

    def ask(self, name: str, rdtype: str, *, dnssec: bool = False) -> set[str]:
        """The rdata of an authoritative answer, or of the referral's or denial's authority section."""
        query = dns.message.make_query(name, rdtype, want_dnssec=dnssec)
        answer = dns.query.tcp(query, "127.0.0.1", port=self.port, timeout=10)
        kind = dns.rdatatype.from_text(rdtype)
        owner = dns.name.from_text(name)
        return {
            rdata.to_text()
            for rrset in [*answer.answer, *answer.authority, *answer.additional]
            if rrset.rdtype == kind and rrset.name == owner
            for rdata in rrset
        }

    def change(self, *steps: tuple[str, ...], key: str = "foreign") -> dns.rcode.Rcode:
        """An update by another writer: ("add", name, "300", "A", "…") or ("delete", name, "A", "…")."""
        update = dns.update.UpdateMessage(ZONE, keyring=self.keys[key])
        for verb, name, *rest in steps:
            owner = dns.name.from_text(name)
            if verb == "add":
                update.add(owner, int(rest[0]), *rest[1:])
            else:
                update.delete(owner, *rest)
        return dns.query.tcp(update, "127.0.0.1", port=self.port, timeout=10).rcode()

    def live(self, *, types: Sequence[str] = ("A", "AAAA", "NS", "PTR", "DS")) -> list[str]:
        """The zone's lines of some types, by a full transfer."""
        zone = dns.name.from_text(ZONE)
        server = trust_zone.Server(zone, types, "127.0.0.1", self.port, self.keys[f"operator.{ZONE}"])
        return list(server.sync(trust_zone.UNKNOWN).lines)


@pytest.fixture
def named(tmp_path: Path) -> Iterator[NameServer]:
    home = tmp_path / "named"
    home.mkdir()
    server = NameServer(home)
    server.start()
    yield server
    server.stop()


class Operator:
    """What Ansible does with the module, by its `run`, for one zone on one server."""

    def __init__(self, named: NameServer, folder: Path) -> None:
        self.named = named
        self.records = folder / "records.txt"
        self.state = folder / "state" / ZONE
        self.delegations: dict[str, list[str] | None] = {}
        self.lines: list[str] = [
            f"{ZONE}. 300 NS ns1.{ZONE}.",
            f"ns1.{ZONE}. 300 A 127.0.0.1",
        ]

    def sensor(self, name: str, address: str = "") -> list[str]:
        """The lines of one sensor."""
        pointer = f"_scheme._trust.{name}"
        lines = [f"{pointer}.{ZONE}. 300 PTR {pointer}.trust.{ZONE}."]
        return [*lines, f"{name}.{ZONE}. 300 A {address}"] if address else lines

    def delegate(self, child: str = CHILD) -> list[str]:
        return [f"{child}. 300 NS ns1.{ZONE}."]

    def params(self, **options: object) -> dict[str, object]:
        self.records.write_text("".join(f"{line}\n" for line in sorted(self.lines)))
        params: dict[str, object] = {
            "zone": ZONE,
            "records": str(self.records),
            "owned_types": ["A", "AAAA", "NS", "PTR"],
            "delegations": self.delegations,
            "keep": [],
            "server": "127.0.0.1",
            "port": self.named.port,
            "key_file": str(self.named.key_file),
            "state_file": str(self.state),
            "removal_limit": 30,
            "allow_removals": False,
        }
        return params | options

    def apply(self, *, check: bool = False, **options: object) -> dict[str, object]:
        return trust_zone.run(self.params(**options), check)

    def compressed(self) -> Path:
        """The record file as the action plugin sends it."""
        self.params()
        path = self.records.with_suffix(".gz")
        path.write_bytes(gzip.compress(self.records.read_bytes()))
        return path


@pytest.fixture
def operator(named: NameServer, tmp_path: Path) -> Operator:
    return Operator(named, tmp_path)
