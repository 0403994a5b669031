"""The values an inventory is made of, once everything in it has been checked."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address

import dns.name

NAMESERVER_LABEL = "ns1"
"""The label of every zone's name server; no sensor, country or named host may have it."""


class Group(StrEnum):
    """The inventory groups that give a host its roles."""

    NAMESERVER = "nameservers"
    RESOLVER = "resolvers"
    TSPA = "tspas"
    VERIFIER = "verifiers"
    SENSOR = "sensors"
    SUPPLIER = "suppliers"


NAMED_GROUPS = frozenset({Group.TSPA, Group.VERIFIER, Group.SUPPLIER})
"""The groups whose hosts have a name right under the trust domain."""


PORTS = {Group.TSPA: 443, Group.VERIFIER: 8443, Group.SUPPLIER: 9443}
"""The TCP port of each service; all may run on one host."""

AGENT_GROUPS = NAMED_GROUPS | {Group.SENSOR}
"""The groups whose hosts run agents, each of which asks the validating resolver of its own host."""


class ZoneKind(StrEnum):
    """What a zone is for."""

    DOMAIN = "domain"
    COUNTRY = "country"
    SCHEME = "scheme"


@dataclass(frozen=True, slots=True)
class Unresolved:
    """Stands for a variable that holds a template which could not be rendered; `reason` says why."""

    reason: str


@dataclass(frozen=True, slots=True)
class Host:
    """A machine that Ansible logs in to, with the addresses the trust domain gives it."""

    name: str
    groups: frozenset[Group]
    ipv4: IPv4Address | None
    ipv6: IPv6Address | None

    @property
    def is_named(self) -> bool:
        """Whether the host has a name right under the trust domain."""
        return not self.groups.isdisjoint(NAMED_GROUPS)


@dataclass(frozen=True, slots=True)
class Supplier:
    """A company that repairs; `host` is the inventory host that runs its agent, if there is one."""

    title: str
    host: str | None


@dataclass(frozen=True, slots=True)
class DnssecPolicy:
    """How zones are signed: `keys` is csk or ksk-zsk, `denial` is nsec or nsec3."""

    keys: str
    denial: str


@dataclass(frozen=True, slots=True)
class Settings:
    """What holds for the whole cluster; TTLs are in seconds, manufacturers map a label to a title."""

    domain: dns.name.Name
    nameserver: str
    ttl: int
    negative_ttl: int
    manufacturers: Mapping[str, str]
    suppliers: Mapping[str, Supplier]
    dnssec: DnssecPolicy
    forwarders: tuple[IPv4Address | IPv6Address, ...]
    ntp_servers: tuple[IPv4Address | IPv6Address, ...]


@dataclass(frozen=True, slots=True)
class Sensor:
    """One sensor; its addresses are its own or, where an inventory host runs it, those of `host`."""

    name: str
    manufacturer: str
    suppliers: tuple[str, ...]
    host: str | None
    ipv4: IPv4Address | None
    ipv6: IPv6Address | None


@dataclass(frozen=True, slots=True)
class Country:
    """One country, the inventory host that serves its zones, and its sensors in the order of the files."""

    name: str
    nameserver: str
    sensors: tuple[Sensor, ...]


@dataclass(frozen=True, slots=True)
class Zone:
    """One zone; all names are absolute.

    Attributes:
        parent: the zone that delegates to this one; None for the trust domain.
        primary: the inventory host that serves it.
        nameserver: the name in its NS record.
        delegations: the zones it delegates to.
        country: the country's label; None for the trust domain.
    """

    name: dns.name.Name
    kind: ZoneKind
    parent: dns.name.Name | None
    primary: str
    nameserver: dns.name.Name
    delegations: tuple[dns.name.Name, ...]
    country: str | None
