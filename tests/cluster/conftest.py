"""A cluster that stands: its hosts by testinfra, its resolvers and name servers by DNS through SSH.

LIGHTEST_INVENTORY names the inventory; what is expected of the cluster is computed from it.
"""

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import dns.name
import pytest
import testinfra
from testinfra.host import Host

from lightest_agents.cluster.inventory import Inventory, load_inventory
from lightest_agents.cluster.questions import Ask, asker
from lightest_agents.cluster.ssh import SshMachine
from lightest_agents.fleet import Fleet, Zone


@dataclass(frozen=True)
class Cluster:
    """The hosts of an inventory and what it says of them."""

    inventory: Inventory
    fleet: Fleet
    machines: dict[str, SshMachine]

    def host(self, name: str) -> Host:
        """A host for testinfra's modules, as root."""
        values = self.inventory.hostvars[name]
        return testinfra.get_host(
            f"ssh://{values['ansible_user']}@{values['ansible_host']}",
            ssh_identity_file=values["ansible_ssh_private_key_file"],
            ssh_extra_args=f"-o UserKnownHostsFile={values['trust_known_hosts']}",
            controlpersist=60,
            sudo=True,
        )

    @cached_property
    def validator(self) -> str:
        """The host whose resolver plays the verifier's part."""
        return self.inventory.groups["verifiers"][0]

    def resolve(self, host: str | None = None) -> Ask:
        """Ask the resolver on a host's loopback, by default the verifier's."""
        machine = self.machines[host or self.validator]
        return asker(lambda: machine.open_stream("127.0.0.1", 53))

    def authority(self, zone: Zone) -> Ask:
        """Ask the server of a zone, from the host that it runs on."""
        address = self.inventory.hostvars[zone.primary]["trust_ipv4"]
        return asker(lambda: self.machines[zone.primary].open_stream(address, 53), recurse=False)

    def forget(self) -> None:
        """Empty every resolver's cache of the trust domain."""
        for name in self.inventory.groups["resolvers"]:
            self.machines[name].run("unbound-control", "flush_zone", str(self.fleet.domain))


def _inventory() -> Inventory:
    return load_inventory(Path(os.environ["LIGHTEST_INVENTORY"]))


def _fleet(inventory: Inventory) -> Fleet:
    return Fleet.load(inventory.directory, inventory.hostvars, inventory.groups)


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    inventory = _inventory()
    machines = {name: SshMachine(name, values) for name, values in inventory.hostvars.items()}
    yield Cluster(inventory, _fleet(inventory), machines)
    for machine in machines.values():
        machine.close()


@pytest.fixture
def host(cluster: Cluster, name: str) -> Host:
    """The host called `name`, which a test is parametrized with by `on_hosts_of`."""
    return cluster.host(name)


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    # A scenario verifies several times; each run has a report of its own.
    if reports := os.environ.get("LIGHTEST_REPORTS"):
        config.option.xmlpath = f"{reports}-{time.strftime('%H%M%S')}.xml"
    config.addinivalue_line("markers", "on_hosts_of(group): run once for each host of the group")
    config.addinivalue_line("markers", "for_each_zone: run once for each zone")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    for marker in metafunc.definition.iter_markers("on_hosts_of"):
        metafunc.parametrize("name", _inventory().groups[marker.args[0]])
    for _ in metafunc.definition.iter_markers("for_each_zone"):
        zones = _fleet(_inventory()).zones
        metafunc.parametrize("zone", zones, ids=[str(zone.name) for zone in zones])


def below(label: str, name: dns.name.Name) -> dns.name.Name:
    """`label.name`"""
    return dns.name.Name((label.encode(), *name.labels))
