"""The signed hierarchy as a verifier sees it, and what its zones hold."""

import dns.dnssec
import dns.dnssectypes
import dns.name
import dns.rcode
import pytest
from dns.rdatatype import DNSKEY, DS, NSEC3PARAM, PTR, SOA, A

from lightest_agents.fleet import Zone, ZoneKind
from lightest_agents.trust.names import CountryNames, pointer

from .conftest import Cluster, below

OWNED = {"A", "AAAA", "NS", "PTR"}


def claims(cluster: Cluster) -> list[tuple[dns.name.Name, dns.name.Name]]:
    """Each sensor's claim and trust scheme."""
    return [
        (names.claim(sensor.name), names.trust_scheme(sensor.name))
        for country in cluster.fleet.countries.values()
        for names in [CountryNames.under(cluster.fleet.domain, country.name)]
        for sensor in country.sensors
    ]


def test_every_pointer_is_validated(cluster: Cluster) -> None:
    ask = cluster.resolve()
    assert claims(cluster)
    for claim, scheme in claims(cluster):
        answer = ask(pointer(claim), PTR)
        assert answer.authenticated, (claim, answer)
        assert answer.rrset is not None
        assert [rdata.target for rdata in answer.rrset] == [pointer(scheme)]


def test_every_claim_is_validated(cluster: Cluster) -> None:
    ask = cluster.resolve()
    for country in cluster.fleet.countries.values():
        for sensor in country.sensors:
            claim = CountryNames.under(cluster.fleet.domain, country.name).claim(sensor.name)
            answer = ask(claim, A)
            assert (answer.rcode, answer.authenticated) == (dns.rcode.NOERROR, True), claim
            addresses = [str(rdata.address) for rdata in answer.rrset or ()]
            assert addresses == ([str(sensor.ipv4)] if sensor.ipv4 else [])


@pytest.mark.for_each_zone
def test_a_name_that_is_not_there_is_denied_with_proof(cluster: Cluster, zone: Zone) -> None:
    answer = cluster.resolve()(below("nobody", zone.name), A)
    assert (answer.rcode, answer.authenticated, answer.rrset) == (dns.rcode.NXDOMAIN, True, None)


def test_what_is_not_in_the_inventory_is_denied_with_proof(cluster: Cluster) -> None:
    """A sensor and a country that the scenarios remove are gone for a resolver that had seen them, too."""
    domain = cluster.fleet.domain
    gone = {below("india", domain), below("sensor2", below("germany", domain))}
    gone -= {zone.name for zone in cluster.fleet.zones} | {claim for claim, _scheme in claims(cluster)}
    for name in gone:
        answer = cluster.resolve()(pointer(name), PTR)
        assert (answer.rcode, answer.authenticated) == (dns.rcode.NXDOMAIN, True), name


@pytest.mark.on_hosts_of("resolvers")
@pytest.mark.for_each_zone
def test_every_resolver_validates_every_zone(cluster: Cluster, name: str, zone: Zone) -> None:
    answer = cluster.resolve(name)(zone.name, SOA)
    assert answer.authenticated, answer


@pytest.mark.on_hosts_of("resolvers")
def test_names_outside_the_trust_domain_are_refused(cluster: Cluster, name: str) -> None:
    assert cluster.resolve(name)(dns.name.from_text("example.com"), A).rcode == dns.rcode.REFUSED


def test_delv_validates_from_the_anchor(cluster: Cluster) -> None:
    host = cluster.host(cluster.validator)
    domain = cluster.fleet.domain.to_text(omit_final_dot=True)
    anchors = " ".join(
        f'"{domain}" static-ds {tag} {algorithm} {kind} "{digest}";'
        for line in host.file("/etc/unbound/trust-anchor.key").content_string.splitlines()
        if not line.startswith(";")
        for _name, _class, _type, tag, algorithm, kind, digest in [line.split()]
    )
    for claim, _scheme in claims(cluster):
        said = host.check_output(
            f"echo 'trust-anchors {{ {anchors} }};' > /run/delv.anchors;"
            f" delv -a /run/delv.anchors +root={domain} @127.0.0.1 {pointer(claim)} PTR"
        )
        assert "; fully validated" in said


@pytest.mark.for_each_zone
def test_ds_in_the_parent_is_made_of_the_keys_in_the_child(cluster: Cluster, zone: Zone) -> None:
    keys = cluster.authority(zone)(zone.name, DNSKEY).rrset
    assert keys is not None
    made = {dns.dnssec.make_ds(zone.name, key, "SHA256").to_text() for key in keys if key.flags & 1}
    if zone.parent is None:
        anchor = cluster.host(cluster.validator).file("/etc/unbound/trust-anchor.key").content_string
        published = {line.split(" DS ")[1].lower() for line in anchor.splitlines() if " DS " in line}
        made = {text.lower() for text in made}
    else:
        parent = next(each for each in cluster.fleet.zones if each.name == zone.parent)
        answer = cluster.authority(parent)(zone.name, DS)
        assert answer.rrset is not None
        published = {rdata.to_text() for rdata in answer.rrset}
    assert published == made


@pytest.mark.for_each_zone
def test_a_zone_holds_what_the_inventory_says_and_nothing_else(cluster: Cluster, zone: Zone) -> None:
    name = zone.name.to_text(omit_final_dot=True)
    address = cluster.inventory.hostvars[zone.primary]["trust_ipv4"]
    transfer = cluster.host(zone.primary).check_output(
        f"dig -k /etc/bind/keys/operator.{name}.key @{address} {name} AXFR +onesoa +noall +answer"
    )
    records = {
        f"{owner} {ttl} {rdtype} {' '.join(rdata)}"
        for owner, ttl, _class, rdtype, *rdata in map(str.split, transfer.splitlines())
        if rdtype in OWNED
    }
    assert records == set(cluster.fleet.records(zone))


def test_delegations_are_those_of_the_inventory(cluster: Cluster) -> None:
    """No DS stays behind for a country that is gone."""
    domain = cluster.fleet.zones[0]
    name = domain.name.to_text(omit_final_dot=True)
    address = cluster.inventory.hostvars[domain.primary]["trust_ipv4"]
    transfer = cluster.host(domain.primary).check_output(
        f"dig -k /etc/bind/keys/operator.{name}.key @{address} {name} AXFR +onesoa +noall +answer"
    )
    secured = {fields[0] for fields in map(str.split, transfer.splitlines()) if fields[3] == "DS"}
    assert secured == {str(zone.name) for zone in cluster.fleet.zones if zone.kind is ZoneKind.COUNTRY}


@pytest.mark.for_each_zone
def test_zones_are_signed_by_the_policy_of_the_inventory(cluster: Cluster, zone: Zone) -> None:
    policy = cluster.inventory.setting("trust_dnssec")
    keys = cluster.authority(zone)(zone.name, DNSKEY).rrset or ()
    assert {key.algorithm for key in keys} == {dns.dnssectypes.Algorithm.ECDSAP256SHA256}
    assert sorted(key.flags for key in keys) == ([257] if policy["keys"] == "csk" else [256, 257])
    hashed = cluster.authority(zone)(zone.name, NSEC3PARAM).rrset
    assert (hashed is not None) == (policy["denial"] == "nsec3")
