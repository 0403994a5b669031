"""Where each key of a TOML text stands, so that a mistake can be reported with its line.

`tomllib` gives values without positions. It is asked first: what is read here is known to be valid TOML 1.0,
so only its structure has to be followed, and no value has to be understood.
"""

import re
import tomllib

KeyPath = tuple[str | int, ...]
"""The way from the document to a value: keys of tables and indices of arrays."""

_BLANK = re.compile(r"(?:[ \t\n]|#[^\n]*)*")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_SCALAR = re.compile(r"[^,\]}#\n]+")
_STRING = re.compile(
    # A multi-line string may end in up to two quotes of its own.
    r'"""(?:[^\\]|\\.)*?"""(?:"{0,2})' r"|'''.*?'''(?:'{0,2})" r'|"(?:[^"\\\n]|\\.)*"' r"|'[^'\n]*'",
    re.DOTALL,
)


def key_lines(text: str) -> dict[KeyPath, int]:
    """The line, from 1, on which each key, each table and each element of an array begins.

    Args:
        text: a document that `tomllib.loads` has accepted.
    """
    reader = _Reader(text.replace("\r\n", "\n"))
    reader.document()
    return reader.lines


class _Reader:
    def __init__(self, text: str) -> None:
        self.lines: dict[KeyPath, int] = {}
        self._text = text
        self._at = 0
        self._table_arrays: dict[KeyPath, int] = {}

    def document(self) -> None:
        table: KeyPath = ()
        self._skip_blank()
        while self._at < len(self._text):
            if self._takes("[["):
                table = self._next_of_array(self._key())
                self._expect("]]")
            elif self._takes("["):
                table = self._place((), self._key())
                self._expect("]")
            else:
                self._pair(table)
            self._skip_blank()

    def _pair(self, table: KeyPath) -> None:
        path = self._place(table, self._key())
        self._expect("=")
        self._value(path)

    def _value(self, path: KeyPath) -> None:
        self._skip_blank()
        if self._takes("["):
            self._array(path)
        elif self._takes("{"):
            self._inline_table(path)
        elif found := _STRING.match(self._text, self._at) or _SCALAR.match(self._text, self._at):
            self._at = found.end()

    def _array(self, path: KeyPath) -> None:
        index = 0
        while not self._takes("]"):
            self._note((*path, index))
            self._value((*path, index))
            self._takes(",")
            index += 1

    def _inline_table(self, path: KeyPath) -> None:
        while not self._takes("}"):
            self._pair(path)
            self._takes(",")

    def _key(self) -> list[str]:
        parts = [self._key_part()]
        while self._takes("."):
            parts.append(self._key_part())
        return parts

    def _key_part(self) -> str:
        self._skip_blank()
        found = _BARE_KEY.match(self._text, self._at)
        if found is not None:
            self._at = found.end()
            return found[0]
        found = _STRING.match(self._text, self._at)
        assert found is not None, "the text is valid TOML"  # noqa: S101 - the caller's promise
        self._at = found.end()
        return str(tomllib.loads(f"key = {found[0]}")["key"])

    def _place(self, table: KeyPath, parts: list[str]) -> KeyPath:
        """The path of a key under `table`, through the last element of each array of tables (TOML 1.0)."""
        path = table
        for part in parts:
            path = (*path, part)
            self._note(path)
            if path in self._table_arrays:
                path = (*path, self._table_arrays[path])
        return path

    def _next_of_array(self, parts: list[str]) -> KeyPath:
        array = (*self._place((), parts[:-1]), parts[-1])
        self._note(array)
        self._table_arrays[array] = index = self._table_arrays.get(array, -1) + 1
        self._note((*array, index))
        return (*array, index)

    def _note(self, path: KeyPath) -> None:
        self._skip_blank()
        self.lines.setdefault(path, self._text.count("\n", 0, self._at) + 1)

    def _skip_blank(self) -> None:
        found = _BLANK.match(self._text, self._at)
        if found is not None:
            self._at = found.end()

    def _takes(self, sign: str) -> bool:
        self._skip_blank()
        if not self._text.startswith(sign, self._at):
            return False
        self._at += len(sign)
        return True

    def _expect(self, sign: str) -> None:
        if not self._takes(sign):
            raise AssertionError(f"the text is not valid TOML: no {sign!r} at {self._at}")
