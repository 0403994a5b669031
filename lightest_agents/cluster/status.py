"""The health of a cluster: every host and every zone, and what is wrong with them."""

import importlib.resources
import json
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, Protocol

import dns.exception
import dns.name
import dns.rdatatype
from dns.rdtypes.ANY.DS import DS

from lightest_agents.cluster.chain import (
    DelegationSigner,
    Key,
    compare_ds,
    describe_keys,
    dnskeys,
    ds_records,
    read_anchor,
    show,
)
from lightest_agents.cluster.questions import Answer, Ask, asker
from lightest_agents.cluster.ssh import Machine, in_parallel
from lightest_agents.errors import LightestError
from lightest_agents.fleet.model import Group

MAX_CLOCK_ERROR = 2.0
"""Seconds a host's clock may be off."""

MAX_DISK_USE = 90.0
"""Per cent."""

MIN_SIGNATURE_LIFE = timedelta(days=3)
"""A name server that re-signs in time never gets this near to an RRSIG's expiry."""

_RESIGN_GRACE = timedelta(hours=1)
_EVERYWHERE = ("ssh", "nftables", "systemd-timesyncd")
_BY_GROUP: Mapping[str, tuple[str, ...]] = {
    Group.NAMESERVER: ("named",),
    Group.RESOLVER: ("unbound",),
    Group.TSPA: ("lightest-tspa",),
    Group.VERIFIER: ("lightest-verifier",),
    Group.SENSOR: ("lightest-sensor@*",),
    Group.SUPPLIER: ("lightest-supplier",),
}
_GOOD_STATES = ("active", "not possible")


class Zone(Protocol):
    """What is needed of a zone of the fleet."""

    @property
    def name(self) -> dns.name.Name:
        """Its name."""

    @property
    def parent(self) -> dns.name.Name | None:
        """The zone that delegates to it; None for the trust domain."""

    @property
    def primary(self) -> str:
        """The host that serves it."""


@dataclass(frozen=True, slots=True)
class HostReport:
    """One host.

    Attributes:
        unreachable: why nothing is known about it.
        offset: seconds its clock is ahead of ours, known to `± offset_error`.
        services: by systemd service, its state.
        disks: by path, per cent used.
        uptime: seconds.
    """

    name: str
    address: str
    groups: tuple[str, ...]
    unreachable: str | None = None
    offset: float = 0.0
    offset_error: float = 0.0
    synchronized: bool | None = None
    services: Mapping[str, str] | None = None
    failed_units: tuple[str, ...] = ()
    disks: Mapping[str, float] | None = None
    uptime: float = 0.0
    anchor: tuple[DS, ...] | None = None
    zone_status: Mapping[str, Mapping[str, str]] | None = None

    def problems(self) -> list[str]:
        """What is wrong, a sentence each."""
        if self.unreachable is not None:
            return [self.unreachable]
        found = []
        if abs(self.offset) - self.offset_error > MAX_CLOCK_ERROR:
            found.append(f"{self.name}: the clock is {self.offset:+.1f} s off; signatures are judged by it")
        for service, state in (self.services or {}).items():
            if state not in _GOOD_STATES:
                found.append(f"{self.name}: {service} is {state}; see `lightest cluster logs {self.name}`")
        found += [f"{self.name}: {unit} has failed" for unit in self.failed_units]
        for path, use in (self.disks or {}).items():
            if use > MAX_DISK_USE:
                found.append(f"{self.name}: {path} is {use:.0f} % full")
        return found


