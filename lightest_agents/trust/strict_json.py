"""JSON as two parties cannot read it differently: RFC 8259 within the limits of I-JSON (RFC 7493)."""

import json
import re
from typing import NoReturn

from lightest_agents.errors import LightestError

_MAX_INTEGER = 2**53 - 1


class MalformedError(LightestError):
    """A received document is not what it must be."""

    reason = "document-malformed"


def load(text: bytes) -> object:
    """The value of a JSON text without white space around it.

    Raises:
        MalformedError: it is not UTF-8 or not JSON, names a member twice, has half of a surrogate pair, or is
            nested too deeply. A number beyond a double becomes infinite, which `number` refuses.
    """
    try:
        document = text.decode("utf-8")
        value, end = _DECODER.raw_decode(document)
        if b"\\u" in text:  # only an escape can bring half a surrogate pair, which UTF-8 cannot encode
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except (ValueError, RecursionError) as error:
        raise MalformedError(f"not proper JSON: {error}") from error
    if end != len(document):
        raise MalformedError("not proper JSON: something follows it")
    return value


def dump(value: object) -> bytes:
    """The compact JSON text of a value made of finite numbers and Unicode strings."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode("utf-8")


def text(value: object, name: str) -> str:
    """`value` if it is a string; `name` is for the message of the MalformedError."""
    if type(value) is not str:
        raise MalformedError(f"{name} must be a string")
    return value


def matching(pattern: re.Pattern[str], value: object, name: str) -> str:
    """`value` if it is a string that `pattern` matches from end to end, or else MalformedError."""
    if type(value) is not str or pattern.fullmatch(value) is None:
        raise MalformedError(f"{name} does not have its form, {pattern.pattern}")
    return value


def whole(value: object, name: str) -> int:
    """`value` if it is an integer from 0 to 2**53 - 1 (RFC 7493, section 2.2), or else MalformedError."""
    if type(value) is not int or not 0 <= value <= _MAX_INTEGER:
        raise MalformedError(f"{name} must be an integer from 0 to 2**53 - 1")
    return value


def number(value: object, name: str) -> float:
    """`value` as a double if it is a number of less than 2**53 in size, or else MalformedError."""
    if (type(value) is not float and type(value) is not int) or not -_MAX_INTEGER <= value <= _MAX_INTEGER:
        raise MalformedError(f"{name} must be a number of less than 2**53 in size")
    return float(value)


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member is named twice")
    return members


def _no_constant(word: str) -> NoReturn:
    raise ValueError(f"{word} is not JSON")


_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_constant)
