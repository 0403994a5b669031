"""Reading the variables of the whole cluster."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Any

import dns.name
from pydantic import ValidationError

from lightest_agents.errors import NameRefusedError
from lightest_agents.fleet.model import DnssecPolicy, Settings, Supplier, Unresolved
from lightest_agents.fleet.problems import known
from lightest_agents.fleet.report import Report
from lightest_agents.fleet.shapes import SettingsShape, findings
from lightest_agents.fleet.sources import Sources
from lightest_agents.fleet.values import parse_domain, plain_label, server_address

SETTING_KEYS = tuple(SettingsShape.model_fields)
"""The variables every host of the cluster must have, with the same values."""

HOST_KEYS = ("trust_ipv4", "trust_ipv6")
"""The variables that a host has for itself."""

# Variables of plays, which say nothing about the fleet.
_OTHER_KEYS = ("trust_known_hosts", "trust_zone_allow_removals")

# BIND's max-zone-ttl refuses more by default.
_MAX_TTL = 86_400


@dataclass(frozen=True, slots=True)
class SettingsRead:
    """Settings as far as they could be read; a variable in `broken` has a neutral value instead."""

    settings: Settings
    broken: frozenset[str]


def read_settings(hostvars: Mapping[str, Mapping[str, Any]], report: Report) -> SettingsRead:
    """Read the cluster's variables, which must be the same on every host of `hostvars` (plain values)."""
    shape, broken = _shape(hostvars, report)
    domain = _domain(shape.trust_domain, broken, report)
    if broken.isdisjoint({"trust_ttl", "trust_negative_ttl"}):
        _check_ttls(shape, report)
    _check_labels("trust_manufacturers", shape.trust_manufacturers, report)
    _check_labels("trust_suppliers", shape.trust_suppliers, report)
    if not shape.trust_ntp_servers and "trust_ntp_servers" not in broken:
        report.setting(
            "trust_ntp_servers",
            "is empty; give at least one address: no signature is valid without the right time",
        )
    settings = Settings(
        domain=domain,
        nameserver=shape.trust_nameserver,
        ttl=shape.trust_ttl,
        negative_ttl=shape.trust_negative_ttl,
        manufacturers={label: party.name for label, party in shape.trust_manufacturers.items()},
        suppliers={label: Supplier(party.name, party.host) for label, party in shape.trust_suppliers.items()},
        dnssec=DnssecPolicy(shape.trust_dnssec.keys, shape.trust_dnssec.denial),
        forwarders=_addresses("trust_forwarders", shape.trust_forwarders, report),
        ntp_servers=_addresses("trust_ntp_servers", shape.trust_ntp_servers, report),
    )
    return SettingsRead(settings, frozenset(broken))


def refuse_unknown_keys(sources: Sources, report: Report) -> None:
    """Refuse a trust_ variable that nothing reads: it is a misspelt one."""
    for definition in sources.definitions:
        if (
            definition.key.startswith("trust_")
            and definition.key not in SETTING_KEYS + HOST_KEYS + _OTHER_KEYS
        ):
            key = f"{definition.host}.{definition.key}" if definition.host else definition.key
            sentence = f"is not a known variable; correct or remove it; {known(SETTING_KEYS + HOST_KEYS)}"
            report.add(definition.file, key, sentence)


def template_problem(value: object) -> str | None:
    """The sentence for a value that holds a template which was not rendered, at whatever depth, or None."""
    match value:
        case Unresolved(reason):
            return f"its template cannot be resolved: {reason}; define what it names"
        case str() if "{{" in value or "{%" in value:
            return "still holds a template; define the variables in it"
        case dict():
            inner: Iterable[object] = value.values()
        case list():
            inner = value
        case _:
            return None
    return next((problem for item in inner if (problem := template_problem(item)) is not None), None)


def _shape(hostvars: Mapping[str, Mapping[str, Any]], report: Report) -> tuple[SettingsShape, set[str]]:
    """The variables in their shapes, and those that are broken."""
    given, broken = _gather(hostvars, report)
    neutral = _neutral_values()
    try:
        shape = SettingsShape.model_validate({**{key: neutral[key] for key in broken}, **given})
    except ValidationError as error:
        for key, sentence in findings(SettingsShape, error):
            report.setting(key, sentence)
        broken |= {str(detail["loc"][0]) for detail in error.errors(include_url=False)}
        values = {key: neutral[key] if key in broken else given[key] for key in neutral}
        shape = SettingsShape.model_validate(values)
    return shape, broken


def _gather(hostvars: Mapping[str, Mapping[str, Any]], report: Report) -> tuple[dict[str, Any], set[str]]:
    """One value for each variable, and the variables that have no usable one."""
    given: dict[str, Any] = {}
    broken: set[str] = set()
    for key in SETTING_KEYS:
        holders = {host: variables[key] for host, variables in hostvars.items() if key in variables}
        if not holders:
            continue
        first, value = next(iter(holders.items()))
        different = next(
            (host for host in hostvars if hostvars[host].get(key, Unresolved("")) != value), None
        )
        problem = template_problem(value)
        if problem is None and different is not None:
            problem = f"is not the same on {first} and on {different}; set it once, in group_vars/all"
        if problem is None:
            given[key] = value
        else:
            report.setting(key, problem)
            broken.add(key)
    return given, broken


def _neutral_values() -> dict[str, Any]:
    return {
        "trust_domain": "",
        "trust_operator": {"name": "-", "territory": "XX"},
        "trust_nameserver": "",
        "trust_ttl": 1,
        "trust_negative_ttl": 1,
        "trust_manufacturers": {},
        "trust_suppliers": {},
        "trust_dnssec": {"keys": "csk", "denial": "nsec"},
        "trust_forwarders": [],
        "trust_ntp_servers": [],
    }


def _domain(text: str, broken: set[str], report: Report) -> dns.name.Name:
    if "trust_domain" not in broken:
        try:
            return parse_domain(text)
        except NameRefusedError as error:
            report.setting("trust_domain", str(error))
    broken.add("trust_domain")
    return dns.name.root


def _check_ttls(shape: SettingsShape, report: Report) -> None:
    ttls = {"trust_ttl": shape.trust_ttl, "trust_negative_ttl": shape.trust_negative_ttl}
    outside = {key: ttl for key, ttl in ttls.items() if not 1 <= ttl <= _MAX_TTL}
    for key, ttl in outside.items():
        report.setting(key, f"{ttl} is out of range; give seconds from 1 to {_MAX_TTL}")
    if not outside and shape.trust_negative_ttl > shape.trust_ttl:
        sentence = f"{shape.trust_negative_ttl} is more than trust_ttl ({shape.trust_ttl}); lower it"
        report.setting("trust_negative_ttl", sentence)


def _check_labels(key: str, labels: Iterable[str], report: Report) -> None:
    for label in labels:
        try:
            plain_label(label)
        except NameRefusedError as error:
            report.setting(key, str(error))


def _addresses(key: str, texts: Iterable[str], report: Report) -> tuple[IPv4Address | IPv6Address, ...]:
    addresses = []
    for index, text in enumerate(texts):
        try:
            addresses.append(server_address(text))
        except ValueError as error:
            report.setting(f"{key}[{index}]", str(error))
    return tuple(addresses)