@dataclass(frozen=True, slots=True)
class ZoneReport:
    """One zone, as its primary serves it.

    Attributes:
        silent: why its name server gives no SOA.
        ds: of the parent, or of the resolvers' trust anchors for the trust domain.
        ds_problem: why the zone is not chained, in words.
        expires: when its first signature does; None when not known.
        resign: when BIND next renews one.
    """

    name: dns.name.Name
    primary: str
    silent: str | None = None
    serial: int | None = None
    keys: tuple[Key, ...] = ()
    ds: tuple[DelegationSigner, ...] = ()
    ds_problem: str | None = None
    expires: datetime | None = None
    resign: datetime | None = None

    def problems(self, now: datetime) -> list[str]:
        """What is wrong at an aware time, a sentence each."""
        zone = show(self.name)
        if self.silent is not None:
            return [f"{zone}: {self.primary} does not serve it: {self.silent}"]
        found = []
        if not self.keys:
            found.append(f"{zone}: it is not signed")
        if self.ds_problem is not None:
            found.append(f"{zone}: {self.ds_problem}")
        if self.expires is None:
            found.append(f"{zone}: no signature was found")
        elif self.expires <= now:
            found.append(f"{zone}: a signature expired at {self.expires:%Y-%m-%d %H:%M} UTC")
        elif self.expires - now < MIN_SIGNATURE_LIFE:
            found.append(
                f"{zone}: a signature expires at {self.expires:%Y-%m-%d %H:%M} UTC; is it re-signed?"
            )
        if self.resign is not None and self.resign < now - _RESIGN_GRACE:
            found.append(f"{zone}: re-signing has been due since {self.resign:%Y-%m-%d %H:%M} UTC")
        return found


@dataclass(frozen=True, slots=True)
class Status:
    """The whole cluster at an aware time."""

    now: datetime
    hosts: tuple[HostReport, ...]
    zones: tuple[ZoneReport, ...]

    def problems(self) -> list[str]:
        """Everything that is wrong, a sentence each, hosts first."""
        found = [problem for host in self.hosts for problem in host.problems()]
        return found + [problem for zone in self.zones for problem in zone.problems(self.now)]


def services_of(groups: Iterable[str]) -> tuple[str, ...]:
    """The systemd services that a host of these groups runs; one with `*` stands for all that match."""
    return (*(unit for group in groups for unit in _BY_GROUP.get(group, ())), *_EVERYWHERE)


def survey(
    machines: Sequence[Machine],
    addresses: Mapping[str, str],
    groups: Mapping[str, tuple[str, ...]],
    zones: Sequence[Zone],
) -> Status:
    """Look at every host and zone, hosts in parallel.

    Args:
        machines: the hosts to connect to.
        addresses: by host, where its name server listens.
        groups: by host, its groups.
        zones: all zones of the trust domain, top-down.
    """

    def look(machine: Machine) -> HostReport:
        served = [show(zone.name) for zone in zones if zone.primary == machine.name]
        return look_at_host(machine, addresses[machine.name], groups[machine.name], served)

    hosts = {report.name: report for report in in_parallel(look, machines)}
    servers = {
        machine.name: _asker(machine, addresses[machine.name])
        for machine in machines
        if hosts[machine.name].unreachable is None
    }
    anchors = {report.name: report.anchor for report in hosts.values() if report.anchor is not None}
    primaries = {zone.name: zone.primary for zone in zones}

    def look_at(zone: Zone) -> ZoneReport:
        ask = servers.get(zone.primary)
        if ask is None:
            return ZoneReport(zone.name, zone.primary, silent="the host is not reachable")
        if zone.parent is None:
            expected = anchors_of(anchors)
        elif (parent := servers.get(primaries[zone.parent])) is not None:
            expected = ds_of(parent, zone.name)
        else:
            expected = f"the DS is not known, as {primaries[zone.parent]} is not reachable"
        known = (hosts[zone.primary].zone_status or {}).get(show(zone.name), {})
        return look_at_zone(zone.name, zone.primary, ask, known, expected)

    reports = in_parallel(look_at, zones)
    return Status(datetime.now(UTC), tuple(hosts.values()), tuple(reports))


def _asker(machine: Machine, address: str) -> Ask:
    return asker(lambda: machine.open_stream(address, 53), recurse=False)


def look_at_host(machine: Machine, address: str, groups: tuple[str, ...], zones: Sequence[str]) -> HostReport:
    """Run the probe on a host with one remote command."""
    probe = importlib.resources.files(__package__).joinpath("probe.py").read_text(encoding="utf-8")
    units = dict.fromkeys(services_of(groups))
    try:
        machine.open()
        asked = time.time()
        output = machine.run("python3", "-", *units, "--", *zones, stdin=probe)
        answered = time.time()
        found = json.loads(output)
        return read_probe(machine.name, address, groups, found, asked, answered)
    except LightestError as error:
        return HostReport(machine.name, address, groups, unreachable=str(error))
    except (ValueError, KeyError, TypeError) as error:
        return HostReport(
            machine.name, address, groups, unreachable=f"{machine.name}: its report cannot be read: {error!r}"
        )


