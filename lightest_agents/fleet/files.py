"""Reading country files: YAML that refuses double keys, CSV by its header, both UTF-8 and nothing else."""

import codecs
import csv
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from lightest_agents.errors import InventoryError
from lightest_agents.fleet.problems import Problems, known, show

_REQUIRED_COLUMNS = ("name", "manufacturer", "suppliers")
_OPTIONAL_COLUMNS = ("host", "ipv4", "ipv6")
_COLUMNS = _REQUIRED_COLUMNS + _OPTIONAL_COLUMNS

# Without libyaml the pure Python loader does the same, only slower.
_BaseLoader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

# What PyYAML's constructors raise on scalars such as `2024-99-99` or `!!bool x`, besides its own errors.
_YAML_ERRORS = (yaml.YAMLError, ValueError, LookupError, TypeError, AttributeError, RecursionError)


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a sensor stands: `position` is the index in a YAML file's list or the line in a CSV file."""

    file: str
    position: int

    @property
    def place(self) -> str:
        """The sensor's place in the file."""
        return f"line {self.position}" if self._is_csv else f"sensors[{self.position}]"

    def key(self, field: str) -> str:
        """The place of one of the sensor's values."""
        return f"{self.place}, {field}" if self._is_csv else f"{self.place}.{field}"

    @property
    def _is_csv(self) -> bool:
        return self.file.endswith(".csv")


@dataclass(frozen=True, slots=True)
class Entry:
    """A sensor as a file gives it, before the names in it are looked up."""

    origin: Origin
    name: str
    manufacturer: str
    suppliers: tuple[str, ...]
    host: str | None
    ipv4: str | None
    ipv6: str | None


class _StrictLoader(_BaseLoader):  # type: ignore[misc]
    """Notes keys that are given twice; PyYAML would keep the last one without a word."""

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self.twice: list[tuple[int, str]] = []

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                if key.value in seen:
                    self.twice.append((key.start_mark.line + 1, key.value))
                seen.add(key.value)
        mapping: dict[Any, Any] = super().construct_mapping(node, deep)
        return mapping


def read(path: Path, file: str) -> bytes:
    """The bytes of a file, called `file` in messages.

    Raises:
        InventoryError: the operating system does not let us read it.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise InventoryError(f"{file}: cannot be read: {error.strerror}; correct that first") from error


def parse_yaml(data: bytes, file: str) -> object:
    """The one document in `data`; None where there is nothing but comments.

    Raises:
        InventoryError: it is not UTF-8, not YAML, or has keys that are given twice.
    """
    loader = None
    try:
        loader = _StrictLoader(_decode(data, file))
        document: object = loader.get_single_data()
    except _YAML_ERRORS as error:
        raise InventoryError(f"{file}: {_yaml_problem(error)}") from error
    finally:
        if loader is not None:
            loader.dispose()
    if loader.twice:
        raise InventoryError(
            *(
                f"{file}: line {line}: the key {show(key)} is given twice; keep one"
                for line, key in loader.twice
            )
        )
    return document


def parse_csv(data: bytes, file: str, problems: Problems) -> Iterator[Entry]:
    """The sensors in a country's CSV, one line at a time; lines that cannot be used go to `problems`.

    The header names the columns name, manufacturer, suppliers and, as needed, host, ipv4, ipv6; an empty cell
    of the latter three means "none"; suppliers are separated by spaces (RFC 4180 otherwise).

    Raises:
        InventoryError: the file as a whole cannot be used.
    """
    _decode(data, file)
    # Read as a stream, for the whole text of a large fleet is four times the file.
    reader = csv.reader(io.TextIOWrapper(io.BytesIO(data), encoding="utf-8", newline=""), strict=True)
    columns: list[str] | None = None
    try:
        for row in reader:
            if not row:
                continue
            if columns is None:
                columns = _header(row, file)
            elif len(row) != len(columns):
                sentence = f"has {len(row)} columns, the header has {len(columns)}; correct the commas"
                problems.add(file, f"line {reader.line_num}", sentence)
            else:
                yield _entry(file, reader.line_num, dict(zip(columns, row, strict=True)))
    except csv.Error as error:
        raise InventoryError(f"{file}: line {reader.line_num}: is not CSV: {error}; correct it") from error
    if columns is None:
        raise InventoryError(f"{file}: is empty; its first line must be {','.join(_REQUIRED_COLUMNS)}")


def _header(row: list[str], file: str) -> list[str]:
    wrong = [
        f"column {show(column)} is not known; {known(_COLUMNS)}" for column in row if column not in _COLUMNS
    ]
    wrong += [
        f"column {show(column)} is given twice; keep one" for column in _COLUMNS if row.count(column) > 1
    ]
    wrong += [
        f"column {show(column)} is missing; add it" for column in _REQUIRED_COLUMNS if column not in row
    ]
    if wrong:
        raise InventoryError(*(f"{file}: line 1: {sentence}" for sentence in wrong))
    return row


def _entry(file: str, line: int, cells: Mapping[str, str]) -> Entry:
    return Entry(
        origin=Origin(file, line),
        name=cells["name"],
        manufacturer=cells["manufacturer"],
        suppliers=tuple(cells["suppliers"].split()),
        host=cells.get("host") or None,
        ipv4=cells.get("ipv4") or None,
        ipv6=cells.get("ipv6") or None,
    )


def _decode(data: bytes, file: str) -> str:
    if data.startswith((codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise InventoryError(f"{file}: starts with a byte order mark; save it as UTF-8 without one")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InventoryError(f"{file}: line {line}: is not UTF-8; save the file as UTF-8") from error


def _yaml_problem(error: Exception) -> str:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        return f"line {error.problem_mark.line + 1}: is not YAML we can read: {error.problem}; correct it"
    detail = str(error).splitlines()
    return f"is not YAML we can read: {detail[0] if detail else type(error).__name__}; correct it"
