"""Settings files, right and wrong."""

import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from lightest_agents.service.config import (
    ConfigError,
    DomainText,
    LabelText,
    PortNumber,
    Seconds,
    Settings,
    load_config,
)
from lightest_agents.service.toml_lines import KeyPath, key_lines


class Bulb(Settings):
    driver: Literal["bulb"]
    pin: int


class Siren(Settings):
    driver: Literal["siren"]
    argv: tuple[str, ...]


class Retry(Settings):
    first: Seconds = 1.0
    last: Seconds = 300.0


class Example(Settings):
    domain: DomainText
    name: LabelText
    state: Path
    port: PortNumber = 8443
    addresses: tuple[str, ...] = ("::",)
    quiet: bool = False
    count: int = 1
    retry: Retry = Retry()
    lamp: Annotated[Bulb | Siren, Field(discriminator="driver")]


WHOLE = """\
domain = "raspidemo"
name = "sensor1"
state = "/var/lib/example"
addresses = ["127.0.0.1", "::1"]

[retry]
first = 2   # a whole number is a number, too

[lamp]
driver = "siren"
argv = ["beep", "-f"]
"""


def write(folder: Path, text: str | bytes) -> Path:
    path = folder / "example.toml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def complaints(folder: Path, text: str | bytes) -> list[str]:
    path = write(folder, text)
    with pytest.raises(ConfigError) as caught:
        load_config(path, Example)
    return str(caught.value).replace(f"{path}:", "").split("\n")


def test_a_whole_file_becomes_typed_settings(tmp_path: Path) -> None:
    found = load_config(write(tmp_path, WHOLE), Example)
    assert found.state == Path("/var/lib/example")
    assert found.addresses == ("127.0.0.1", "::1")
    assert (found.retry.first, found.retry.last, found.port) == (2.0, 300.0, 8443)
    assert found.lamp == Siren(driver="siren", argv=("beep", "-f"))


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ('"raspidemo"', '"Raspi demo"', "1: domain: 'Raspi demo' is not a DNS label: "),
        ('"sensor1"', '"a.b"', "2: name: 'a.b' is not a DNS label: "),
        ('"sensor1"', "7", "2: name: 7 must be one DNS label in lower case, such as"),
        ('name = "sensor1"\n', "", "1: name: is missing; give one DNS label in lower case"),
        ('"/var/lib/example"', "true", "3: state: true must be text in quotes"),
        ("addresses =", "adresses =", "4: adresses: is not a known key; known: addresses, count, domain,"),
        ('"::1"]', "\n 5]", "5: addresses[1]: 5 must be text in quotes"),
        ('["127.0.0.1", "::1"]', '"::1"', '4: addresses: "::1" must be a list in [ ]'),
        ("first = 2", 'first = "soon"', '7: retry.first: "soon" must be a number of seconds above 0'),
        ("first = 2", "first = -1.5", "7: retry.first: -1.5 must be a number of seconds above 0"),
        ("first = 2", "first = nan", "7: retry.first: NaN must be a number of seconds above 0"),
        ("first = 2", "frist = 2", "7: retry.frist: is not a known key; known: first, last"),
        ("[retry]", "retry.port = 3\n[rest]", "6: retry.port: is not a known key; known: first, last"),
        ("[retry]", "quiet = 1\ncount = 1.5\n[retry]", "6: quiet: 1 must be true or false, without quotes"),
        ("[retry]", "count = 1.5\n[retry]", "6: count: 1.5 must be a whole number without quotes"),
        ("[retry]\nfirst = 2", "retry = 5", "6: retry: 5 must be a table"),
        ('"siren"', '"bell"', '10: lamp.driver: "bell" must be one of bulb, siren'),
        ('driver = "siren"\n', "", "9: lamp.driver: is missing; add it"),
        ('"siren"', '"bulb"', "9: lamp.pin: is missing; add it"),
        ('"siren"', '"bulb"\npin = 4', "12: lamp.argv: is not a known key; known: driver, pin"),
        ("[retry]", "port = 65536\n[retry]", "6: port: 65536 must be a port from 1 to 65535"),
        ("[retry]", "[retry", "6: is not TOML: "),
        ("[retry]", 'name = "x"\n[retry]', "6: is not TOML: Cannot overwrite a value"),
        (
            "[retry]",
            "count = " + "9" * 5000 + "\n[retry]",
            " a number has more digits than any setting needs",
        ),
        ("[retry]", "count = " + "[" * 5000 + "\n[retry]", " lists or tables are nested too deeply"),
    ],
)
def test_a_mistake_is_told_with_its_line(tmp_path: Path, old: str, new: str, complaint: str) -> None:
    assert old in WHOLE
    found = complaints(tmp_path, WHOLE.replace(old, new, 1))
    assert any(line.startswith(complaint) for line in found), found


