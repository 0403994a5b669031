"""An agent's settings: one TOML file, checked against a pydantic model; mistakes are told with their lines.

Fields say in their `description`, as a noun phrase, what they want; the sentences of mistakes are made of it:

    threshold: Annotated[float, Field(description="a temperature in °C, such as 25.0")]
    -> /etc/lightest/sensor-x.toml:7: threshold: "hot" must be a temperature in °C, such as 25.0
"""

import json
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from lightest_agents.errors import LightestError, NameRefusedError
from lightest_agents.service.toml_lines import KeyPath, key_lines
from lightest_agents.trust.names import check_label, trust_domain

_SHOWN_CHARACTERS = 80
_MAX_BYTES = 1 << 20
_TOML_POSITION = re.compile(r" \(at (?:line (?P<line>\d+), column \d+|end of document)\)$")


class ConfigError(LightestError):
    """The settings cannot be used; one line for each problem: `<file>:<line>: <key>: <what is wrong>`."""

    reason = "config-invalid"


class Settings(BaseModel):
    """What an agent's model of its settings is derived from: values cannot change, NaN is no number."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)


def _domain(text: str) -> str:
    try:
        trust_domain(text)
    except NameRefusedError as error:
        raise ValueError(str(error)) from error
    return text


def _label(text: str) -> str:
    try:
        return check_label(text)
    except NameRefusedError as error:
        raise ValueError(str(error)) from error


DomainText = Annotated[
    str, AfterValidator(_domain), Field(description='a DNS name without the final dot, such as "raspidemo"')
]
LabelText = Annotated[
    str, AfterValidator(_label), Field(description='one DNS label in lower case, such as "sensor1"')
]
PortNumber = Annotated[int, Field(ge=1, le=65535, description="a port from 1 to 65535")]
Seconds = Annotated[float, Field(gt=0, le=86400 * 366, description="a number of seconds above 0")]

ModelT = TypeVar("ModelT", bound=BaseModel)


def load_config(path: Path, model: type[ModelT]) -> ModelT:
    """The settings in the file `path`; types are not converted, keys that `model` does not have are refused.

    Raises:
        ConfigError: the file cannot be read or is no TOML, or keys are missing, unknown or have wrong values.
    """
    text = _read(path)
    try:
        values = tomllib.loads(text)
        # As JSON a list can be a tuple and a text a path, and yet no type is converted.
        return model.model_validate_json(json.dumps(values, default=str), strict=True, extra="forbid")
    except ValidationError as error:
        found = _problems(model, values, key_lines(text), error)
        raise ConfigError("\n".join(f"{path}:{line}: {sentence}" for line, sentence in found)) from error
    except tomllib.TOMLDecodeError as error:
        raise _not_toml(path, text, error) from error
    except ValueError as error:
        raise ConfigError(f"{path}: a number has more digits than any setting needs") from error
    except RecursionError as error:
        raise ConfigError(f"{path}: lists or tables are nested too deeply") from error


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    if len(content) > _MAX_BYTES:
        raise ConfigError(f"{path}: is larger than 1 MiB, which no settings are")
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{path}:{line}: is not UTF-8 text") from error


def _not_toml(path: Path, text: str, error: tomllib.TOMLDecodeError) -> ConfigError:
    message = str(error)
    position = _TOML_POSITION.search(message)
    line = (position and position["line"]) or text.rstrip().count("\n") + 1
    return ConfigError(f"{path}:{line}: is not TOML: {_TOML_POSITION.sub('', message)}")


def _problems(
    model: type[BaseModel], values: Mapping[str, Any], lines: Mapping[KeyPath, int], error: ValidationError
) -> list[tuple[int, str]]:
    schema = model.model_json_schema()
    problems = []
    for detail in error.errors(include_url=False):
        path = _path_in(values, detail)
        line = next((lines[path[:end]] for end in range(len(path), 0, -1) if path[:end] in lines), 1)
        problems.append(
            (line, f"{_key(path)}: {_sentence(schema, detail)}" if path else _sentence(schema, detail))
        )
    return sorted(problems)


def _path_in(values: Any, detail: ErrorDetails) -> KeyPath:
    """The place of a finding in the file: pydantic adds to it which kind of a tagged union it looked at."""
    path: KeyPath = ()
    last = len(detail["loc"]) - 1
    for index, step in enumerate(detail["loc"]):
        if isinstance(values, dict) and step in values:
            values = values[str(step)]
        elif isinstance(values, list) and isinstance(step, int):
            values = values[step]
        elif index != last or detail["type"] != "missing":
            continue
        path = (*path, step)
    if detail["type"].startswith("union_tag"):
        path = (*path, detail["ctx"]["discriminator"].strip("'"))
    return path


def _key(path: KeyPath) -> str:
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).removeprefix(".")


def _sentence(schema: dict[str, Any], detail: ErrorDetails) -> str:
    kind, value = detail["type"], detail["input"]
    wanted = _schema_at(schema, detail["loc"]).get("description")
    match kind:
        case "missing":
            return f"is missing; give {wanted}" if wanted else "is missing; add it"
        case "extra_forbidden":
            known = sorted(_schema_at(schema, detail["loc"][:-1]).get("properties", {}))
            return f"is not a known key; known: {', '.join(known)}"
        case "union_tag_not_found":
            return "is missing; add it"
        case "union_tag_invalid":
            tags = detail["ctx"]["expected_tags"].replace("'", "")
            return f"{_show(detail['ctx']['tag'])} must be one of {tags}"
        case "value_error":
            return str(detail["ctx"]["error"])
        case "literal_error" | "enum":
            return f"{_show(value)} must be {detail['ctx']['expected'].replace(chr(39), '')}"
    if wanted:
        return f"{_show(value)} must be {wanted}"
    for name, words in _WORDS.items():
        if kind.startswith(name):
            return f"{_show(value)} must be {words}"
    return f"{_show(value)} cannot be used: {detail['msg']}"


def _show(value: object) -> str:
    """A value on one line, about as the file has it, and not too long."""
    if isinstance(value, dict):
        return "a table"
    text = json.dumps(value, ensure_ascii=not str(value).isprintable(), default=str)
    return text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 1] + "…"


_WORDS = {
    "string_type": "text in quotes",
    "int_": "a whole number without quotes",
    "float_": "a number without quotes",
    "finite_number": "a finite number",
    "bool_": "true or false, without quotes",
    "list_type": "a list in [ ]",
    "tuple_type": "a list in [ ]",
    "dict_type": "a table",
    "model_": "a table",
}


def _schema_at(schema: dict[str, Any], location: tuple[int | str, ...]) -> dict[str, Any]:
    """The part of a JSON schema that describes the value at a pydantic location; empty if there is none."""
    part = schema
    for step in location:
        part = _resolve(schema, part)
        if "discriminator" in part:
            part = {"$ref": part["discriminator"]["mapping"].get(step, "")}
        elif isinstance(step, int):
            part = part.get("items", {})
        else:
            part = part.get("properties", {}).get(step, {})
    return _resolve(schema, part)


def _resolve(schema: dict[str, Any], part: dict[str, Any]) -> dict[str, Any]:
    name = str(part.get("$ref", "")).rpartition("/")[2]
    return schema["$defs"][name] | {key: part[key] for key in part if key != "$ref"} if name else part
