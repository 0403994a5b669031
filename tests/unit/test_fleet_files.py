"""The parsers of country files: whatever is in a file, it is read or refused with a sentence."""

import csv
import io
import json
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from ipaddress import IPv4Address, IPv6Address

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from lightest_agents.errors import InventoryError, NameRefusedError
from lightest_agents.fleet.files import parse_csv, parse_yaml
from lightest_agents.fleet.problems import Problems
from lightest_agents.fleet.values import host_ipv4, host_ipv6, own_label, parse_domain, server_address

CELLS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=12)
# Not every JSON is YAML: surrogate escapes and some control characters are not.
PRINTABLE = st.text(st.characters(codec="latin-1", categories=["L", "N", "P", "S"]), max_size=12)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | PRINTABLE,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(PRINTABLE, inner, max_size=4),
    max_leaves=12,
)


def read_csv(data: bytes) -> None:
    """All lines, with the problems of single lines raised as well."""
    problems = Problems()
    for _ in parse_csv(data, "countries/x.csv", problems):
        pass
    problems.raise_if_any()


def problems_of(parse: Callable[[], object]) -> tuple[str, ...]:
    """What a parser refuses; anything but an InventoryError is a defect."""
    try:
        parse()
    except InventoryError as error:
        return error.problems or ("refused without a reason",)
    return ()


@given(st.binary() | st.text(alphabet="{}[]:,&*!<-?|>'\"\n #%@a0").map(str.encode))
@example(b"!!bool x")
@example(b"!!timestamp x")
@example(b"!!int x")
@example(b"0x_")
@example(b"2024-99-99")
@example(b"? [a]\n: b")
@example(b"&a [*a]")
@example(b"--- a\n--- b")
@example(b"{a: 1, ? {b: c} : 2}")
@example(b"<<: 1")
@example(b"!!python/object:os.system x")
def test_yaml_is_read_or_refused(data: bytes) -> None:
    for problem in problems_of(lambda: parse_yaml(data, "countries/x.yml")):
        assert problem.startswith("countries/x.yml: ")
        assert "\n" not in problem


@given(JSON)
def test_yaml_without_double_keys_is_what_pyyaml_reads(document: object) -> None:
    text = json.dumps(document)
    assert parse_yaml(text.encode(), "x.yml") == yaml.safe_load(text)


@given(st.lists(st.sampled_from("abc"), max_size=5))
def test_yaml_with_double_keys_is_refused(keys: list[str]) -> None:
    text = "{" + ", ".join(f"{key}: 1" for key in keys) + "}"
    if len(set(keys)) == len(keys):
        parse_yaml(text.encode(), "x.yml")
    else:
        with pytest.raises(InventoryError, match="given twice"):
            parse_yaml(text.encode(), "x.yml")


def test_a_merged_key_may_be_overridden() -> None:
    text = b"a: &a {x: 1, y: 2}\nb: {<<: *a, x: 3}\n"
    assert parse_yaml(text, "x.yml") == {"a": {"x": 1, "y": 2}, "b": {"x": 3, "y": 2}}


@given(st.binary() | st.text(alphabet='name,manufcturspliev46"\r\n\x00').map(str.encode))
def test_csv_is_read_or_refused(data: bytes) -> None:
    for prefix in (b"", b"name,manufacturer,suppliers\n"):
        for problem in problems_of(partial(read_csv, prefix + data)):
            assert problem.startswith("countries/x.csv: ")


@given(st.lists(st.tuples(CELLS, CELLS, CELLS, CELLS), max_size=5))
def test_csv_cells_arrive_as_they_were_written(rows: list[tuple[str, str, str, str]]) -> None:
    text = io.StringIO(newline="")
    csv.writer(text).writerows([("name", "manufacturer", "suppliers", "host"), *rows])
    entries = list(parse_csv(text.getvalue().encode(), "x.csv", Problems()))
    assert [(each.name, each.manufacturer, each.suppliers, each.host) for each in entries] == [
        (name, manufacturer, tuple(suppliers.split()), host or None)
        for name, manufacturer, suppliers, host in rows
    ]


def test_a_huge_csv_cell_is_refused() -> None:
    data = b"name,manufacturer,suppliers\n" + b"a" * 200_000 + b",acme,supplier1\n"
    with pytest.raises(InventoryError, match="line 2: is not CSV: field larger than field limit"):
        list(parse_csv(data, "x.csv", Problems()))


@given(st.text() | st.text("0123456789abcdef.:%"))
@pytest.mark.parametrize("parse", [host_ipv4, host_ipv6, server_address, own_label, parse_domain])
def test_addresses_and_labels_are_read_or_refused(parse: Callable[[str], object], text: str) -> None:
    with suppress(ValueError, NameRefusedError):
        parse(text)


@given(st.ip_addresses())
def test_an_address_that_is_let_through_is_one_that_hosts_have(address: IPv4Address | IPv6Address) -> None:
    with suppress(ValueError):
        assert server_address(str(address)) == address
        unusable = ("is_loopback", "is_multicast", "is_unspecified", "is_link_local")
        assert not [kind for kind in unusable if getattr(address, kind)]
