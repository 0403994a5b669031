"""The chain as a real Unbound validates it, over zones that a real BIND serves, whole and broken."""

import shutil
import socket
import subprocess
import textwrap
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import dns.name
import dns.rdatatype
import pytest
from dns.rdtypes.ANY.DS import DS

from lightest_agents.cluster.chain import Chain, LinkKind, State, read_anchor
from lightest_agents.cluster.questions import Ask, Stream, asker
from lightest_agents.cluster.render import make_console, print_chain
from lightest_agents.cluster.status import ds_of, look_at_zone
from lightest_agents.cluster.walk import read_name, walk_chain

DOMAIN = dns.name.from_text("raspidemo")
UNLOADED = "iceland.raspidemo"  # in the configuration of BIND, but its file is missing
SENSOR = "_scheme._trust.sensor1 PTR _scheme._trust.sensor1.trust.{zone}.\nsensor1 A 192.0.2.7\n"


@dataclass(frozen=True, slots=True)
class Hierarchy:
    """Zones below `raspidemo`, one country for each state of a chain."""

    named: int
    unbound: int
    anchor: tuple[DS, ...]

    @property
    def ask(self) -> Ask:
        return ask_port(self.unbound)

    def chain(self, name: str) -> Chain:
        return walk_chain(self.ask, read_name(name, DOMAIN), DOMAIN, self.anchor, "test")


def ask_port(port: int, *, recurse: bool = True, timeout: float = 20) -> Ask:
    def connect() -> Stream:
        return socket.create_connection(("127.0.0.1", port), timeout=2)

    return asker(connect, recurse=recurse, timeout=timeout)


