"""The trust list in ETSI TS 119 602's JSON: valid against its schema, read back without loss."""

import base64
import copy
import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dns.name
import jsonschema
import pytest
import referencing
from hypothesis import given
from hypothesis import strategies as st

from lightest_agents.trust.lote import from_lote, to_lote
from lightest_agents.trust.trust_list import (
    SensorService,
    ServiceStatus,
    Supplier,
    TrustList,
    TrustListError,
)
from tests.unit.trust.samples import P256_DER, trust_list

SCHEMAS = Path(os.environ.get("LIGHTEST_SCHEMAS", Path(__file__).parents[3].parent / "shared/schemas"))

LABELS = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,10}[a-z0-9])?", fullmatch=True)
URLS = st.builds("https://{}.raspidemo:{}/{}".format, LABELS, st.integers(1, 65535), LABELS)
WORDS = st.text(st.characters(categories=("L", "N", "P", "S")), min_size=1, max_size=12)
TEXTS = st.lists(WORDS, min_size=1, max_size=4).map(" ".join)
TIMES = st.integers(0, 4_000_000_000).map(lambda seconds: datetime.fromtimestamp(seconds, UTC))
SUPPLIERS = st.lists(
    st.builds(Supplier, LABELS, TEXTS, URLS, TEXTS | st.just(""), st.booleans()),
    max_size=4,
    unique_by=lambda supplier: supplier.name,
).map(tuple)


@st.composite
def trust_lists(draw: st.DrawFn) -> TrustList:
    issued = draw(TIMES)
    claim = dns.name.from_text(f"{draw(LABELS)}.{draw(LABELS)}.{draw(LABELS)}.")
    return TrustList(
        sequence=draw(st.integers(1, 2**53 - 1)),
        issued=issued,
        next_update=issued + timedelta(seconds=draw(st.integers(1, 10**8))),
        operator=draw(TEXTS),
        territory=draw(st.from_regex(r"[A-Z]{2}", fullmatch=True)),
        information=draw(URLS),
        manufacturer=draw(TEXTS),
        manufacturer_label=draw(LABELS),
        service=SensorService(
            claim, draw(st.binary(min_size=1, max_size=50)), draw(st.sampled_from(ServiceStatus)), draw(TIMES)
        ),
        suppliers=draw(SUPPLIERS),
    )


@pytest.fixture(scope="module")
def etsi() -> jsonschema.protocols.Validator:
    folder = SCHEMAS / "etsi-ts-119602"
    if not folder.is_dir():
        pytest.skip(f"ETSI's schemas are not in {folder}; set LIGHTEST_SCHEMAS to where they are")
    schema = json.loads((folder / "1960201_json_schema.json").read_text("utf-8"))
    jwk = referencing.Resource.from_contents(json.loads((folder / "rfcs/rfc7517.json").read_text("utf-8")))
    return jsonschema.Draft7Validator(
        schema,
        registry=referencing.Registry().with_resource("rfcs/rfc7517.json", jwk),
        format_checker=jsonschema.Draft7Validator.FORMAT_CHECKER,
    )


def test_the_schema_demands_something(etsi: jsonschema.protocols.Validator) -> None:
    document: Any = to_lote(trust_list())
    del document["LoTE"]["ListAndSchemeInformation"]["NextUpdate"]
    assert not etsi.is_valid(document)


def test_a_list_is_valid_against_etsis_schema(etsi: jsonschema.protocols.Validator) -> None:
    @given(trust_lists())
    def valid(sample: TrustList) -> None:
        document: Any = to_lote(sample)
        etsi.validate(document)

    valid()


def test_the_sensors_identifier_is_the_extension_etsi_defines(etsi: jsonschema.protocols.Validator) -> None:
    schema = json.loads((SCHEMAS / "etsi-ts-119602/1960201_json_schema_sie.json").read_text("utf-8"))
    document: Any = to_lote(trust_list())
    service = document["LoTE"]["TrustedEntitiesList"][0]["TrustedEntityServices"][0]["ServiceInformation"]
    (identifier,) = service["ServiceInformationExtensions"][0].items()
    assert identifier == ("ServiceUniqueIdentifier", "dns:sensor1.germany.raspidemo")
    jsonschema.validate(identifier[1], schema["definitions"]["ServiceUniqueIdentifier"])


