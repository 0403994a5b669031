"""What the sub-commands of `lightest cluster` do; returns values, prints nothing but a host's journal."""

from collections.abc import Sequence
from pathlib import Path

from dns.rdtypes.ANY.DS import DS

from lightest_agents.cluster import chain as chains
from lightest_agents.cluster import status as statuses
from lightest_agents.cluster.inventory import Inventory, load_inventory
from lightest_agents.cluster.questions import asker
from lightest_agents.cluster.ssh import Machine, RemoteCommandError, machines
from lightest_agents.cluster.walk import read_name, walk_chain
from lightest_agents.errors import InventoryError
from lightest_agents.fleet import Fleet
from lightest_agents.fleet.model import Group
from lightest_agents.trust import names

_ANCHOR_FILE = "/etc/unbound/trust-anchor.key"
_RESOLVER = ("127.0.0.1", 53)


def load(source: Path | None) -> Inventory:
    """The inventory; see `load_inventory`."""
    return load_inventory(source)


def status(inventory: Inventory) -> statuses.Status:
    """The health of the cluster.

    Raises:
        InventoryError: the inventory is not usable.
    """
    fleet = Fleet.load(inventory.directory, inventory.hostvars, inventory.groups)
    with machines(inventory.hostvars) as hosts:
        return statuses.survey(
            list(hosts.values()),
            {
                name: str(values.get("trust_ipv4") or values.get("ansible_host") or name)
                for name, values in inventory.hostvars.items()
            },
            {name: inventory.groups_of(name) for name in hosts},
            fleet.zones,
        )


def chain(inventory: Inventory, name: str, source: str | None) -> chains.Chain:
    """The chain down to a name, from the resolver on a host.

    Args:
        inventory: the cluster.
        name: what the operator typed.
        source: the resolver's host; by default the first verifier, else the first resolver.

    Raises:
        NameRefusedError: the name is not in the trust domain.
        InventoryError: there is no such host, or no resolver on it.
        HostUnreachableError: the host is down.
        RemoteCommandError: its trust anchor cannot be read.
    """
    domain = names.trust_domain(str(inventory.setting("trust_domain")))
    wanted = read_name(name, domain)
    host = _resolver_host(inventory, source)
    with machines({host: inventory.hostvars[host]}) as hosts:
        machine = hosts[host]
        anchor = _read_anchor(machine)
        ask = asker(lambda: machine.open_stream(*_RESOLVER))
        return walk_chain(ask, wanted, domain, anchor, host)


def logs(
    inventory: Inventory, host: str, units: Sequence[str], *, lines: int, follow: bool, as_json: bool
) -> int:
    """Print the journal of a host's services as it comes; journalctl's exit code.

    Raises:
        InventoryError: there is no such host.
        HostUnreachableError: it is down.
    """
    _check_host(inventory, host)
    units = units or statuses.services_of(inventory.groups_of(host))
    command = ["journalctl", "--no-pager", f"--lines={lines}", *(f"--unit={unit}" for unit in units)]
    if follow:
        command.append("--follow")
    if as_json:
        command.append("--output=json")
    with machines({host: inventory.hostvars[host]}) as hosts:
        return hosts[host].stream(*command, follow=follow)


def _read_anchor(machine: Machine) -> tuple[DS, ...]:
    try:
        return chains.read_anchor(machine.run("cat", _ANCHOR_FILE))
    except RemoteCommandError as error:
        raise RemoteCommandError(
            f"{machine.name} has no trust anchor that can be read; run `ansible-playbook site.yml` ({error})"
        ) from error


def _resolver_host(inventory: Inventory, source: str | None) -> str:
    resolvers = inventory.groups.get(Group.RESOLVER, ())
    if source is not None:
        _check_host(inventory, source)
        if source not in resolvers:
            raise InventoryError(
                f"{source} runs no resolver; group {Group.RESOLVER} has {', '.join(resolvers) or 'no host'}"
            )
        return source
    candidates = [host for host in inventory.groups.get(Group.VERIFIER, ()) if host in resolvers] or resolvers
    if not candidates:
        raise InventoryError(f"no host is in group {Group.RESOLVER}, so there is no resolver to ask")
    return candidates[0]


def _check_host(inventory: Inventory, host: str) -> None:
    if host not in inventory.hostvars:
        raise InventoryError(f"{host} is no host of the inventory; it has {', '.join(inventory.hostvars)}")
