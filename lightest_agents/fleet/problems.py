"""Collecting every problem of an inventory before anybody hears of the first."""

import json
from collections.abc import Iterable
from datetime import date

from lightest_agents.errors import InventoryError

_SHOWN_CHARACTERS = 80


class Problems:
    """The problems found so far, in the order of their finding."""

    def __init__(self) -> None:
        """Start with none."""
        self._found: list[str] = []

    def add(self, file: str, key: str, sentence: str) -> None:
        """Note that `key` in `file` is wrong; an empty key means the whole file."""
        self._found.append(f"{file}: {key}: {sentence}" if key else f"{file}: {sentence}")

    def extend(self, found: Iterable[str]) -> None:
        """Note problems that are already whole sentences with file and key."""
        self._found.extend(found)

    def raise_if_any(self) -> None:
        """Raise one InventoryError that carries all problems, if there are any."""
        if self._found:
            raise InventoryError(*self._found)


def show(value: object) -> str:
    """A value as a reader of the file would recognise it, on one line and not too long."""
    match value:
        case None:
            return "nothing"
        case bool():
            return f"{str(value).lower()} (a boolean)"
        case int() | float():
            return f"{_shorten(_number(value))} (a number)"
        case str():
            return json.dumps(_shorten(value), ensure_ascii=not value.isprintable())
        case date():
            return f"{value} (a date)"
        case list() | tuple():
            return "a list"
        case dict():
            return "a mapping"
        case _:
            return f"a value of type {type(value).__name__}"


def known(names: Iterable[str]) -> str:
    """The sentence's end that lists what could have been written."""
    listed = sorted(names)
    if not listed:
        return "none is known"
    shown = ", ".join(listed[:20])
    return f"known: {shown}" if len(listed) <= 20 else f"known: {shown} and {len(listed) - 20} more"


def _number(value: float) -> str:
    # Python refuses to print an integer of more than 4300 digits.
    return "a huge integer" if isinstance(value, int) and value.bit_length() > 1000 else str(value)


def _shorten(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 1] + "…"
