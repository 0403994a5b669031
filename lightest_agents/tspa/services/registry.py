"""Bringing the database in line with the operator's registry, which Ansible makes from the inventory.

The registry says which manufacturers, suppliers, scheme zones and sensors there are. It sets a sensor's
suppliers until its manufacturer has chosen them; certificates and withdrawals are never its business. A
sensor that is no longer in it counts as withdrawn, and its records leave the scheme zone; when it comes back,
so do they.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from itertools import groupby, islice
from operator import itemgetter
from typing import TypeVar

from django.db import transaction
from django.db.models import QuerySet

from lightest_agents.tspa import selectors
from lightest_agents.tspa.models import (
    AuditEntry,
    Manufacturer,
    SchemeZone,
    Sensor,
    SensorSupplier,
    Supplier,
)
from lightest_agents.tspa.registry_file import (
    ManufacturerEntry,
    Registry,
    SensorEntry,
    SupplierEntry,
    ZoneEntry,
)
from lightest_agents.tspa.services import audit
from lightest_agents.tspa.services.publishing import mark_outdated

T = TypeVar("T")

_BATCH = 500


@dataclass(frozen=True, slots=True)
class Difference:
    """How many entries of one kind were not as the registry says."""

    added: int = 0
    changed: int = 0
    removed: int = 0


@dataclass(frozen=True, slots=True)
class Changes:
    """What the registry changed."""

    manufacturers: Difference
    suppliers: Difference
    zones: Difference
    sensors: Difference

    @property
    def changed(self) -> bool:
        """Whether it changed anything at all."""
        return any(numbers != Difference() for numbers in self.counts().values())

    def counts(self) -> dict[str, Difference]:
        """By kind."""
        return {
            "manufacturers": self.manufacturers,
            "suppliers": self.suppliers,
            "zones": self.zones,
            "sensors": self.sensors,
        }

    def to_json(self) -> dict[str, object]:
        """As the command prints it."""
        return {"changed": self.changed, **asdict(self)}


def sync_registry(registry: Registry, now: datetime) -> Changes:
    """Take over a registry, all or nothing; lists that no longer say the truth are marked outdated.

    Args:
        registry: consistent in itself, as `read_registry` returns it.
        now: an aware time.
    """
    with transaction.atomic():
        changes = Changes(
            manufacturers=_sync_manufacturers(registry["manufacturers"]),
            suppliers=_sync_suppliers(registry["suppliers"]),
            zones=_sync_zones(registry["zones"]),
            sensors=_sync_sensors(registry["sensors"], now),
        )
        if changes.changed:
            audit.record(audit.OPERATOR, "sync", "registry", reason=str(changes.to_json()))
    return changes


def _sync_manufacturers(entries: Sequence[ManufacturerEntry]) -> Difference:
    known = {manufacturer.label: manufacturer for manufacturer in Manufacturer.objects.all()}
    added = changed = 0
    for entry in entries:
        manufacturer = known.pop(entry["label"], None)
        if manufacturer is None:
            Manufacturer.objects.create(label=entry["label"], title=entry["title"])
            added += 1
        elif (manufacturer.title, manufacturer.registered) != (entry["title"], True):
            manufacturer.title, manufacturer.registered = entry["title"], True
            manufacturer.save(update_fields=["title", "registered"])
            mark_outdated(Sensor.objects.filter(manufacturer=manufacturer))
            changed += 1
    # They are not deleted: their sensors' last lists name them.
    removed = Manufacturer.objects.filter(
        pk__in=[manufacturer.pk for manufacturer in known.values()], registered=True
    ).update(registered=False)
    return Difference(added, changed, removed)


def _sync_suppliers(entries: Sequence[SupplierEntry]) -> Difference:
    known = {supplier.label: supplier for supplier in Supplier.objects.all()}
    added = changed = 0
    for entry in entries:
        supplier = known.pop(entry["label"], None)
        if supplier is None:
            Supplier.objects.create(**entry)
            added += 1
            continue
        said = {"title": supplier.title, "url": supplier.url, "address": supplier.address}
        wanted = {key: entry[key] for key in ("title", "url", "address")}
        if said != wanted:
            Supplier.objects.filter(pk=supplier.pk).update(**wanted)
            mark_outdated(Sensor.objects.filter(choices__supplier=supplier))
            changed += 1
    for supplier in known.values():
        mark_outdated(Sensor.objects.filter(choices__supplier=supplier))
        supplier.delete()
    return Difference(added, changed, len(known))


def _sync_zones(entries: Sequence[ZoneEntry]) -> Difference:
    known = {zone.country: zone for zone in SchemeZone.objects.all()}
    added = changed = 0
    for entry in entries:
        zone = known.pop(entry["country"], None)
        wanted = {key: entry[key] for key in ("server", "port", "key_file")}
        if zone is None:
            SchemeZone.objects.create(country=entry["country"], **wanted)
            added += 1
        elif {key: getattr(zone, key) for key in wanted} != wanted:
            SchemeZone.objects.filter(pk=zone.pk).update(**wanted)
            mark_outdated(Sensor.objects.filter(country=zone.country))
            changed += 1
    SchemeZone.objects.filter(pk__in=[zone.pk for zone in known.values()]).delete()
    return Difference(added, changed, len(known))


def _sync_sensors(entries: Sequence[SensorEntry], now: datetime) -> Difference:
    manufacturers = dict(Manufacturer.objects.values_list("label", "pk"))
    suppliers = dict(Supplier.objects.values_list("label", "pk"))
    wanted = {(entry["country"], entry["label"]): entry for entry in entries}
    survey = _Survey(wanted, manufacturers, suppliers)
    for claims, value in ((survey.gone, False), (survey.back, True)):
        for batch in _batches(claims):
            sensors = Sensor.objects.filter(pk__in=batch)
            sensors.update(registered=value, since=now)
            mark_outdated(sensors)
            _record_presence(sensors, now, present=value)
    for owner, moved in survey.moved.items():
        for batch in _batches(moved):
            Sensor.objects.filter(pk__in=batch).update(manufacturer_id=owner, suppliers_chosen=False)
            mark_outdated(Sensor.objects.filter(pk__in=batch))
    reordered = survey.reordered()
    for batch in _batches(reordered):
        SensorSupplier.objects.filter(sensor__in=batch).delete()
        _choose({key: reordered[key] for key in batch})
        mark_outdated(Sensor.objects.filter(pk__in=batch))
    for new in _batches(survey.new):
        created = Sensor.objects.bulk_create(
            Sensor(
                country=entry["country"],
                label=entry["label"],
                manufacturer_id=manufacturers[entry["manufacturer"]],
                since=now,
            )
            for entry in new
        )
        _choose(
            {
                sensor.pk: tuple(suppliers[label] for label in entry["suppliers"])
                for sensor, entry in zip(created, new, strict=True)
            }
        )
    changed = {*survey.back, *reordered, *(pk for moved in survey.moved.values() for pk in moved)}
    return Difference(len(survey.new), len(changed), len(survey.gone))


class _Survey:
    """How the sensors that are known differ from those that are wanted; holds keys, not models.

    Attributes:
        new: the entries that no sensor has yet.
        gone: the keys of sensors that are no longer wanted.
        back: those that had gone and are wanted again.
        moved: those that got another manufacturer, by its key.
    """

    def __init__(
        self,
        wanted: dict[tuple[str, str], SensorEntry],
        manufacturers: Mapping[str, int],
        suppliers: Mapping[str, int],
    ) -> None:
        self.gone: list[int] = []
        self.back: list[int] = []
        self.moved: dict[int, list[int]] = {}
        self._orders: dict[int, tuple[int, ...]] = {}
        orders: dict[tuple[str, ...], tuple[int, ...]] = {}
        columns = ("pk", "country", "label", "manufacturer_id", "registered", "suppliers_chosen")
        for pk, country, label, owner, registered, chosen in Sensor.objects.values_list(*columns).iterator():
            entry = wanted.pop((country, label), None)
            if entry is None:
                if registered:
                    self.gone.append(pk)
                continue
            if not registered:
                self.back.append(pk)
            moved = owner != manufacturers[entry["manufacturer"]]
            if moved:
                self.moved.setdefault(manufacturers[entry["manufacturer"]], []).append(pk)
            if moved or not chosen:
                labels = tuple(entry["suppliers"])
                self._orders[pk] = orders.setdefault(labels, tuple(suppliers[label] for label in labels))
        self.new = list(wanted.values())

    def reordered(self) -> dict[int, tuple[int, ...]]:
        """The suppliers of each sensor that has others and whose manufacturer has not chosen."""
        rows = SensorSupplier.objects.order_by("sensor_id", "position").values_list(
            "sensor_id", "supplier_id"
        )
        differing = {pk: order for pk, order in self._orders.items() if order}
        for sensor, choices in groupby(rows.iterator(), itemgetter(0)):
            order = self._orders.get(sensor)
            if order == tuple(supplier for _, supplier in choices):
                del differing[sensor]
            elif order is not None:
                differing[sensor] = order
        return differing


def _choose(orders: Mapping[int, tuple[int, ...]]) -> None:
    SensorSupplier.objects.bulk_create(
        SensorSupplier(sensor_id=sensor, supplier_id=supplier, position=position)
        for sensor, suppliers in orders.items()
        for position, supplier in enumerate(suppliers)
    )


def _record_presence(sensors: QuerySet[Sensor], now: datetime, *, present: bool) -> None:
    AuditEntry.objects.bulk_create(
        AuditEntry(
            when=now,
            actor=audit.OPERATOR,
            action="add" if present else "remove",
            target=selectors.claim(sensor),
            outcome="done",
        )
        for sensor in sensors.defer("certificate")
    )


def _batches(items: Iterable[T]) -> Iterator[list[T]]:
    iterator = iter(items)
    while batch := list(islice(iterator, _BATCH)):
        yield batch
