"""The shapes of the inventory's data, and pydantic's findings in our own sentences."""

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from lightest_agents.fleet.problems import known, show


class Shape(BaseModel):
    """Nothing is converted and nothing unknown is let through."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


Text = Annotated[str, Field(min_length=1)]


class ManufacturerShape(Shape):
    """One entry of trust_manufacturers."""

    name: Text


class SupplierShape(Shape):
    """One entry of trust_suppliers."""

    name: Text
    host: str | None = None


class DnssecShape(Shape):
    """trust_dnssec."""

    keys: Literal["csk", "ksk-zsk"]
    denial: Literal["nsec", "nsec3"]


class OperatorShape(Shape):
    """trust_operator."""

    name: Text
    territory: Annotated[str, Field(pattern="^[A-Z]{2}$")]


class SettingsShape(Shape):
    """The variables of the whole cluster. None has a default here: the roles read the same variables."""

    trust_domain: str
    trust_operator: OperatorShape
    trust_nameserver: str
    trust_ttl: int
    trust_negative_ttl: int
    trust_manufacturers: dict[str, ManufacturerShape]
    trust_suppliers: dict[str, SupplierShape]
    trust_dnssec: DnssecShape
    trust_forwarders: list[str]
    trust_ntp_servers: list[str]


class SensorShape(Shape):
    """One sensor of a country's YAML file."""

    name: str
    manufacturer: str
    suppliers: list[str]
    host: str | None = None
    ipv4: str | None = None
    ipv6: str | None = None


class CountryShape(Shape):
    """A country's YAML file; its sensors are checked one by one, so that one mistake hides no other."""

    nameserver: str
    sensors: list[Any] | None = None


def findings(model: type[Shape], error: ValidationError) -> Iterator[tuple[str, str]]:
    """What pydantic found, as pairs of key (`sensors[3].name`) and sentence."""
    for detail in error.errors(include_url=False, include_context=True):
        # A key of another type than text would look like the index of a list.
        location = detail["loc"][:-1] if detail["type"] == "invalid_key" else detail["loc"]
        yield _key(location), _sentence(model, detail)


def _key(location: Sequence[int | str]) -> str:
    key = ""
    for step in location:
        if isinstance(step, int):
            key += f"[{step}]"
        elif step != "[key]":
            key += f".{step}" if key else step
    return key


def _sentence(model: type[Shape], detail: ErrorDetails) -> str:
    value = detail["input"]
    match detail["type"]:
        case "missing":
            return "is missing; add it"
        case "extra_forbidden":
            return f"is not a known key; {known(_keys_at(model, detail['loc'][:-1]))}"
        case "invalid_key":
            return f"{show(value)} cannot be a key; put it in quotes"
        case "string_type" if isinstance(value, bool):
            return (
                f"{show(value)} must be text; YAML reads yes, no, on and off as booleans, so put it in quotes"
            )
        case "string_type":
            return f"{show(value)} must be text{'' if value is None else '; put it in quotes'}"
        case "int_type" | "int_from_float":
            return f"{show(value)} must be a whole number, without quotes"
        case "list_type":
            return f"{show(value)} must be a list"
        case "dict_type" | "model_type":
            return f"{show(value)} must be a mapping of keys to values"
        case "literal_error":
            return f"{show(value)} must be {detail['ctx']['expected'].replace(chr(39), '')}"
        case "string_too_short":
            return "is empty; give a name"
        case "string_pattern_mismatch":
            return f"{show(value)} must be a country code of two capital letters, such as DE"
        case _:
            return f"{show(value)} cannot be used: {detail['msg']}"


def _keys_at(model: type[Shape], location: Sequence[int | str]) -> list[str]:
    for step in location:
        field = model.model_fields.get(str(step))
        if field is not None:
            model = _shape_in(field.annotation) or model
    return list(model.model_fields)


def _shape_in(annotation: Any) -> type[Shape] | None:
    if isinstance(annotation, type) and issubclass(annotation, Shape):
        return annotation
    inner = (_shape_in(argument) for argument in get_args(annotation))
    return next((shape for shape in inner if shape is not None), None)
