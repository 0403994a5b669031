"""Reading the country files: one YAML file for each country, and a CSV beside it for a large fleet."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path

from pydantic import ValidationError

from lightest_agents.errors import InventoryError, NameRefusedError
from lightest_agents.fleet.files import Entry, Origin, parse_csv, parse_yaml, read
from lightest_agents.fleet.hosts import role_problem
from lightest_agents.fleet.model import NAMED_GROUPS, Country, Group, Host
from lightest_agents.fleet.problems import Problems, show
from lightest_agents.fleet.sensors import Admission
from lightest_agents.fleet.settings import SettingsRead
from lightest_agents.fleet.shapes import CountryShape, SensorShape, findings
from lightest_agents.fleet.values import own_label

FOLDER = "countries"


def read_countries(
    inventory_dir: Path, read_settings: SettingsRead, hosts: Mapping[str, Host], problems: Problems
) -> tuple[Country, ...]:
    """Read every country of the inventory, in the order of their names."""
    folder = inventory_dir / FOLDER
    try:
        paths = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        sentence = f"this folder cannot be read: {error.strerror}; make it, with one file for each country"
        problems.add(FOLDER, "", sentence)
        return ()
    admission = Admission(read_settings, hosts, problems)
    return tuple(_read_country(path, admission, hosts, problems) for path in _country_files(paths, problems))


def _country_files(paths: Iterable[Path], problems: Problems) -> Iterator[Path]:
    """The countries' YAML files; all others are CSV files that belong to one of them, or strays."""
    for path in paths:
        file = f"{FOLDER}/{path.name}"
        if path.is_dir():
            problems.add(file, "", "is a folder; countries are files in this one")
        elif path.suffix == ".yml":
            yield path
        elif path.suffix == ".yaml":
            problems.add(file, "", f"has the wrong ending; rename it to {show(path.stem + '.yml')}")
        elif path.suffix != ".csv":
            problems.add(file, "", "is neither .yml nor .csv; move it out of this folder")
        elif not path.with_suffix(".yml").is_file():
            yml = show(path.stem + ".yml")
            problems.add(file, "", f"has no {yml} beside it; add that file, with the country's nameserver")


def _read_country(path: Path, admission: Admission, hosts: Mapping[str, Host], problems: Problems) -> Country:
    file = f"{FOLDER}/{path.name}"
    _check_label(path.stem, file, hosts, problems)
    document = _country_document(path, file, problems)
    nameserver = document.get("nameserver")
    if isinstance(nameserver, str):
        problem = role_problem(nameserver, Group.NAMESERVER, hosts)
        if problem is not None:
            problems.add(file, "nameserver", problem)
    given = document.get("sensors")
    entries = _yaml_entries(given if isinstance(given, list) else [], file, problems)
    from_csv = _csv_entries(path.with_suffix(".csv"), problems)
    return Country(path.stem, str(nameserver), admission.admit(chain(entries, from_csv)))


def _check_label(label: str, file: str, hosts: Mapping[str, Host], problems: Problems) -> None:
    try:
        own_label(label)
    except NameRefusedError as error:
        problems.add(file, "file name", str(error))
    host = hosts.get(label)
    if host is not None and host.is_named:
        sentence = (
            f"{show(label)} is also the name of a host in {_groups(host)}; rename the country or the host"
        )
        problems.add(file, "file name", sentence)


def _groups(host: Host) -> str:
    return ", ".join(sorted(host.groups & NAMED_GROUPS))


def _country_document(path: Path, file: str, problems: Problems) -> dict[object, object]:
    """What stands in a country's YAML file; its shape has been told to `problems` where it is wrong."""
    try:
        document = parse_yaml(read(path, file), file)
    except InventoryError as error:
        problems.extend(error.problems)
        return {}
    if not isinstance(document, dict):
        problems.add(file, "", f"holds {show(document)}; it must be a mapping with the key nameserver")
        return {}
    try:
        CountryShape.model_validate(document)
    except ValidationError as error:
        for key, sentence in findings(CountryShape, error):
            problems.add(file, key, sentence)
    return document


def _yaml_entries(sensors: list[object], file: str, problems: Problems) -> Iterator[Entry]:
    for index, given in enumerate(sensors):
        sensor = _sensor(given, file, index, problems)
        if sensor is None:
            continue
        yield Entry(
            origin=Origin(file, index),
            name=sensor.name,
            manufacturer=sensor.manufacturer,
            suppliers=tuple(sensor.suppliers),
            host=sensor.host,
            ipv4=sensor.ipv4,
            ipv6=sensor.ipv6,
        )


def _sensor(given: object, file: str, index: int, problems: Problems) -> SensorShape | None:
    try:
        return SensorShape.model_validate(given)
    except ValidationError as error:
        for key, sentence in findings(SensorShape, error):
            problems.add(file, f"sensors[{index}]{'.' if key else ''}{key}", sentence)
    if not isinstance(given, dict):
        return None
    # Where only unknown keys are wrong, the rest is checked further, so that one mistake hides no other.
    try:
        return SensorShape.model_validate(
            {key: given[key] for key in SensorShape.model_fields if key in given}
        )
    except ValidationError:
        return None


def _csv_entries(path: Path, problems: Problems) -> Iterator[Entry]:
    if not path.is_file():
        return
    file = f"{FOLDER}/{path.name}"
    try:
        yield from parse_csv(read(path, file), file, problems)
    except InventoryError as error:
        problems.extend(error.problems)
