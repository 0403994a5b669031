"""What is read from the TSPA's database."""

from collections.abc import Sequence
from datetime import datetime

from django.conf import settings
from django.db.models import Prefetch, Q, QuerySet

from lightest_agents.errors import NameRefusedError
from lightest_agents.trust import names
from lightest_agents.tspa.config import TspaConfig
from lightest_agents.tspa.errors import UnknownNameError
from lightest_agents.tspa.models import (
    ApiToken,
    Manufacturer,
    Publication,
    PublicationState,
    Sensor,
    SensorSupplier,
)


def config() -> TspaConfig:
    """The operator's settings."""
    return settings.TSPA


def claim(sensor: Sensor) -> str:
    """`sensor1.germany.raspidemo`."""
    return f"{sensor.label}.{sensor.country}.{config().domain}"


def split_claim(text: str) -> tuple[str, str] | None:
    """Country and label of a claim in this trust domain, given without the final dot."""
    label, _, rest = text.partition(".")
    country, _, domain = rest.partition(".")
    if domain != config().domain:
        return None
    try:
        return names.check_label(country), names.check_label(label)
    except NameRefusedError:
        return None


def manufacturer(label: str) -> Manufacturer:
    """A manufacturer of the operator's inventory.

    Raises:
        UnknownNameError: there is none of that label.
    """
    found = Manufacturer.objects.filter(label=label, registered=True).first()
    if found is None:
        raise UnknownNameError(f"no manufacturer {label} is registered; add it to the inventory")
    return found


def valid_token(digest: str, now: datetime) -> ApiToken | None:
    """The token of that digest, unless it was revoked, has expired or its manufacturer is gone."""
    return (
        ApiToken.objects.select_related("manufacturer")
        .filter(Q(expires__isnull=True) | Q(expires__gt=now))
        .filter(digest=digest, revoked__isnull=True, manufacturer__registered=True)
        .first()
    )


def sensor(claim: str) -> Sensor:
    """The sensor of that claim.

    Raises:
        UnknownNameError: the registry has none.
    """
    country, label = split_claim(claim) or ("", "")
    found = Sensor.objects.filter(country=country, label=label, registered=True).first()
    if found is None:
        raise UnknownNameError(f"no sensor {claim} is registered; add it to the inventory")
    return found


def own_sensor(owner: Manufacturer, claim: str) -> Sensor | None:
    """The sensor of that claim, if it is this manufacturer's."""
    parts = split_claim(claim)
    if parts is None:
        return None
    country, label = parts
    return _with_suppliers(
        Sensor.objects.filter(country=country, label=label, manufacturer=owner, registered=True)
    ).first()


def own_sensors(owner: Manufacturer, after: tuple[str, str], limit: int) -> Sequence[Sensor]:
    """The next sensors of a manufacturer behind a country and label, in that order."""
    country, label = after
    behind = Q(country__gt=country) | Q(country=country, label__gt=label)
    sensors = Sensor.objects.filter(behind, manufacturer=owner, registered=True)
    return list(_with_suppliers(sensors).order_by("country", "label")[:limit])


def supplier_labels(sensor: Sensor) -> list[str]:
    """The suppliers of a sensor, the preferred one first."""
    return [choice.supplier.label for choice in _choices().filter(sensor=sensor)]


def current_publication(country: str, label: str) -> Publication | None:
    """The list of a sensor that is served."""
    return Publication.objects.filter(
        sensor__country=country, sensor__label=label, state=PublicationState.CURRENT
    ).first()


def newest_publications(sensors: Sequence[Sensor]) -> dict[int, list[Publication]]:
    """The pending and current lists of each sensor by its key, the newest first, without the documents."""
    found: dict[int, list[Publication]] = {sensor.pk: [] for sensor in sensors}
    states = (PublicationState.PENDING, PublicationState.CURRENT)
    publications = Publication.objects.filter(sensor__in=found, state__in=states)
    for publication in publications.defer("document").order_by("-sequence"):
        found[publication.sensor_id].append(publication)
    return found


def for_publication(sensors: Sequence[int]) -> QuerySet[Sensor]:
    """Sensors by their keys, with all that their lists say; inside a transaction they are locked."""
    return (
        Sensor.objects.filter(pk__in=sensors)
        .select_for_update(of=("self",))
        .select_related("manufacturer")
        .prefetch_related(Prefetch("choices", _choices()))
    )


def _with_suppliers(sensors: QuerySet[Sensor]) -> QuerySet[Sensor]:
    return sensors.defer("certificate").prefetch_related(Prefetch("choices", _choices()))


def _choices() -> QuerySet[SensorSupplier]:
    return SensorSupplier.objects.select_related("supplier").order_by("position")
