"""The trust list: what a manufacturer publishes about one sensor, and the rules for using it.

There is one list for each sensor. It has the sensor's certificate and status, and the suppliers that repair
the machine, in the order in which they are to be called. The values check themselves, so a list that exists
can be published; `lote` maps it to ETSI's JSON and `signed_list` signs it.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

import dns.name

from lightest_agents.errors import LightestError, NameRefusedError
from lightest_agents.trust import names
from lightest_agents.trust.urls import UrlRefusedError, parse_https_url
from lightest_agents.trust.verdict import Reason, Refusal

MAX_ISSUED_AHEAD = timedelta(minutes=1)
"""How far a publisher's clock may be ahead of the verifier's."""

_MAX_SEQUENCE = 2**53 - 1
_MAX_TEXT = 500
_TERRITORY = re.compile(r"[A-Z]{2}")


class TrustListError(LightestError):
    """Something is not a trust list, or cannot be said in one."""

    reason = "list-malformed"


class ServiceStatus(StrEnum):
    """Whether the manufacturer stands by a sensor."""

    GRANTED = "granted"
    WITHDRAWN = "withdrawn"


@dataclass(frozen=True, slots=True)
class Supplier:
    """Who repairs the machine.

    Raises:
        TrustListError: a field cannot be said in a trust list.
    """

    name: str
    """The label, `supplier1`."""
    title: str
    url: str
    """Where alarms are sent, `https://supplier1.raspidemo:9443/v1/alarms`."""
    address: str
    """For people; may be empty."""
    available: bool

    def __post_init__(self) -> None:
        """Check the fields."""
        _check_label(self.name, "the supplier's name")
        _check_text(self.title, "the supplier's title")
        _check_url(self.url, "the supplier's url")
        _check_text(self.address, "the supplier's address", empty=True)
        if type(self.available) is not bool:
            raise TrustListError("the supplier's availability must be true or false")


@dataclass(frozen=True, slots=True)
class SensorService:
    """The sensor: its claim, its certificate and whether that is to be believed.

    Raises:
        TrustListError: a field cannot be said in a trust list.
    """

    claim: dns.name.Name
    certificate: bytes
    """DER; whether it can be used is found out by `decision.verification_key`."""
    status: ServiceStatus
    since: datetime
    """When it got this status: UTC, whole seconds."""

    def __post_init__(self) -> None:
        """Check the fields."""
        try:
            canonical = names.trust_domain(self.claim.to_text(omit_final_dot=True))
        except NameRefusedError as error:
            raise TrustListError(f"the claim: {error}") from error
        if not self.claim.is_absolute() or canonical.labels != self.claim.labels:
            raise TrustListError(f"the claim {self.claim} must be an absolute name in lower case")
        if not self.certificate:
            raise TrustListError("the sensor has no certificate; register one")
        _check_time(self.since, "the status's starting time")


@dataclass(frozen=True, slots=True)
class TrustList:
    """What a manufacturer says about one sensor.

    Raises:
        TrustListError: a field cannot be said in a trust list.
    """

    sequence: int
    """1 for the first list about the sensor, then one more for each."""
    issued: datetime
    """UTC, whole seconds."""
    next_update: datetime
    """Until when the list may be used: UTC, whole seconds."""
    operator: str
    """The title of who runs the trust scheme."""
    territory: str
    """ISO 3166-1 alpha-2."""
    information: str
    """An https address of the operator, where people find out more."""
    manufacturer: str
    """The title."""
    manufacturer_label: str
    service: SensorService
    suppliers: tuple[Supplier, ...]
    """In the order in which they are to be called."""

    def __post_init__(self) -> None:
        """Check the fields."""
        if type(self.sequence) is not int or not 1 <= self.sequence <= _MAX_SEQUENCE:
            raise TrustListError("the sequence number must be an integer from 1 to 2**53 - 1")
        _check_time(self.issued, "the issue time")
        _check_time(self.next_update, "the time of the next update")
        if self.next_update <= self.issued:
            raise TrustListError("the next update must be after the issue time")
        _check_text(self.operator, "the operator")
        if _TERRITORY.fullmatch(self.territory) is None:
            raise TrustListError(f"the territory must be two capital letters, not {self.territory[:20]!r}")
        _check_url(self.information, "the operator's information")
        _check_text(self.manufacturer, "the manufacturer")
        _check_label(self.manufacturer_label, "the manufacturer's label")
        if len({supplier.name for supplier in self.suppliers}) != len(self.suppliers):
            raise TrustListError("a supplier is named twice")


def check_service(current: TrustList, claim: dns.name.Name) -> Refusal | None:
    """Refuse a list that is about another sensor than the one that claims (`list-other-sensor`)."""
    if current.service.claim.labels != claim.labels:  # both are in lower case
        return Refusal(Reason.LIST_OTHER_SENSOR, f"the list is about {current.service.claim}, not {claim}")
    return None


def check_freshness(current: TrustList, seen: int | None, now: datetime) -> Refusal | None:
    """Refuse a list that is older than one this verifier has used, from the future, or expired.

    ETSI TS 119 602 LoTESequenceNumber, ListIssueDateTime and NextUpdate; the rollback and freeze attacks of
    the TUF specification, section 1.5.2. `seen` is the highest sequence used so far, `now` an aware UTC time.

    Refusals: `list-rollback`, `list-not-yet-valid`, `list-expired`.
    """
    if seen is not None and current.sequence < seen:
        return Refusal(Reason.LIST_ROLLBACK, f"sequence {current.sequence} after {seen} was seen")
    if current.issued > now + MAX_ISSUED_AHEAD:
        return Refusal(Reason.LIST_NOT_YET_VALID, f"issued at {current.issued:%Y-%m-%d %H:%M:%S}Z")
    if now >= current.next_update:
        return Refusal(
            Reason.LIST_EXPIRED, f"the list was due for renewal at {current.next_update:%Y-%m-%d %H:%M:%S}Z"
        )
    return None


def in_order(suppliers: Sequence[Supplier]) -> tuple[Supplier, ...]:
    """The suppliers that are available, in the manufacturer's order."""
    return tuple(supplier for supplier in suppliers if supplier.available)


def _check_label(label: str, what: str) -> None:
    try:
        names.check_label(label)
    except NameRefusedError as error:
        raise TrustListError(f"{what}: {error}") from error


def _check_url(url: str, what: str) -> None:
    try:
        parse_https_url(url)
    except UrlRefusedError as error:
        raise TrustListError(f"{what}: {error}") from error


def _check_text(text: str, what: str, *, empty: bool = False) -> None:
    if len(text) > _MAX_TEXT or not text.isprintable() or text != text.strip() or not (text or empty):
        raise TrustListError(f"{what} must be {0 if empty else 1} to {_MAX_TEXT} printable characters")


def _check_time(time: datetime, what: str) -> None:
    if time.utcoffset() != timedelta(0) or time.microsecond:
        raise TrustListError(f"{what} must be in UTC and in whole seconds, not {time.isoformat()}")
