"""What a name server and a resolver of the loopback trust domain read before they start."""

import secrets
import shutil
import subprocess
from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import dns.name
import dns.tsig

DOMAIN = dns.name.from_text("raspidemo")
COUNTRIES = ("germany", "france")
TTL = 300
"""Of every record, in seconds, unless a test says otherwise."""

_CSK = ("-q", "-a", "ECDSAP256SHA256", "-f", "KSK")

_NAMED = """
options {{
  directory "{home}"; key-directory "{home}/keys"; pid-file none; session-keyfile none;
  listen-on port {port} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }};
  recursion no; dnssec-validation no; minimal-responses yes; empty-zones-enable no; notify no;
  sig-signing-nodes 20000; sig-signing-signatures 10000;
}};
controls {{ }};
dnssec-policy trust {{ keys {{ csk lifetime unlimited algorithm ecdsap256sha256; }}; }};
"""

_NAMED_ZONE = """
zone "{zone}" {{
  type primary; file "{zone}.db"; inline-signing no; dnssec-policy trust;
  allow-transfer {{ key world; key "operator.{zone}"; }};
  update-policy {{ grant world zonesub ANY; {grants} }};
}};
"""

_ZONE = """$TTL {ttl}
@ SOA ns1.{zone}. hostmaster.{zone}. 1 3600 600 86400 60
@ NS ns1.{zone}.
ns1 A 127.0.0.1
"""

_UNBOUND = """
server:
  interface: 127.0.0.1@{port}
  do-not-query-localhost: no
  username: ""
  chroot: ""
  directory: "{home}"
  pidfile: ""
  use-syslog: no
  num-threads: 1
  module-config: "validator iterator"
  trust-anchor-file: "{home}/anchor"
  ede: yes
  serve-expired: no
  harden-dnssec-stripped: yes
  harden-below-nxdomain: yes
  qname-minimisation: yes
  aggressive-nsec: yes
  minimal-responses: yes
  local-zone: "raspidemo." transparent
  local-zone: "." refuse
  # A test must not wait for what an earlier one broke.
  cache-max-negative-ttl: 1
  val-bogus-ttl: 1
  val-log-level: 2
  infra-host-ttl: 1
  infra-keep-probing: yes
  infra-cache-max-rtt: 1000
  outbound-msg-retry: 2
remote-control:
  control-enable: yes
  control-interface: {home}/unbound.ctl
"""


class WorldFiles:
    """Keys, zones and configurations, all in one folder.

    Attributes:
        folder: an existing, private folder.
        zones: the names of all zones, parents first.
        anchor: the DS record of the trust domain, as text.
        foreign_ds: the data of a DS record of a key that no zone has.
        writer: a TSIG key that may write anything everywhere.
    """

    def __init__(self, folder: Path, named_port: int, resolver_port: int) -> None:
        """Write them all."""
        self.folder = folder
        self.zones = [DOMAIN]
        for label in COUNTRIES:
            country = dns.name.from_text(label, DOMAIN)
            self.zones += [country, dns.name.from_text("trust", country)]
        (folder / "keys").mkdir()
        self.writer = self._make_key("world")
        self._write_named_configuration(named_port)
        self.foreign_ds, self.anchor = "", ""
        self._write_zones()
        self._write_unbound_configuration(named_port, resolver_port)

    def key_file(self, name: str) -> Path:
        """Where the TSIG key of a name is."""
        return self.folder / f"{name}.key"

    def _make_key(self, name: str) -> dns.tsig.Key:
        secret = b64encode(secrets.token_bytes(32)).decode()
        path = self.key_file(name)
        path.touch(mode=0o600)
        path.write_text(f'key "{name}" {{\n\talgorithm hmac-sha256;\n\tsecret "{secret}";\n}};\n')
        return dns.tsig.Key(name, secret, "hmac-sha256")

    def _write_named_configuration(self, port: int) -> None:
        text = _NAMED.format(home=self.folder, port=port) + self.key_file("world").read_text()
        for zone in self._zone_texts():
            operator = f"operator.{zone}"
            self._make_key(operator)
            text += self.key_file(operator).read_text()
            grants = f'grant "{operator}" zonesub A AAAA NS PTR DS TLSA SMIMEA;'
            if zone.startswith("trust."):
                scheme = f"scheme.{zone}"
                self._make_key(scheme)
                text += self.key_file(scheme).read_text()
                grants = f'grant "{operator}" zonesub NS; grant "{scheme}" zonesub URI SMIMEA;'
            text += _NAMED_ZONE.format(zone=zone, grants=grants)
        (self.folder / "named.conf").write_text(text)

    def _write_zones(self) -> None:
        """Make every key before the first start, so that every DS is there from the beginning."""
        with ThreadPoolExecutor() as pool:
            made = dict(zip(self.zones, pool.map(self._make_zone_key, self._zone_texts()), strict=True))
        spare = self.folder / "spare"
        spare.mkdir()
        self.foreign_ds = self._ds_of(self._tool("dnssec-keygen", "-K", "spare", *_CSK, "x.raspidemo"), spare)
        self.anchor = f"{DOMAIN} IN DS {made[DOMAIN]}"
        (self.folder / "anchor").write_text(self.anchor + "\n")
        for zone in self.zones:
            text = _ZONE.format(ttl=TTL, zone=zone.to_text(omit_final_dot=True))
            for child in self.zones:
                if child != zone and child.parent() == zone:
                    text += f"{child} NS ns1.{child}\nns1.{child} A 127.0.0.1\n{child} DS {made[child]}\n"
            (self.folder / f"{zone.to_text(omit_final_dot=True)}.db").write_text(text)

    def _make_zone_key(self, zone: str) -> str:
        options = ("-k", "trust", "-l", str(self.folder / "named.conf"), "-K", "keys")
        return self._ds_of(self._tool("dnssec-keygen", "-q", *options, zone), self.folder / "keys")

    def _ds_of(self, key: str, folder: Path) -> str:
        """The data of the DS record of a key file."""
        return self._tool("dnssec-dsfromkey", "-2", str(folder / key)).split(" DS ")[1]

    def _write_unbound_configuration(self, named_port: int, resolver_port: int) -> None:
        text = _UNBOUND.format(home=self.folder, port=resolver_port)
        for zone in self.zones:
            text += f'stub-zone:\n  name: "{zone}"\n  stub-addr: 127.0.0.1@{named_port}\n'
        (self.folder / "unbound.conf").write_text(text)

    def _zone_texts(self) -> list[str]:
        return [zone.to_text(omit_final_dot=True) for zone in self.zones]

    def _tool(self, name: str, *options: str) -> str:
        done = subprocess.run(
            [program(name), *options], cwd=self.folder, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()


def program(name: str) -> str:
    found = shutil.which(name, path="/usr/sbin:/usr/bin:/sbin:/bin")
    assert found, f"{name} is missing; tools/bootstrap installs it"
    return found
