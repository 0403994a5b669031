"""Attacks on the hierarchy. Each is seen to succeed or fail for its own reason, and its damage heals."""

import contextlib
import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import dns.flags
import dns.message
import dns.rcode
import pytest
from dns.rdatatype import DS, PTR, SOA, URI, A
from testinfra.host import Host

from lightest_agents.fleet import Zone, ZoneKind
from lightest_agents.trust.names import pointer

from .conftest import Cluster, below

PROJECT = Path(__file__).parents[2]


@pytest.fixture(autouse=True, scope="module")
def mark_the_end_in_the_logs(cluster: Cluster) -> Iterator[None]:
    """What these attacks leave in the logs is not an error of the cluster's."""
    yield
    cluster.forget()
    for name in cluster.inventory.hostvars:
        cluster.host(name).run("sleep 1; date +'%F %T' > /run/lightest-attacks-ended")


@pytest.fixture(scope="module")
def domain(cluster: Cluster) -> Zone:
    return cluster.fleet.zones[0]


@pytest.fixture(scope="module")
def country(cluster: Cluster) -> Zone:
    return next(zone for zone in cluster.fleet.zones if zone.kind is ZoneKind.COUNTRY)


@pytest.fixture(scope="module")
def scheme(cluster: Cluster, country: Zone) -> Zone:
    return next(zone for zone in cluster.fleet.zones if zone.parent == country.name)


def key_file(writer: str, zone: Zone) -> str:
    return f"/etc/bind/keys/{writer}.{zone.name.to_text(omit_final_dot=True)}.key"


def update(cluster: Cluster, zone: Zone, change: str, key: str = "") -> str:
    """What nsupdate says, on the host that serves the zone, to a change of it; nothing when it is made."""
    address = cluster.inventory.hostvars[zone.primary]["trust_ipv4"]
    said = cluster.host(zone.primary).run(
        f"nsupdate {key and '-k ' + key} <<'END' 2>&1\n"
        f"server {address}\nzone {zone.name}\n{change}\nsend\nEND"
    )
    assert (said.rc == 0) == (said.stdout == ""), said
    return str(said.stdout)


def test_an_unsigned_update_is_refused(cluster: Cluster, country: Zone) -> None:
    planted = below("planted", country.name)
    assert "REFUSED" in update(cluster, country, f"update add {planted} 60 A 192.0.2.1")
    assert cluster.authority(country)(planted, A).rcode == dns.rcode.NXDOMAIN


def test_an_update_with_a_wrong_secret_is_refused(cluster: Cluster, country: Zone) -> None:
    host = cluster.host(country.primary)
    key = key_file("operator", country).rpartition("/")[2].removesuffix(".key")
    host.check_output(f"tsig-keygen -a hmac-sha256 {key} > /run/forged.key")
    said = update(
        cluster, country, f"update add {below('planted', country.name)} 60 A 192.0.2.1", "/run/forged.key"
    )
    assert "NOTAUTH(BADSIG)" in said or "bad signature" in said.lower() or "BADSIG" in said, said
    host.run("rm /run/forged.key")


@pytest.mark.parametrize(
    "change",
    [
        "update add {claim} 60 A 192.0.2.1",
        "update add {pointer} 60 PTR _scheme._trust.evil.{scheme}",
        "update delete {pointer} PTR",
        "update add {scheme} 60 DS 1 13 2 " + "00" * 32,
        'update add {claim} 60 URI 10 1 "https://evil.example/"',
    ],
)
def test_the_schemes_key_cannot_write_in_the_country(
    cluster: Cluster, country: Zone, scheme: Zone, change: str
) -> None:
    claim = below("sensor1", country.name)
    filled = change.format(claim=claim, pointer=pointer(claim), scheme=scheme.name)
    assert "REFUSED" in update(cluster, country, filled, key_file("scheme", scheme))
    assert cluster.authority(country)(below("evil", scheme.name), A).rrset is None


@pytest.mark.parametrize(
    "rdata", ["A 192.0.2.1", "NS evil.example.", "PTR evil.example.", "DNSKEY 257 3 13 AA=="]
)
def test_the_schemes_key_cannot_write_other_types_in_its_zone(
    cluster: Cluster, scheme: Zone, rdata: str
) -> None:
    said = update(cluster, scheme, f"update add {scheme.name} 60 {rdata}", key_file("scheme", scheme))
    assert "REFUSED" in said


def test_the_schemes_key_can_write_what_it_is_for(cluster: Cluster, scheme: Zone) -> None:
    owner, key = pointer(below("planted", scheme.name)), key_file("scheme", scheme)
    assert update(cluster, scheme, f'update add {owner} 60 URI 10 1 "https://tspa/"', key) == ""
    assert cluster.resolve()(owner, URI).authenticated
    assert update(cluster, scheme, f"update delete {owner} URI", key) == ""


@pytest.mark.parametrize("rdata", ["TXT planted", "DNSKEY 257 3 13 AA==", "CDS 0 0 0 00"])
def test_the_operators_key_cannot_write_what_is_bind_s(cluster: Cluster, country: Zone, rdata: str) -> None:
    said = update(cluster, country, f"update add {country.name} 60 {rdata}", key_file("operator", country))
    assert "REFUSED" in said


@pytest.mark.for_each_zone
def test_a_transfer_without_key_is_refused(cluster: Cluster, zone: Zone) -> None:
    address = cluster.inventory.hostvars[zone.primary]["trust_ipv4"]
    said = cluster.host(cluster.validator).run(f"dig @{address} {zone.name} AXFR").stdout
    assert "Transfer failed" in said
    assert "DNSKEY" not in said


