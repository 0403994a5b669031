"""The operator's registry: the JSON file that Ansible makes from the inventory.

{"manufacturers": [{"label": "acme", "title": "Acme"}],
 "suppliers": [{"label": "supplier1", "title": "Repairs", "url": "https://…/v1/alarms", "address": "…"}],
 "zones": [{"country": "germany", "zone": "trust.germany.raspidemo", "server": "192.0.2.1", "port": 53,
            "key_file": "/etc/lightest/tspa-keys/scheme.trust.germany.raspidemo.key"}],
 "sensors": [{"country": "germany", "label": "sensor1",
              "manufacturer": "acme", "suppliers": ["supplier1"]}]}
"""

from collections.abc import Iterable, Iterator
from ipaddress import ip_address
from itertools import islice
from pathlib import Path
from typing import Annotated

import dns.name
from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    StringConstraints,
    TypeAdapter,
    ValidationError,
    with_config,
)
from typing_extensions import TypedDict  # pydantic can use typing's own from Python 3.12 on

from lightest_agents.service.config import LabelText, PortNumber
from lightest_agents.trust import names
from lightest_agents.trust.urls import UrlRefusedError, parse_https_url
from lightest_agents.tspa.errors import RegistryError

_MAX_PROBLEMS = 20


def _address(text: str) -> str:
    ip_address(text)
    return text


def _https(text: str) -> str:
    try:
        parse_https_url(text)
    except UrlRefusedError as error:
        raise ValueError(str(error)) from error
    return text


def _line(text: str) -> str:
    if not text.isprintable() or text != text.strip():
        raise ValueError("must be one line of printable characters, without spaces around it")
    return text


Title = Annotated[str, StringConstraints(min_length=1, max_length=200), AfterValidator(_line)]


@with_config(ConfigDict(extra="forbid"))
class ManufacturerEntry(TypedDict):
    """A company that makes sensors."""

    label: LabelText
    title: Title


@with_config(ConfigDict(extra="forbid"))
class SupplierEntry(TypedDict):
    """A company that repairs, and where it takes alarms."""

    label: LabelText
    title: Title
    url: Annotated[str, AfterValidator(_https)]
    address: Annotated[str, StringConstraints(max_length=500), AfterValidator(_line)]


@with_config(ConfigDict(extra="forbid"))
class ZoneEntry(TypedDict):
    """A country's scheme zone, its primary server's address and port, and the key that may update it."""

    country: LabelText
    zone: str
    server: Annotated[str, AfterValidator(_address)]
    port: PortNumber
    key_file: Annotated[str, StringConstraints(min_length=1, max_length=4096)]


@with_config(ConfigDict(extra="forbid"))
class SensorEntry(TypedDict):
    """A sensor, its manufacturer and its suppliers, the preferred one first."""

    country: LabelText
    label: LabelText
    manufacturer: str
    suppliers: Annotated[list[str], Field(max_length=100)]


@with_config(ConfigDict(extra="forbid"))
class Registry(TypedDict):
    """The whole registry."""

    manufacturers: list[ManufacturerEntry]
    suppliers: list[SupplierEntry]
    zones: list[ZoneEntry]
    sensors: list[SensorEntry]


def read_registry(path: Path, domain: dns.name.Name) -> Registry:
    """The registry in a file, consistent in itself.

    Raises:
        RegistryError: it cannot be read, or has mistakes; the message has a line for each of the first ones.
    """
    try:
        registry = TypeAdapter(Registry).validate_json(path.read_bytes(), strict=True)
    except OSError as error:
        raise RegistryError(f"{path}: cannot be read: {error.strerror}") from error
    except ValidationError as error:
        problems = [
            f"{path}: {'.'.join(map(str, detail['loc']))}: {detail['msg']}"
            for detail in error.errors(include_url=False, include_context=False)
        ]
        raise RegistryError(*problems[:_MAX_PROBLEMS]) from error
    problems = [f"{path}: {problem}" for problem in islice(_problems(registry, domain), _MAX_PROBLEMS)]
    if problems:
        raise RegistryError(*problems)
    return registry


def _problems(registry: Registry, domain: dns.name.Name) -> Iterator[str]:
    manufacturers = {entry["label"] for entry in registry["manufacturers"]}
    suppliers = {entry["label"] for entry in registry["suppliers"]}
    countries = {entry["country"] for entry in registry["zones"]}
    yield from _repeated("manufacturer", (entry["label"] for entry in registry["manufacturers"]))
    yield from _repeated("supplier", (entry["label"] for entry in registry["suppliers"]))
    yield from _repeated("zone", (entry["country"] for entry in registry["zones"]))
    yield from _repeated("sensor", ((entry["country"], entry["label"]) for entry in registry["sensors"]))
    for zone in registry["zones"]:
        expected = names.CountryNames.under(domain, zone["country"]).scheme.to_text(omit_final_dot=True)
        if zone["zone"] != expected:
            yield f"zone {zone['zone']}: the scheme zone of {zone['country']} is {expected}"
    for sensor in registry["sensors"]:
        where = f"sensor {sensor['label']} of {sensor['country']}"
        if sensor["country"] not in countries:
            yield f"{where}: its country has no scheme zone"
        if sensor["manufacturer"] not in manufacturers:
            yield f"{where}: there is no manufacturer {sensor['manufacturer']}"
        for missing in set(sensor["suppliers"]) - suppliers:
            yield f"{where}: there is no supplier {missing}"
        if len(set(sensor["suppliers"])) != len(sensor["suppliers"]):
            yield f"{where}: a supplier is listed twice"


def _repeated(kind: str, keys: Iterable[object]) -> Iterator[str]:
    seen: set[object] = set()
    for key in keys:
        if key in seen:
            yield f"{kind} {key} is there twice"
        seen.add(key)
