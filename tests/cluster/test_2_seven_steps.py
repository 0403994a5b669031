"""A fault's way from the sensor's thermometer to the supplier's lamp, and what must leave the lamp dark."""

import json
from typing import Any

import dns.name
import pytest
from dns.rdatatype import SMIMEA, TLSA, URI

from lightest_agents.fleet import agents
from lightest_agents.fleet.model import Group
from lightest_agents.trust.names import CountryNames, pointer

from .conftest import Cluster

STATE = {"tspas": "lightest-tspa", "verifiers": "lightest-verifier", "suppliers": "lightest-supplier"}


def services(cluster: Cluster, group: Group) -> list[dict[str, Any]]:
    return [service for service in agents(cluster.fleet)["services"] if service["group"] == group]


def sensors(cluster: Cluster) -> list[dict[str, Any]]:
    """The sensors that a host runs."""
    found: list[dict[str, Any]] = agents(cluster.fleet)["sensors"]
    return found


def run(cluster: Cluster, host: str, command: str, *codes: int) -> Any:
    """What a command prints as JSON; 0 is its only exit code unless others are given."""
    done = cluster.host(host).run(f"{command} --json")
    assert done.rc in (codes or (0,)), f"{host}: {command}: {done.stdout}{done.stderr}"
    return json.loads(done.stdout)


def heat(cluster: Cluster, sensor: dict[str, Any]) -> dict[str, Any]:
    """The verdict on a fault that the sensor raises, with its trace."""
    config = f"/etc/lightest/sensor-{sensor['claim']}.toml"
    raised = run(cluster, sensor["host"], f"lightest sensor heat 27.5 --for 2 --config {config} --wait 60")
    (verifier,) = services(cluster, Group.VERIFIER)
    found: dict[str, Any] = run(
        cluster, verifier["host"], f"lightest verifier trace {raised['id']} --wait 60", 0, 1
    )
    return found


def lamp(cluster: Cluster, sensor: dict[str, Any]) -> dict[str, Any]:
    """The lamp of the sensor's first supplier."""
    found: dict[str, Any] = run(cluster, _supplier_host(cluster, sensor), "lightest supplier lamp")
    return found


def acknowledge(cluster: Cluster, sensor: dict[str, Any]) -> None:
    """Whatever has been raised, by this test or before it."""
    done = cluster.host(_supplier_host(cluster, sensor)).run("lightest supplier acknowledge")
    assert done.rc in (0, 1), done.stderr


def _supplier_host(cluster: Cluster, sensor: dict[str, Any]) -> str:
    host = cluster.fleet.settings.suppliers[sensor["suppliers"][0]].host
    assert host is not None
    return host


def test_every_sensors_fault_lights_the_lamp_until_it_is_acknowledged(cluster: Cluster) -> None:
    assert sensors(cluster)
    for sensor in sensors(cluster):
        acknowledge(cluster, sensor)
        assert not lamp(cluster, sensor)["blinking"]
        found = heat(cluster, sensor)
        assert found["status"] == "accepted", found
        assert [link["state"] for link in found["trace"]] == ["held"] * 7
        assert lamp(cluster, sensor)["blinking"]
        acknowledge(cluster, sensor)
        assert not lamp(cluster, sensor)["blinking"]


def test_a_withdrawn_sensor_lights_no_lamp(cluster: Cluster) -> None:
    sensor = sensors(cluster)[0]
    acknowledge(cluster, sensor)
    (tspa,) = services(cluster, Group.TSPA)
    as_manufacturer = (
        f"--token-file /var/lib/lightest-tspa/tokens/{sensor['manufacturer']} --url {tspa['url']}"
    )
    change = (
        f"runuser -u lightest-tspa -- lightest tspa {{}} {sensor['claim']} --reason drill {as_manufacturer}"
    )
    run(cluster, tspa["host"], change.format("withdraw"))
    try:
        # The verifier may use the list it has for as long as the list's own cache headers say.
        (verifier,) = services(cluster, Group.VERIFIER)
        cluster.host(verifier["host"]).check_output("systemctl restart lightest-verifier")
        found = heat(cluster, sensor)
        assert (found["status"], found["reason"]) == ("rejected", "sensor-withdrawn")
        assert [link["state"] for link in found["trace"]] == ["held"] * 5 + ["broken", "not-reached"]
        assert not lamp(cluster, sensor)["blinking"]
    finally:
        run(cluster, tspa["host"], change.format("restore"))
        cluster.host(verifier["host"]).check_output("systemctl restart lightest-verifier")


def test_the_keys_of_every_service_are_in_the_dns(cluster: Cluster) -> None:
    for service in agents(cluster.fleet)["services"]:
        folder = f"/var/lib/{STATE[service['group']]}"
        digests = run(cluster, service["host"], f"lightest identity {folder}")
        for owner, rdtype, expected in (
            (f"_{service['port']}._tcp.{service['name']}.", TLSA, digests["tls"]),
            (f"_verdict._trust.{service['name']}.", SMIMEA, [digests["signer"]]),
        ):
            if rdtype is TLSA or service["group"] == Group.VERIFIER:
                answer = cluster.resolve()(dns.name.from_text(owner), rdtype)
                assert answer.authenticated, (owner, answer)
                assert sorted(rdata.to_text() for rdata in answer.rrset or ()) == sorted(expected)
        presented = cluster.host(service["host"]).check_output(
            f"openssl s_client -connect localhost:{service['port']} </dev/null 2>/dev/null"
            " | openssl x509 -pubkey -noout | openssl pkey -pubin -outform DER | sha256sum"
        )
        assert f"3 1 1 {presented.split()[0]}" == digests["tls"][0]


def test_a_scheme_zone_leads_to_the_lists_of_registered_sensors_and_no_others(cluster: Cluster) -> None:
    (tspa,) = services(cluster, Group.TSPA)
    registered = {sensor["claim"] for sensor in sensors(cluster)}
    for country in cluster.fleet.countries.values():
        names = CountryNames.under(cluster.fleet.domain, country.name)
        for sensor in country.sensors:
            owner = pointer(names.trust_scheme(sensor.name))
            uri, signer = (cluster.resolve()(owner, rdtype) for rdtype in (URI, SMIMEA))
            assert uri.authenticated, owner
            assert signer.authenticated, owner
            if names.claim(sensor.name).to_text(omit_final_dot=True) in registered:
                assert [rdata.target.decode() for rdata in uri.rrset or ()] == [
                    f"{tspa['url']}/lists/{country.name}/{sensor.name}"
                ]
                assert signer.rrset is not None
            else:
                assert (uri.rrset, signer.rrset) == (None, None)


@pytest.mark.on_hosts_of("sensors")
def test_a_sensors_key_never_left_its_host_and_is_its_own(cluster: Cluster, name: str) -> None:
    host = cluster.host(name)
    for sensor in sensors(cluster):
        if sensor["host"] == name:
            folder = f"/var/lib/lightest-sensor/{sensor['claim']}"
            assert host.check_output(f"stat -c '%a %U' {folder}/sensor.key") == "600 lightest-sensor"
