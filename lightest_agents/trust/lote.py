"""The trust list as a List of Trusted Entities: ETSI TS 119 602 V1.1.1, JSON binding.

Where things are, and why there:

- The scheme is this project's, so its type, status determination and service type are URIs of its own
  (`urn:lightest:…`). The status of the service is one of TS 119 612's, which readers of trust lists know.
- The one trusted entity is the manufacturer (TEName its title, TETradeName its label), its one service is
  the sensor.
- The sensor's claim is the ServiceUniqueIdentifier, the extension that TS 119 602 has for identifiers that
  are URIs, as a `dns:` URI (RFC 4501). ServiceName repeats it for people.
- The sensor's key is in ServiceDigitalIdentity as its certificate.
- The suppliers are an extension of the service, since they repair this sensor's machine and nothing is
  certified about them: `{"Suppliers": [{"Name", "Title", "NotificationURI", "Address", "Available"}]}`, in
  order. They are no trusted entities of their own, as each of these needs a service with a digital identity.
- The street of the manufacturer, which the schema demands and nobody here knows, is said to be unpublished.
"""

import base64
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import dns.name

from lightest_agents.errors import NameRefusedError
from lightest_agents.trust import names
from lightest_agents.trust.trust_list import (
    SensorService,
    ServiceStatus,
    Supplier,
    TrustList,
    TrustListError,
)

_VERSION = 1
_LIST_TYPE = "urn:lightest:list-type:sensor"
_DETERMINATION = "urn:lightest:status-determination:manufacturer"
_SERVICE_TYPE = "urn:lightest:service-type:sensor"
_STATUS = "http://uri.etsi.org/TrstSvc/TrustedList/Svcstatus/"
_NO_STREET = "not published"
_TIME = "%Y-%m-%dT%H:%M:%SZ"


def to_lote(trust_list: TrustList) -> dict[str, object]:
    """The JSON document, valid against ETSI's schema."""
    return {
        "LoTE": {
            "ListAndSchemeInformation": {
                "LoTEVersionIdentifier": _VERSION,
                "LoTESequenceNumber": trust_list.sequence,
                "LoTEType": _LIST_TYPE,
                "SchemeOperatorName": _in_english(trust_list.operator),
                "SchemeInformationURI": _uri_in_english(trust_list.information),
                "StatusDeterminationApproach": _DETERMINATION,
                "SchemeTerritory": trust_list.territory,
                "ListIssueDateTime": _time(trust_list.issued),
                "NextUpdate": _time(trust_list.next_update),
            },
            "TrustedEntitiesList": [
                {
                    "TrustedEntityInformation": _entity(trust_list),
                    "TrustedEntityServices": [
                        {"ServiceInformation": _service(trust_list.service, trust_list.suppliers)}
                    ],
                }
            ],
        }
    }


def from_lote(document: object) -> TrustList:
    """The trust list in a JSON document.

    Whatever `to_lote` would not have written is refused: a list with members that this verifier does not
    understand may say something that changes what the others mean.

    Raises:
        TrustListError: it is not such a list; the message names the first place that differs.
    """
    scheme = _at(document, "LoTE", "ListAndSchemeInformation")
    entity = _at(document, "LoTE", "TrustedEntitiesList", 0)
    service = _at(entity, "TrustedEntityServices", 0, "ServiceInformation")
    trust_list = TrustList(
        sequence=_whole(scheme, "LoTESequenceNumber"),
        issued=_read_time(scheme, "ListIssueDateTime"),
        next_update=_read_time(scheme, "NextUpdate"),
        operator=_text(scheme, "SchemeOperatorName", 0, "value"),
        territory=_text(scheme, "SchemeTerritory"),
        information=_text(scheme, "SchemeInformationURI", 0, "uriValue"),
        manufacturer=_text(entity, "TrustedEntityInformation", "TEName", 0, "value"),
        manufacturer_label=_text(entity, "TrustedEntityInformation", "TETradeName", 0, "value"),
        service=_read_service(service),
        suppliers=_read_suppliers(service),
    )
    difference = _difference(document, to_lote(trust_list), "")
    if difference is not None:
        raise TrustListError(f"{difference} is not as this project writes it")
    return trust_list


def _entity(trust_list: TrustList) -> dict[str, object]:
    return {
        "TEName": _in_english(trust_list.manufacturer),
        "TETradeName": _in_english(trust_list.manufacturer_label),
        "TEAddress": {
            "TEPostalAddress": [{"lang": "en", "StreetAddress": _NO_STREET, "Country": trust_list.territory}],
            "TEElectronicAddress": _uri_in_english(trust_list.information),
        },
        "TEInformationURI": _uri_in_english(trust_list.information),
    }


