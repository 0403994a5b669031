"""JSON that two parties cannot read differently."""

import json
import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightest_agents.trust import strict_json
from lightest_agents.trust.strict_json import MalformedError

SURROGATES = st.characters(codec="utf-8")
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(VALUES)
def test_what_is_written_is_read(value: object) -> None:
    assert strict_json.load(strict_json.dump(value)) == value


@given(VALUES)
def test_escapes_are_read_as_well(value: object) -> None:
    assert strict_json.load(json.dumps(value, ensure_ascii=True, separators=(",", ":")).encode()) == value


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"nul",
        b" {}",
        b"{} ",
        b"{}{}",
        b"\xef\xbb\xbf{}",
        b"{}\x00",
        b'{"a":1,"a":1}',
        b'{"a":1,"\\u0061":2}',
        b'[{"a":{"b":1,"b":2}}]',
        b"NaN",
        b"[Infinity]",
        b"-Infinity",
        b'"\\ud800"',
        b'{"\\udfff":1}',
        b'"\xed\xa0\x80"',
        b'"\xff"',
        b'"a\nb"',
        b"'a'",
        b"01",
        b"[1,]",
        b"1" * 5000,
        b"[" * 100_000,
        b'{"a":' * 100_000,
        "{}".encode("utf-16"),
    ],
    ids=lambda text: repr(text[:16]),
)
def test_anything_doubtful_is_refused(text: bytes) -> None:
    with pytest.raises(MalformedError):
        strict_json.load(text)


@given(st.binary())
def test_no_input_raises_anything_else(text: bytes) -> None:
    try:
        strict_json.load(text)
    except MalformedError:
        return


@pytest.mark.parametrize(
    ("check", "value"),
    [
        (strict_json.text, 1),
        (strict_json.text, None),
        (strict_json.whole, 1.0),
        (strict_json.whole, True),
        (strict_json.whole, "1"),
        (strict_json.whole, -1),
        (strict_json.whole, 2**53),
        (strict_json.number, True),
        (strict_json.number, "1"),
        (strict_json.number, 2**53),
        (strict_json.number, 10**400),
        (strict_json.number, float("inf")),
        (strict_json.number, float("nan")),
        (lambda value, name: strict_json.matching(re.compile("a"), value, name), "a\n"),
        (lambda value, name: strict_json.matching(re.compile("a"), value, name), ["a"]),
    ],
)
def test_a_value_of_another_kind_is_refused(check: Callable[[object, str], object], value: object) -> None:
    with pytest.raises(MalformedError, match=r"^member "):
        check(value, "member")


def test_an_integer_is_a_number() -> None:
    assert type(strict_json.number(25, "threshold")) is float