def read_probe(
    name: str, address: str, groups: tuple[str, ...], found: Mapping[str, Any], asked: float, answered: float
) -> HostReport:
    """The report of a host from what the probe printed between two Unix times of our clock.

    The remote times lie between ours, so the offset is within half the difference of the two round trips.
    """
    low, high = found["ended"] - answered, found["started"] - asked
    return HostReport(
        name,
        address,
        groups,
        offset=(low + high) / 2,
        offset_error=abs(high - low) / 2,
        synchronized=found["synchronized"],
        services=found["services"],
        failed_units=tuple(found["failed_units"]),
        disks=found["disks"],
        uptime=found["uptime"],
        anchor=read_anchor(found["anchor"]) if found["anchor"] is not None else None,
        zone_status=found["zones"],
    )


def anchors_of(anchors: Mapping[str, tuple[DS, ...]]) -> tuple[DS, ...] | str:
    """The one set of DS records that all resolvers have as trust anchor, or what is wrong."""
    if not anchors:
        return "no resolver that can be reached has a trust anchor"
    empty = [host for host, records in anchors.items() if not records]
    if empty:
        return f"the trust anchor on {', '.join(empty)} holds no DS record"
    if len({frozenset(records) for records in anchors.values()}) > 1:
        return f"the resolvers have different trust anchors: {', '.join(anchors)}; run site.yml"
    return next(iter(anchors.values()))


def ds_of(parent: Ask, zone: dns.name.Name) -> tuple[DS, ...] | str:
    """The DS records that the parent's primary serves, or what is wrong."""
    answer = parent(zone, dns.rdatatype.DS)
    if answer.failure is not None:
        return f"the parent's name server gives no DS: {answer.failure}"
    return ds_records(answer) or "the parent has no DS for it: signed, but not chained"


def look_at_zone(
    zone: dns.name.Name,
    primary: str,
    ask: Ask,
    status: Mapping[str, str],
    expected_ds: tuple[DS, ...] | str,
) -> ZoneReport:
    """Ask a zone's primary for what tells its health, with the same few questions for any size.

    Args:
        zone: its name.
        primary: the host that serves it.
        ask: asks that host's name server.
        status: what `rndc zonestatus` says about it.
        expected_ds: the DS records of parent or anchor, or why there are none.
    """
    soa = ask(zone, dns.rdatatype.SOA)
    if soa.failure is not None or soa.rrset is None:
        return ZoneReport(zone, primary, silent=soa.failure or f"it answers {soa.rcode.name} without an SOA")
    keys = ask(zone, dns.rdatatype.DNSKEY)
    ds = () if isinstance(expected_ds, str) else compare_ds(zone, dnskeys(keys), expected_ds)
    problem = expected_ds if isinstance(expected_ds, str) else None
    if problem is None and not any(each.matches for each in ds):
        problem = "no key of the zone matches its DS; resolvers refuse everything in it"
    return ZoneReport(
        zone,
        primary,
        serial=soa.rrset[0].serial,
        keys=describe_keys(dnskeys(keys), soa),
        ds=ds,
        ds_problem=problem,
        expires=earliest_expiry([soa, keys, *next_to_resign(ask, status)]),
        resign=resign_time(status),
    )


def next_to_resign(ask: Ask, status: Mapping[str, str]) -> list[Answer]:
    """The records whose signatures BIND renews next, which are those that expire first."""
    owner, _, rdtype = status.get("next resign node", "").rpartition("/")
    try:
        # BIND hides NSEC3 names from questions; for them the time of re-signing has to do.
        return [ask(dns.name.from_text(owner), dns.rdatatype.from_text(rdtype))] if owner else []
    except dns.exception.DNSException:
        return []


def resign_time(status: Mapping[str, str]) -> datetime | None:
    """When BIND next renews a signature, from `Sun, 22 Nov 2026 15:39:44 GMT`."""
    try:
        return parsedate_to_datetime(status.get("next resign time", ""))
    except ValueError:
        return None


def earliest_expiry(answers: Iterable[Answer]) -> datetime | None:
    """When the first of the answers' signatures expires."""
    times = [rdata.expiration for answer in answers for rdata in answer.signatures or ()]
    return datetime.fromtimestamp(min(times), UTC) if times else None