def _service(service: SensorService, suppliers: tuple[Supplier, ...]) -> dict[str, object]:
    claim = service.claim.to_text(omit_final_dot=True)
    return {
        "ServiceName": _in_english(claim),
        "ServiceDigitalIdentity": {
            "X509Certificates": [{"val": base64.b64encode(service.certificate).decode("ascii")}]
        },
        "ServiceTypeIdentifier": _SERVICE_TYPE,
        "ServiceStatus": _STATUS + service.status,
        "StatusStartingTime": _time(service.since),
        "ServiceInformationExtensions": [
            {"ServiceUniqueIdentifier": f"dns:{claim}"},
            {"Suppliers": [_supplier(supplier) for supplier in suppliers]},
        ],
    }


def _supplier(supplier: Supplier) -> dict[str, object]:
    return {
        "Name": supplier.name,
        "Title": _in_english(supplier.title),
        "NotificationURI": supplier.url,
        "Address": supplier.address,
        "Available": supplier.available,
    }


def _in_english(text: str) -> list[dict[str, str]]:
    return [{"lang": "en", "value": text}]


def _uri_in_english(uri: str) -> list[dict[str, str]]:
    return [{"lang": "en", "uriValue": uri}]


def _time(time: datetime) -> str:
    # strftime does not pad years before 1000 everywhere
    return time.replace(tzinfo=None).isoformat(timespec="seconds") + "Z"


def _read_service(service: object) -> SensorService:
    status = _text(service, "ServiceStatus")
    try:
        certificate = base64.b64decode(
            _text(service, "ServiceDigitalIdentity", "X509Certificates", 0, "val"), validate=True
        )
        known_status = ServiceStatus(status.removeprefix(_STATUS))
    except ValueError as error:
        raise TrustListError(f"the sensor's service: {error}") from error
    return SensorService(
        claim=_read_claim(_text(service, "ServiceName", 0, "value")),
        certificate=certificate,
        status=known_status,
        since=_read_time(service, "StatusStartingTime"),
    )


def _read_claim(text: str) -> dns.name.Name:
    try:
        return names.trust_domain(text)
    except NameRefusedError as error:
        raise TrustListError(f"the claim: {error}") from error


def _read_suppliers(service: object) -> tuple[Supplier, ...]:
    suppliers = _at(service, "ServiceInformationExtensions", 1, "Suppliers")
    if not isinstance(suppliers, list):
        raise TrustListError("Suppliers must be a list")
    return tuple(
        Supplier(
            name=_text(supplier, "Name"),
            title=_text(supplier, "Title", 0, "value"),
            url=_text(supplier, "NotificationURI"),
            address=_text(supplier, "Address"),
            available=_at(supplier, "Available") is True,
        )
        for supplier in suppliers
    )


def _at(document: object, *path: str | int) -> object:
    value: Any = document
    for key in path:
        try:
            value = value[key]
        except (KeyError, IndexError, TypeError) as error:
            raise TrustListError(f"{'.'.join(map(str, path))} is missing") from error
    return value


def _text(value: object, *path: str | int) -> str:
    found = _at(value, *path)
    if not isinstance(found, str):
        raise TrustListError(f"{'.'.join(map(str, path))} must be a string")
    return found


def _whole(value: object, *path: str | int) -> int:
    found = _at(value, *path)
    if type(found) is not int:
        raise TrustListError(f"{'.'.join(map(str, path))} must be an integer")
    return found


def _read_time(value: object, *path: str | int) -> datetime:
    try:
        return datetime.strptime(_text(value, *path), _TIME).replace(tzinfo=UTC)
    except ValueError as error:
        raise TrustListError(f"{'.'.join(map(str, path))}: {error}") from error


def _difference(found: object, expected: object, place: str = "the document") -> str | None:
    """The first place in which two JSON values differ; 1, 1.0 and true are different."""
    if type(found) is not type(expected):
        return place
    if isinstance(found, dict) and isinstance(expected, dict):
        odd = found.keys() ^ expected.keys()
        if odd:
            return f"{place}.{min(odd)[:60]}"
        return _first(_difference(found[key], expected[key], f"{place}.{key}") for key in expected)
    if isinstance(found, list) and isinstance(expected, list):
        if len(found) != len(expected):
            return place
        pairs = enumerate(zip(found, expected, strict=True))
        return _first(_difference(*pair, f"{place}[{index}]") for index, pair in pairs)
    return None if found == expected else place


def _first(places: Iterable[str | None]) -> str | None:
    return next((place for place in places if place is not None), None)