@pytest.mark.on_hosts_of("nameservers")
def test_recursion_is_refused(cluster: Cluster, name: str) -> None:
    address = cluster.inventory.hostvars[name]["trust_ipv4"]
    said = cluster.host(cluster.validator).run(f"dig @{address} example.com A").stdout
    assert "status: REFUSED" in said
    assert " ra" not in said.partition("flags:")[2].partition(";")[0]


@pytest.mark.on_hosts_of("nameservers")
def test_the_version_is_hidden(cluster: Cluster, name: str) -> None:
    address = cluster.inventory.hostvars[name]["trust_ipv4"]
    host = cluster.host(cluster.validator)
    for question in ("version.bind", "hostname.bind", "id.server"):
        assert host.run(f"dig +short @{address} {question} TXT CH").stdout.strip('"\n') == ""


def test_a_flood_of_equal_questions_is_limited(cluster: Cluster, domain: Zone) -> None:
    """From the controller, whose address is not one of the cluster's own resolvers."""
    server = (str(cluster.inventory.hostvars[domain.primary]["trust_ipv4"]), 53)
    question = dns.message.make_query(domain.name, SOA).to_wire()
    truncated = 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as flood:
        flood.settimeout(0.5)
        for _ in range(300):
            flood.sendto(question, server)
        with contextlib.suppress(TimeoutError):
            for _ in range(300):
                truncated += bool(dns.message.from_wire(flood.recv(4096)).flags & dns.flags.TC)
    assert truncated > 0


def test_a_replaced_ds_is_bogus_and_heals(cluster: Cluster, domain: Zone, country: Zone) -> None:
    operator = key_file("operator", domain)
    genuine = cluster.authority(domain)(country.name, DS).rrset
    assert genuine is not None
    wrong = f"update add {country.name} 300 DS 4711 13 2 {'ab' * 32}"
    try:
        assert update(cluster, domain, f"update delete {country.name} DS\n{wrong}", operator) == ""
        cluster.forget()
        answer = cluster.resolve()(pointer(below("sensor1", country.name)), PTR)
        assert (answer.rcode, answer.rrset) == (dns.rcode.SERVFAIL, None)
        assert answer.extended, "the resolver should say why"
    finally:
        restore = "\n".join(f"update add {country.name} 300 DS {rdata}" for rdata in genuine)
        assert update(cluster, domain, f"update delete {country.name} DS\n{restore}", operator) == ""
        cluster.forget()
    assert cluster.resolve()(pointer(below("sensor1", country.name)), PTR).authenticated


def test_a_broken_signature_is_bogus_and_heals(cluster: Cluster, country: Zone, scheme: Zone) -> None:
    host: Host = cluster.host(country.primary)
    zone = country.name.to_text(omit_final_dot=True)
    file = f"/var/lib/bind/zones/{zone}.db"
    owner = pointer(below("sensor1", country.name))
    cluster.forget()
    try:
        # BIND writes the file some time after it has said that the zone is frozen.
        host.check_output(f"rndc freeze {zone} && sleep 1")
        host.check_output(
            "python3 - <<'END'\n"
            "import dns.zone\n"
            f"zone = dns.zone.from_file('{file}', origin='{zone}.', relativize=False)\n"
            f"rrsigs = zone.find_rdataset('{owner}', 'RRSIG', covers='PTR')\n"
            "rrsig = rrsigs[0]\n"
            "broken = rrsig.replace(signature=bytes([rrsig.signature[0] ^ 1]) + rrsig.signature[1:])\n"
            "rrsigs.clear(); rrsigs.add(broken)\n"
            f"zone.to_file('{file}', relativize=False)\n"
            "END"
        )
        host.check_output(f"rndc thaw {zone}")
        answer = cluster.resolve()(owner, PTR)
        assert (answer.rcode, answer.rrset) == (dns.rcode.SERVFAIL, None)
        assert any("Bogus" in text for text in answer.extended), answer.extended
    finally:
        # Written anew, the record is signed anew.
        operator, target = key_file("operator", country), pointer(below("sensor1", scheme.name))
        assert update(cluster, country, f"update delete {owner} PTR", operator) == ""
        assert update(cluster, country, f"update add {owner} 300 PTR {target}", operator) == ""
        cluster.forget()
    assert cluster.resolve()(owner, PTR).authenticated


def test_a_play_stops_before_bind_makes_new_keys(cluster: Cluster, country: Zone) -> None:
    host = cluster.host(country.primary)
    zone = country.name.to_text(omit_final_dot=True)
    host.check_output(f"mkdir /run/lost && mv /var/lib/bind/keys/K{zone}.* /run/lost/")
    try:
        play = subprocess.run(
            ["ansible-playbook", "-i", os.environ["LIGHTEST_INVENTORY"], "site.yml", "--tags", "nameserver"],
            cwd=PROJECT,
            env={**os.environ, "ANSIBLE_CONFIG": str(PROJECT / "ansible.cfg")},
            capture_output=True,
            text=True,
        )
        assert play.returncode == 2
        assert f"{zone} is trusted by key, but /var/lib/bind/keys" in " ".join(play.stdout.split())
        assert host.run("/usr/local/sbin/lightest-check-keys").rc == 1, "BIND itself should not start, either"
        assert host.run(f"ls /var/lib/bind/keys/K{zone}.*").rc != 0, "no new key may have been made"
    finally:
        host.check_output("mv /run/lost/* /var/lib/bind/keys/ && rmdir /run/lost")
    assert host.run("/usr/local/sbin/lightest-check-keys").rc == 0