def test_all_mistakes_are_told_at_once_in_their_order(tmp_path: Path) -> None:
    text = WHOLE.replace("first", "frist").replace('"raspidemo"', '""').replace('"siren"', '"gong"')
    assert [line.split(":")[0] for line in complaints(tmp_path, text)] == ["1", "7", "10"]


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    assert complaints(tmp_path, b'domain = "x"\nname = "\xff"\n') == ["2: is not UTF-8 text"]
    assert complaints(tmp_path, b"#" * (1 << 20) + b"\n") == [" is larger than 1 MiB, which no settings are"]


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing.toml"):
        with pytest.raises(ConfigError, match="cannot be read: "):
            load_config(path, Example)


TRICKY = '''\
"a key" = """
[not.a.table] # nor a comment
x = 1 \\""" """""
plain.'dot.ted'."\\u0062" = 1
inline = { a = 1, b.c = [ 1, { d = "}" } ], e = 1979-05-27 07:32:00 }

[[rows]]
name = "#"
[rows.sub]
x = \'\'\'
y = 2\'\'\'\'
[[rows]]
sub.x = [ # one
  1, [ 2,
  3 ],
]
[[rows.inner]]
[[rows.inner]]
z = 1
'''


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_every_key_of_a_tricky_text_is_found(end: str) -> None:
    text = TRICKY.replace("\n", end)
    lines = key_lines(text)
    assert set(_paths(tomllib.loads(text))) == set(lines)
    expected: dict[KeyPath, int] = {
        ("a key",): 1,
        ("plain", "dot.ted", "b"): 4,
        ("inline", "b", "c", 1, "d"): 5,
        ("inline", "e"): 5,
        ("rows",): 7,
        ("rows", 0, "name"): 8,
        ("rows", 0, "sub", "x"): 10,
        ("rows", 1): 12,
        ("rows", 1, "sub", "x", 1, 1): 15,
        ("rows", 1, "inner", 1, "z"): 19,
    }
    assert {path: lines[path] for path in expected} == expected


_VALUES = st.recursive(
    st.sampled_from(
        ['"x"', "''", "1", "-1.5e3", "true", "[]", "{}", '"""\n#"""', "'''a\n'b'''''", "07:32:00"]
    ),
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda items: f"[ {' , '.join(items)}\n]")
        | st.dictionaries(st.sampled_from(["a", "b.c", '"d e"']), inner, max_size=3).map(
            lambda table: f"{{ {', '.join(f'{key} = {value}' for key, value in table.items())} }}"
        )
    ),
    max_leaves=8,
)
_LINES = st.one_of(
    st.tuples(st.sampled_from(["a", "b", "a.b", "'#'", "c . d"]), _VALUES).map(" = ".join),
    st.sampled_from(["", "# [x]", "[a]", "[t]", "[ t.u ]", "[[r]]", "[[r.s]]", "[r.t]", "[[ 'r' . s . v ]]"]),
)


@given(st.lists(_LINES, max_size=10).map("\n".join))
def test_every_key_of_any_text_is_found(text: str) -> None:
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    assert set(_paths(values)) == set(key_lines(text))


@given(st.text())
def test_any_file_at_all_gives_settings_or_a_config_error(tmp_path_factory: Any, text: str) -> None:
    path = tmp_path_factory.getbasetemp() / "any.toml"
    path.write_text(text, "utf-8", "surrogatepass")
    with pytest.raises(ConfigError):
        load_config(path, Example)


def _paths(values: Any, path: KeyPath = ()) -> list[KeyPath]:
    inner = (
        values.items() if isinstance(values, dict) else enumerate(values) if isinstance(values, list) else ()
    )
    return [way for key, value in inner for way in ((*path, key), *_paths(value, (*path, key)))]
