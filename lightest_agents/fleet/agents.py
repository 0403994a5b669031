"""What a cluster's agents have to know of the inventory: who serves where, and which sensors there are."""

from collections.abc import Iterator
from typing import Any

import dns.name

from lightest_agents.fleet.fleet import Fleet
from lightest_agents.fleet.model import PORTS, Group, Host, Sensor, ZoneKind
from lightest_agents.trust import names


def agents(fleet: Fleet) -> dict[str, Any]:
    """The services with their names and ports, and the sensors that a host of the inventory runs.

    Every host is listed by its name in the inventory, so that a role finds what concerns its own.
    """
    return {
        "services": [
            _service(fleet, host, group)
            for host in fleet.hosts.values()
            for group in sorted(host.groups & PORTS.keys())
        ],
        "sensors": [
            _sensor(fleet, country.name, sensor)
            | {"host": sensor.host, "claim": _claim(fleet, country.name, sensor)}
            for country in fleet.countries.values()
            for sensor in country.sensors
            if sensor.host is not None
        ],
    }


def registry(fleet: Fleet) -> dict[str, Any]:
    """What the TSPA has to know: manufacturers, suppliers that have an agent, scheme zones, all sensors."""
    return {
        "manufacturers": [
            {"label": label, "title": title} for label, title in sorted(fleet.settings.manufacturers.items())
        ],
        "suppliers": list(_suppliers(fleet)),
        "zones": [
            {
                "country": zone.country,
                "zone": _text(zone.name),
                "server": _address(fleet.hosts[zone.primary]),
                "port": 53,
                "key_file": f"/etc/lightest/tspa-keys/scheme.{_text(zone.name)}.key",
            }
            for zone in fleet.zones
            if zone.kind is ZoneKind.SCHEME
        ],
        "sensors": [
            _sensor(fleet, country.name, sensor)
            for country in fleet.countries.values()
            for sensor in country.sensors
        ],
    }


def _service(fleet: Fleet, host: Host, group: Group) -> dict[str, Any]:
    """`records` are the owner names of what its keys give to the DNS: TLSA, and SMIMEA for a verifier."""
    name, port = _text(_name(fleet, host)), PORTS[group]
    records = [f"_{port}._tcp.{name}"]
    if group is Group.VERIFIER:
        records.append(_text(names.verdict_signer(_name(fleet, host))))
    url = f"https://{name}" if port == 443 else f"https://{name}:{port}"
    return {
        "host": host.name,
        "group": str(group),
        "name": name,
        "port": port,
        "url": url,
        "records": records,
    }


def _suppliers(fleet: Fleet) -> Iterator[dict[str, str]]:
    for label, supplier in sorted(fleet.settings.suppliers.items()):
        if supplier.host is not None:
            name = _text(_name(fleet, fleet.hosts[supplier.host]))
            url = f"https://{name}:{PORTS[Group.SUPPLIER]}/v1/alarms"
            yield {"label": label, "title": supplier.title, "url": url, "address": ""}


def _sensor(fleet: Fleet, country: str, sensor: Sensor) -> dict[str, Any]:
    with_agent = [label for label in sensor.suppliers if fleet.settings.suppliers[label].host is not None]
    return {
        "country": country,
        "label": sensor.name,
        "manufacturer": sensor.manufacturer,
        "suppliers": with_agent,
    }


def _claim(fleet: Fleet, country: str, sensor: Sensor) -> str:
    return _text(names.CountryNames.under(fleet.domain, country).claim(sensor.name))


def _name(fleet: Fleet, host: Host) -> dns.name.Name:
    return names.child(host.name, fleet.domain)


def _address(host: Host) -> str:
    return str(host.ipv4 or host.ipv6)


def _text(name: dns.name.Name) -> str:
    return name.to_text(omit_final_dot=True)