class Signer:
    """Makes zone files with BIND's own signing tools."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.served: list[str] = []

    def write(self, zone: str, records: str) -> Path:
        """An unsigned zone, not yet served."""
        soa = f"@ SOA ns1.{zone}. hostmaster.{zone}. 7 3600 600 86400 60"
        head = f"$TTL 300\n{soa}\n NS ns1.{zone}.\nns1 A 127.0.0.1\n"
        path = self.folder / f"{zone}.db"
        path.write_text(head + records.format(zone=zone))
        self.served.append(zone)
        return path

    def sign(self, zone: str, records: str, *options: str) -> str:
        """Serve a zone signed by one new CSK; its DS record."""
        path = self.write(zone, records)
        key = self.tool("dnssec-keygen", "-q", "-a", "ECDSAP256SHA256", "-f", "KSK", zone).strip()
        self.tool("dnssec-signzone", "-q", "-S", "-z", "-o", zone, "-f", str(path), *options, str(path), key)
        return self.tool("dnssec-dsfromkey", "-2", key)

    def foreign_ds(self, zone: str) -> str:
        """The DS of a key that the zone does not have."""
        key = self.tool(
            "dnssec-keygen", "-q", "-a", "ECDSAP256SHA256", "-f", "KSK", "-K", str(self.spare), zone
        )
        return self.tool("dnssec-dsfromkey", "-2", str(self.spare / key.strip()))

    @property
    def spare(self) -> Path:
        folder = self.folder / "spare"
        folder.mkdir(exist_ok=True)
        return folder

    def tool(self, *command: str) -> str:
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout


def delegation(label: str, ds: str = "") -> str:
    return f"{label} NS ns1.{label}\nns1.{label} A 127.0.0.1\n{ds}"


def build_zones(signer: Signer) -> str:
    """Write all zones; the DS of the trust domain."""
    good = {
        country: signer.sign(f"trust.{country}.raspidemo", "")
        for country in ("germany", "france", "italy", "poland")
    }
    spain = signer.sign("trust.spain.raspidemo", "") and signer.foreign_ds("trust.spain.raspidemo")
    germany = SENSOR + (
        "_scheme._trust.lost PTR _scheme._trust.sensor1.elsewhere.\npointerless A 192.0.2.8\n"
    )
    parent = delegation(
        "germany", signer.sign("germany.raspidemo", germany + delegation("trust", good["germany"]))
    )
    signer.sign("france.raspidemo", SENSOR + delegation("trust", good["france"]))
    parent += delegation("france")
    signer.sign("italy.raspidemo", SENSOR + delegation("trust", good["italy"]))
    parent += delegation("italy", signer.foreign_ds("italy.raspidemo"))
    parent += delegation("spain", signer.sign("spain.raspidemo", SENSOR + delegation("trust", spain)))
    past = ("-P", "-s", "20200101000000", "-e", "20200201000000")
    parent += delegation("poland", signer.sign("poland.raspidemo", SENSOR, *past))
    signer.write("norway.raspidemo", SENSOR)
    parent += delegation("norway")
    parent += delegation("iceland", signer.foreign_ds(UNLOADED))
    return signer.sign("raspidemo", parent + "tspa A 192.0.2.9\n")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def named_conf(folder: Path, port: int, zones: list[str]) -> str:
    head = f"""
        options {{
          directory "{folder}"; pid-file none; session-keyfile none; recursion no;
          listen-on port {port} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }};
        }};
        controls {{ }};
        """
    return textwrap.dedent(head) + "".join(
        f'zone "{zone}" {{ type primary; file "{zone}.db"; }};\n' for zone in zones
    )


def unbound_conf(folder: Path, port: int, stubs: dict[str, int]) -> str:
    head = f"""
        server:
          interface: 127.0.0.1@{port}
          do-not-query-localhost: no
          username: ""
          chroot: ""
          directory: "{folder}"
          pidfile: ""
          use-syslog: no
          num-threads: 1
          module-config: "validator iterator"
          trust-anchor-file: "{folder}/anchor"
          ede: yes
          serve-expired: no
        remote-control:
          control-enable: no
        """
    return textwrap.dedent(head) + "".join(
        f'stub-zone:\n  name: "{zone}"\n  stub-addr: 127.0.0.1@{stub}\n' for zone, stub in stubs.items()
    )


def start(command: list[str], log: Path, port: int) -> subprocess.Popen[bytes]:
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
    deadline = time.monotonic() + 15
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            if process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.05)
                continue
            process.kill()
            pytest.fail(f"{command[0]} did not start: {log.read_text()}")
        return process


def program(name: str) -> str:
    found = shutil.which(name, path="/usr/sbin:/usr/bin")
    assert found, f"{name} is missing; tools/bootstrap installs it"
    return found


@pytest.fixture(scope="module")
def hierarchy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hierarchy]:
    folder = tmp_path_factory.mktemp("chain")
    signer = Signer(folder)
    anchor = build_zones(signer)
    (folder / "anchor").write_text(anchor)
    named_port, unbound_port = free_port(), free_port()
    (folder / "named.conf").write_text(named_conf(folder, named_port, [*signer.served, UNLOADED]))
    stubs = dict.fromkeys(signer.served, named_port) | {UNLOADED: named_port}
    (folder / "unbound.conf").write_text(unbound_conf(folder, unbound_port, stubs))
    named = start(
        [program("named"), "-g", "-c", str(folder / "named.conf")], folder / "named.log", named_port
    )
    try:
        unbound = start(
            [program("unbound"), "-d", "-c", str(folder / "unbound.conf")],
            folder / "unbound.log",
            unbound_port,
        )
        try:
            yield Hierarchy(named_port, unbound_port, read_anchor(anchor))
        finally:
            unbound.terminate()
            unbound.wait()
    finally:
        named.terminate()
        named.wait()


def states(chain: Chain) -> list[tuple[str, State]]:
    return [(link.name.to_text(omit_final_dot=True), link.state) for link in chain.links]


def test_a_claim_leads_through_three_validated_zones(hierarchy: Hierarchy) -> None:
    chain = hierarchy.chain("sensor1.germany.raspidemo")
    assert states(chain) == [
        ("raspidemo", State.HELD),
        ("germany.raspidemo", State.HELD),
        ("_scheme._trust.sensor1.germany.raspidemo", State.HELD),
        ("trust.germany.raspidemo", State.HELD),
    ]
    for link in chain.links:
        assert link.validated
        if link.kind is LinkKind.ZONE:
            assert [(key.role, key.algorithm) for key in link.keys] == [("CSK", "ECDSAP256SHA256")]
            assert [(ds.tag, ds.matches) for ds in link.ds] == [(link.keys[0].tag, True)]


@pytest.mark.parametrize("name", ["raspidemo", "germany.raspidemo", "trust.germany.raspidemo"])
def test_a_zone_shows_the_zones_down_to_it(hierarchy: Hierarchy, name: str) -> None:
    chain = hierarchy.chain(name)
    assert chain.held
    assert [link.kind for link in chain.links] == [LinkKind.ZONE] * name.count(".") + [LinkKind.ZONE]
    assert chain.links[-1].name == dns.name.from_text(name)


@pytest.mark.parametrize("name", ["tspa.raspidemo", "ns1.germany.raspidemo"])
def test_a_host_shows_the_zones_down_to_it_and_that_it_exists(hierarchy: Hierarchy, name: str) -> None:
    chain = hierarchy.chain(name)
    assert chain.held
    assert (chain.links[-1].kind, chain.links[-1].reason) == (LinkKind.NAME, "exists")


def test_a_signed_country_without_ds_is_insecure(hierarchy: Hierarchy) -> None:
    chain = hierarchy.chain("sensor1.france.raspidemo")
    assert states(chain) == [("raspidemo", State.HELD), ("france.raspidemo", State.INSECURE)]
    assert chain.links[1].reason == "the parent has no DS for it: signed, but not chained"
    assert chain.links[1].keys


def test_an_unsigned_country_is_insecure(hierarchy: Hierarchy) -> None:
    chain = hierarchy.chain("sensor1.norway.raspidemo")
    assert states(chain) == [("raspidemo", State.HELD), ("norway.raspidemo", State.INSECURE)]
    assert chain.links[1].reason == "the zone is not signed"


def test_a_foreign_ds_is_bogus_and_the_extended_error_is_shown(hierarchy: Hierarchy) -> None:
    chain = hierarchy.chain("sensor1.italy.raspidemo")
    assert states(chain) == [("raspidemo", State.HELD), ("italy.raspidemo", State.BOGUS)]
    link = chain.links[1]
    assert link.reason.startswith("the DS in the parent matches none of the zone's keys; EDE ")
    assert [ds.matches for ds in link.ds] == [False]


def test_a_foreign_ds_of_the_scheme_zone_breaks_the_last_link(hierarchy: Hierarchy) -> None:
    chain = hierarchy.chain("sensor1.spain.raspidemo")
    assert [state for _, state in states(chain)] == [State.HELD, State.HELD, State.HELD, State.BOGUS]


def test_expired_signatures_are_bogus_and_said_to_be_expired(hierarchy: Hierarchy) -> None:
    link = hierarchy.chain("sensor1.poland.raspidemo").links[-1]
    assert link.state is State.BOGUS
    assert link.reason.startswith("the signature of its keys expired at 2020-02-01 00:00 UTC; EDE ")


def test_a_claim_that_does_not_exist_is_proved_not_to(hierarchy: Hierarchy) -> None:
    chain = hierarchy.chain("sensor9.germany.raspidemo")
    assert states(chain)[2:] == [("sensor9.germany.raspidemo", State.ABSENT)]
    assert chain.links[-1].reason == "does not exist, proved"


def test_a_proved_denial_is_not_called_a_broken_chain(
    hierarchy: Hierarchy, capsys: pytest.CaptureFixture[str]
) -> None:
    print_chain(make_console(), hierarchy.chain("sensor9.germany.raspidemo"))
    out = capsys.readouterr().out
    assert "\nsensor9.germany.raspidemo: does not exist, proved\n" in out
    assert out.endswith("the chain holds, and proves that what was asked for is not there\n")


def test_a_sensor_without_pointer_is_no_claim(hierarchy: Hierarchy) -> None:
    chain = hierarchy.chain("pointerless.germany.raspidemo")
    assert chain.links[-1].state is State.EMPTY
    assert chain.links[-1].reason == "the claim has no pointer to a trust scheme, proved"


def test_a_pointer_out_of_the_trust_domain_is_refused(hierarchy: Hierarchy) -> None:
    assert hierarchy.chain("lost.germany.raspidemo").links[-1].state is State.OUTSIDE


def test_a_country_whose_name_server_fails_gives_no_answer(hierarchy: Hierarchy) -> None:
    chain = hierarchy.chain("sensor1.iceland.raspidemo")
    assert states(chain) == [("raspidemo", State.HELD), ("iceland.raspidemo", State.SILENT)]


def test_an_anchor_that_is_not_the_resolvers_is_noticed(hierarchy: Hierarchy) -> None:
    foreign = read_anchor(f"raspidemo. IN DS 1 13 2 {'00' * 32}")
    chain = walk_chain(hierarchy.ask, dns.name.from_text("germany.raspidemo"), DOMAIN, foreign, "test")
    assert states(chain) == [("raspidemo", State.MISMATCH)]


def test_a_resolver_that_hangs_times_out() -> None:
    with socket.create_server(("127.0.0.1", 0)) as hanging:
        ask = ask_port(hanging.getsockname()[1], timeout=0.3)
        started = time.monotonic()
        chain = walk_chain(ask, DOMAIN, DOMAIN, (), "test")
        assert time.monotonic() - started < 5
    assert states(chain) == [("raspidemo", State.SILENT)]
    assert chain.links[0].reason == "no answer within 0.3 s"


def test_a_resolver_that_is_down_is_said_to_be() -> None:
    chain = walk_chain(ask_port(free_port()), DOMAIN, DOMAIN, (), "test")
    assert chain.links[0].state is State.SILENT
    assert "refused" in chain.links[0].reason


def test_the_status_of_a_zone_comes_from_its_primary(hierarchy: Hierarchy) -> None:
    ask = ask_port(hierarchy.named, recurse=False)
    zone = dns.name.from_text("germany.raspidemo")
    report = look_at_zone(zone, "germany", ask, {}, ds_of(ask, zone))
    assert report.serial == 7
    assert [ds.matches for ds in report.ds] == [True]
    assert report.expires is not None
    assert [key.role for key in report.keys] == ["CSK"]


def test_the_status_of_a_zone_with_expired_signatures_says_so(hierarchy: Hierarchy) -> None:
    ask = ask_port(hierarchy.named, recurse=False)
    zone = dns.name.from_text("poland.raspidemo")
    report = look_at_zone(zone, "poland", ask, {}, ds_of(ask, zone))
    assert report.expires is not None
    assert report.problems(report.expires) == [
        "poland.raspidemo: a signature expired at 2020-02-01 00:00 UTC"
    ]