@given(trust_lists())
def test_a_list_is_read_back_as_it_was(sample: TrustList) -> None:
    assert from_lote(json.loads(json.dumps(to_lote(sample)))) == sample


def places(value: object, *path: str | int) -> Iterator[tuple[str | int, ...]]:
    """Every place in a JSON value."""
    yield path
    if isinstance(value, dict):
        for name, item in value.items():
            yield from places(item, *path, name)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from places(item, *path, index)


PLACES = [path for path in places(to_lote(trust_list())) if path]


def parent_of(document: Any, path: tuple[str | int, ...]) -> Any:
    for key in path[:-1]:
        document = document[key]
    return document


@pytest.mark.parametrize("path", PLACES, ids=lambda path: ".".join(map(str, path))[-60:])
def test_nothing_can_be_missing_or_of_another_type(path: tuple[str | int, ...]) -> None:
    for replacement in (None, 0, "", [], {}, True, 1.0, ["a"], {"a": "b"}, "\ud800", float("nan")):
        document = to_lote(trust_list())
        parent = parent_of(document, path)
        if replacement == parent[path[-1]] or (path[-1], replacement) == ("Suppliers", []):
            continue
        parent[path[-1]] = replacement
        with pytest.raises(TrustListError):
            from_lote(document)
    document = to_lote(trust_list())
    parent = parent_of(document, path)
    del parent[path[-1]]
    if path[-2:-1] == ("Suppliers",):
        assert len(from_lote(document).suppliers) == 1
    else:
        with pytest.raises(TrustListError):
            from_lote(document)


@pytest.mark.parametrize("path", [(), *PLACES], ids=lambda path: ".".join(map(str, path))[-60:])
def test_nothing_can_be_added(path: tuple[str | int, ...]) -> None:
    document = to_lote(trust_list())
    value = parent_of(document, (*path, ""))
    if isinstance(value, dict):
        value["Surprise"] = 1
    elif isinstance(value, list):
        value.append(copy.deepcopy(value[0]) if value else 1)
    else:
        return
    with pytest.raises(TrustListError):
        from_lote(document)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("LoTEVersionIdentifier", 2),
        ("LoTEVersionIdentifier", 1.0),
        ("LoTEVersionIdentifier", True),
        ("LoTESequenceNumber", 3.0),
        ("LoTEType", "urn:other"),
        ("ListIssueDateTime", "2026-03-01T12:00:00+00:00"),
        ("ListIssueDateTime", "2026-03-01T12:00:00.0Z"),
        ("ListIssueDateTime", "2026-3-1T12:00:00Z"),
        ("ListIssueDateTime", "2026-02-30T12:00:00Z"),
        ("NextUpdate", "2026-03-02T12:00:00"),
        ("SchemeTerritory", "de"),
    ],
)
def test_there_is_one_way_to_say_it(place: str, value: object) -> None:
    document: Any = to_lote(trust_list())
    document["LoTE"]["ListAndSchemeInformation"][place] = value
    with pytest.raises(TrustListError):
        from_lote(document)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("ServiceStatus", "granted"),
        ("ServiceStatus", "http://uri.etsi.org/TrstSvc/TrustedList/Svcstatus/suspended"),
        ("ServiceName", [{"lang": "en", "value": "sensor2.germany.raspidemo"}]),
        ("ServiceName", [{"lang": "en", "value": "Sensor1.germany.raspidemo"}]),
        (
            "ServiceDigitalIdentity",
            {"X509Certificates": [{"val": base64.b64encode(P256_DER).decode() + "\n"}]},
        ),
        ("ServiceDigitalIdentity", {"X509Certificates": [{"val": "QR=="}]}),
        ("ServiceDigitalIdentity", {"PublicKeyValues": []}),
    ],
)
def test_there_is_one_way_to_speak_of_the_sensor(place: str, value: object) -> None:
    document: Any = to_lote(trust_list())
    entity = document["LoTE"]["TrustedEntitiesList"][0]
    entity["TrustedEntityServices"][0]["ServiceInformation"][place] = value
    with pytest.raises(TrustListError):
        from_lote(document)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.sampled_from(["LoTE"]), inner),
    )
)
def test_no_json_raises_anything_else(document: object) -> None:
    with pytest.raises(TrustListError):
        from_lote(document)
