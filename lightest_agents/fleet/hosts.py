"""Reading the inventory's hosts, and which of them may play which role."""

import difflib
from collections.abc import Callable, Mapping, Sequence
from ipaddress import IPv4Address, IPv6Address
from typing import Any, TypeVar

from lightest_agents.errors import NameRefusedError
from lightest_agents.fleet.model import AGENT_GROUPS, Group, Host
from lightest_agents.fleet.problems import known, show
from lightest_agents.fleet.report import Report
from lightest_agents.fleet.settings import SettingsRead, template_problem
from lightest_agents.fleet.values import host_ipv4, host_ipv6, own_label

_Address = TypeVar("_Address", IPv4Address, IPv6Address)

# "namservers", "sensor" and "Resolvers" are alike; "rack1" or "pis" are not.
_SIMILARITY = 0.85


def roles_of_hosts(groups: Mapping[str, Sequence[str]]) -> dict[str, frozenset[Group]]:
    """Every host that has a role, with its roles."""
    roles: dict[str, set[Group]] = {}
    for group in Group:
        for host in groups.get(group, ()):
            roles.setdefault(str(host), set()).add(group)
    return {host: frozenset(found) for host, found in roles.items()}


def read_hosts(
    hostvars: Mapping[str, Mapping[str, Any]], groups: Mapping[str, Sequence[str]], report: Report
) -> dict[str, Host]:
    """Read the hosts that have a role; `hostvars` holds plain values."""
    _check_groups(groups, report)
    hosts = {
        name: Host(
            name=name,
            groups=roles,
            ipv4=_address(name, "trust_ipv4", hostvars.get(name, {}), host_ipv4, report),
            ipv6=_address(name, "trust_ipv6", hostvars.get(name, {}), host_ipv6, report),
        )
        for name, roles in roles_of_hosts(groups).items()
    }
    for host in hosts.values():
        if host.is_named or Group.NAMESERVER in host.groups:
            _check_reachable(host, hostvars.get(host.name, {}), report)
        if host.is_named:
            _check_name(host.name, report)
        # That the group is empty has been said once.
        if groups.get(Group.RESOLVER):
            _check_resolver(host, report)
    _check_clashes(hosts, report)
    return hosts


def check_roles(hosts: Mapping[str, Host], read: SettingsRead, report: Report) -> None:
    """Check that the hosts which the settings name exist and are in the group they need."""
    if "trust_nameserver" not in read.broken:
        problem = role_problem(read.settings.nameserver, Group.NAMESERVER, hosts)
        if problem is not None:
            report.setting("trust_nameserver", problem)
    for label, supplier in read.settings.suppliers.items():
        if supplier.host is not None:
            problem = role_problem(supplier.host, Group.SUPPLIER, hosts)
            if problem is not None:
                report.setting(f"trust_suppliers.{label}.host", problem)
    if "trust_suppliers" not in read.broken:
        _check_supplier_hosts(hosts, read, report)


def _check_supplier_hosts(hosts: Mapping[str, Host], read: SettingsRead, report: Report) -> None:
    """A supplier's agent acts for one company."""
    for host in hosts.values():
        if Group.SUPPLIER in host.groups:
            labels = [label for label, each in read.settings.suppliers.items() if each.host == host.name]
            if not labels:
                sentence = (
                    "is in group suppliers but no entry of trust_suppliers has it as host; name it there"
                )
                report.host(host.name, "", sentence)
            elif len(labels) > 1:
                sentence = f"is the host of the suppliers {', '.join(labels)}; give each a host of its own"
                report.host(host.name, "", sentence)


def role_problem(name: str, group: Group, hosts: Mapping[str, Host]) -> str | None:
    """Why the host called `name` cannot act as a member of `group`, or None if it can."""
    host = hosts.get(name)
    if host is not None and group in host.groups:
        return None
    members = known(other.name for other in hosts.values() if group in other.groups)
    return f"{show(name)} is not an inventory host in group {group}; {members}"


def _check_groups(groups: Mapping[str, Sequence[str]], report: Report) -> None:
    roles = [str(group) for group in Group]
    for name in sorted(str(group) for group in groups):
        alike = difflib.get_close_matches(name.lower(), roles, n=1, cutoff=_SIMILARITY)
        if alike and name not in roles:
            report.group(
                show(name), f"gives its hosts no role; name it {show(alike[0])}, or something less alike"
            )
    if not groups.get(Group.RESOLVER):
        report.group("resolvers", "has no host; put at least one host in it")
    for group in (Group.TSPA, Group.VERIFIER):
        if groups.get(Group.SENSOR) and not groups.get(group):
            report.group(group, "has no host; the hosts in sensors need one")


def _address(
    host: str, key: str, variables: Mapping[str, Any], parse: Callable[[str], _Address], report: Report
) -> _Address | None:
    value = variables.get(key)
    if value is None:
        return None
    problem = template_problem(value)
    if problem is None and not isinstance(value, str):
        problem = f"{show(value)} must be an address as text; put it in quotes"
    if problem is None:
        try:
            return parse(value)
        except ValueError as error:
            problem = str(error)
    report.host(host, key, problem)
    return None


def _check_reachable(host: Host, variables: Mapping[str, Any], report: Report) -> None:
    if variables.get("trust_ipv4") is None and variables.get("trust_ipv6") is None:
        report.host(host.name, "", "has no address; give it trust_ipv4, trust_ipv6 or both")


def _check_resolver(host: Host, report: Report) -> None:
    roles = host.groups & AGENT_GROUPS
    if roles and Group.RESOLVER not in host.groups:
        sentence = (
            f"is in group {min(roles)} but not in resolvers; its agent asks the resolver of its own host"
        )
        report.host(host.name, "", f"{sentence}, so add it there")


def _check_name(name: str, report: Report) -> None:
    try:
        own_label(name)
    except NameRefusedError as error:
        report.host(name, "", f"the host's name goes into the trust domain: {error}")


def _check_clashes(hosts: Mapping[str, Host], report: Report) -> None:
    owners: dict[IPv4Address | IPv6Address, str] = {}
    for host in hosts.values():
        for key, address in (("trust_ipv4", host.ipv4), ("trust_ipv6", host.ipv6)):
            if address is None:
                continue
            owner = owners.setdefault(address, host.name)
            if owner != host.name:
                report.host(
                    host.name, key, f"{address} is already the address of host {owner}; change one of them"
                )
