"""The records that the operator owns in each zone, as sorted lines `owner ttl TYPE rdata`.

DS records are not among them (they come from the children's keys), nor is anything that the trust scheme or
the name server itself writes.
"""

import heapq
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv6Address

import dns.ipv6
import dns.name

from lightest_agents.fleet.model import Host, Sensor, Zone
from lightest_agents.trust import names

# `_scheme._trust`, put before each sensor's label without checking that label again.
_POINTER_LABELS = names.pointer(dns.name.root).labels[:-1]


def server_records(zone: Zone, primary: Host, ttl: int) -> list[str]:
    """A zone's NS record and, where the name server's name lies in the zone, its addresses.

    The same lines at the zone and, as delegation with glue, at its parent.
    """
    lines = [_line(zone.name, ttl, "NS", zone.nameserver.to_text())]
    if zone.nameserver.parent() == zone.name:
        lines += address_records(zone.nameserver, primary.ipv4, primary.ipv6, ttl)
    return lines


def address_records(
    owner: dns.name.Name, ipv4: IPv4Address | None, ipv6: IPv6Address | None, ttl: int
) -> Iterator[str]:
    """The A and AAAA records of a name, as far as it has addresses."""
    if ipv4 is not None:
        yield _line(owner, ttl, "A", str(ipv4))
    if ipv6 is not None:
        yield _line(owner, ttl, "AAAA", dns.ipv6.inet_ntoa(ipv6.packed))


def host_records(zone: Zone, hosts: Iterable[Host], ttl: int) -> list[str]:
    """The addresses of the hosts that have a name right under the trust domain; sorted."""
    named = (host for host in hosts if host.is_named)
    return sorted(
        line
        for host in named
        for line in address_records(names.child(host.name, zone.name), host.ipv4, host.ipv6, ttl)
    )


def sensor_records(zone: Zone, scheme: dns.name.Name, sensors: Iterable[Sensor], ttl: int) -> Iterator[str]:
    """For each sensor the pointer from its claim to its trust scheme, and its addresses; sorted."""
    # Lines sort as "label." does, and so need not be sorted, or held, all at once.
    ordered = sorted(sensors, key=lambda sensor: f"{sensor.name}.")
    pointers = (_pointer_record(zone.name, scheme, sensor.name, ttl) for sensor in ordered)
    addresses = (
        line
        for sensor in ordered
        if sensor.ipv4 is not None or sensor.ipv6 is not None
        for line in address_records(_claim(zone.name, sensor), sensor.ipv4, sensor.ipv6, ttl)
    )
    return heapq.merge(pointers, addresses)


def _claim(country: dns.name.Name, sensor: Sensor) -> dns.name.Name:
    return dns.name.Name((sensor.name.encode(), *country.labels))


def _pointer_record(country: dns.name.Name, scheme: dns.name.Name, sensor: str, ttl: int) -> str:
    first = (*_POINTER_LABELS, sensor.encode())
    owner, target = dns.name.Name(first + country.labels), dns.name.Name(first + scheme.labels)
    return _line(owner, ttl, "PTR", target.to_text())


def _line(owner: dns.name.Name, ttl: int, rdtype: str, rdata: str) -> str:
    # Making dnspython's rdata objects as well would double the time that a large fleet takes.
    return f"{owner.to_text()} {ttl} {rdtype} {rdata}"
