"""The fleet: read from an inventory, checked as a whole, and turned into zones and records."""

import heapq
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dns.name

from lightest_agents.fleet import records
from lightest_agents.fleet.countries import read_countries
from lightest_agents.fleet.hosts import check_roles, read_hosts, roles_of_hosts
from lightest_agents.fleet.model import Country, Host, Settings, Unresolved, Zone, ZoneKind
from lightest_agents.fleet.report import Report
from lightest_agents.fleet.settings import HOST_KEYS, SETTING_KEYS, read_settings, refuse_unknown_keys
from lightest_agents.fleet.sources import Sources
from lightest_agents.fleet.zones import zones_of

VARIABLES = SETTING_KEYS + HOST_KEYS
"""The variables of every host that `Fleet.load` needs."""


@dataclass(frozen=True, slots=True)
class Fleet:
    """Everything the inventory says, checked.

    Attributes:
        settings: what holds for the whole cluster.
        hosts: the machines that have a role, by name.
        countries: by label, in alphabetical order.
        zones: top-down: the trust domain, then the country zones, then the scheme zones.
    """

    settings: Settings
    hosts: Mapping[str, Host]
    countries: Mapping[str, Country]
    zones: tuple[Zone, ...]

    @classmethod
    def load(
        cls,
        inventory_dir: Path,
        hostvars: Mapping[str, Mapping[str, Any]],
        groups: Mapping[str, Sequence[str]],
    ) -> "Fleet":
        """Read and check an inventory as a whole.

        Args:
            inventory_dir: the folder with `countries/`.
            hostvars: for each host its variables, of which `VARIABLES` are read; templates must have been
                rendered, and an `Unresolved` stands for one that could not be.
            groups: the hosts of each inventory group.

        Raises:
            InventoryError: it carries every problem at once.
        """
        sources = Sources.scan(inventory_dir)
        report = Report(sources)
        refuse_unknown_keys(sources, report)
        variables = {host: _plain_variables(hostvars.get(host, {})) for host in roles_of_hosts(groups)}
        read = read_settings(variables, report)
        hosts = read_hosts(variables, groups, report)
        check_roles(hosts, read, report)
        countries = read_countries(inventory_dir, read, hosts, report)
        report.raise_if_any()
        return cls(
            settings=read.settings,
            hosts=hosts,
            countries={country.name: country for country in countries},
            zones=zones_of(read.settings, countries),
        )

    @property
    def domain(self) -> dns.name.Name:
        """The trust domain."""
        return self.settings.domain

    def records(self, zone: Zone) -> Iterable[str]:
        """The operator's records in one of `zones`: sorted lines `owner ttl TYPE rdata`, names absolute."""
        own = records.server_records(zone, self.hosts[zone.primary], self.settings.ttl)
        below = [line for child in self._children(zone) for line in self._delegation(child)]
        match zone.kind:
            case ZoneKind.DOMAIN:
                more = self._host_records(zone)
            case ZoneKind.COUNTRY:
                more = self._sensor_records(zone)
            case ZoneKind.SCHEME:
                more = iter(())
        return heapq.merge(sorted(own + below), more)

    def _children(self, zone: Zone) -> Iterator[Zone]:
        return (child for child in self.zones if child.parent == zone.name)

    def _delegation(self, child: Zone) -> list[str]:
        return records.server_records(child, self.hosts[child.primary], self.settings.ttl)

    def _host_records(self, zone: Zone) -> Iterator[str]:
        return iter(records.host_records(zone, self.hosts.values(), self.settings.ttl))

    def _sensor_records(self, zone: Zone) -> Iterator[str]:
        (scheme,) = zone.delegations
        sensors = self.countries[zone.country or ""].sensors
        return records.sensor_records(zone, scheme, sensors, self.settings.ttl)


def _plain_variables(variables: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _plain(variables[key]) for key in VARIABLES if key in variables}


def _plain(value: object) -> object:
    """`value` without the subclasses in which Ansible carries a value's origin."""
    match value:
        case None | bool() | Unresolved():
            return value
        case str():
            return str.__str__(value)
        case int():
            return int(value)
        case float():
            return float(value)
        case Mapping():
            return {_plain(key): _plain(item) for key, item in value.items()}
        case list() | tuple():
            return [_plain(item) for item in value]
        case _:
            return value
