"""Publishing: a list is signed and stored, the scheme zone brought in line, the list served; in this order.

A list is *pending* from its signature until the scheme zone is known to have its records, and *current* from
then on; only the current one is served. So a process may end anywhere:

- before the pending list is committed: nothing has happened, the sensor is still marked outdated;
- before or after the update of the zone: the old list is still served, `heal` repeats what is idempotent;
- after the pending list has become current: all is done.

A pending list that is resumed keeps its sequence number, so numbers have no gaps. In each scheme zone, one
publication runs at a time.
"""

import asyncio
import fcntl
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import IO

import dns.name
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from lightest_agents.trust import names
from lightest_agents.trust.trust_list import SensorService, ServiceStatus, TrustList
from lightest_agents.trust.trust_list import Supplier as ListedSupplier
from lightest_agents.tspa import selectors
from lightest_agents.tspa.errors import DnsUpdateFailedError, NothingToPublishError
from lightest_agents.tspa.models import Publication, PublicationState, SchemeZone, Sensor, SensorStatus
from lightest_agents.tspa.scheme_zone import SchemeRecords, SchemeServer, bring_in_line
from lightest_agents.tspa.signer import ListSigner

_BATCH = 100
_KEPT_SUPERSEDED = 3
_TURN_SECONDS = 10.0
_POLL_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class Report:
    """What a run has published.

    Attributes:
        published: how many lists became current.
        problems: for each scheme zone whose lists are still pending, a sentence.
    """

    published: int
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Staged:
    """A pending list and what the scheme zone has to hold for it; None means no records."""

    publication: int
    owner: dns.name.Name
    records: SchemeRecords | None


def mark_outdated(sensors: QuerySet[Sensor]) -> None:
    """Have the lists of these sensors renewed; those that have no certificate yet have no list."""
    sensors.filter(certificate__isnull=False).update(outdated=True)


def publish_changes(sensor: Sensor) -> None:
    """Publish a sensor's list if it is outdated or pending.

    Raises:
        DnsUpdateFailedError: the scheme zone could not be brought in line; the list is pending.
    """
    _publish_batch(sensor.country, [sensor.pk], renew=False)


def publish(claims: Sequence[str]) -> Report:
    """Publish new lists of these sensors, even if nothing has changed.

    Raises:
        UnknownNameError: there is no such sensor.
        NothingToPublishError: a sensor has no certificate yet.
    """
    sensors = [selectors.sensor(claim) for claim in claims]
    if bare := [selectors.claim(sensor) for sensor in sensors if not sensor.fingerprint]:
        raise NothingToPublishError(f"{', '.join(bare)}: there is no certificate yet; register one first")
    return _publish_sensors([Sensor.objects.filter(pk=sensor.pk) for sensor in sensors], renew=True)


def publish_all() -> Report:
    """Publish a new list of every registered sensor that has a certificate."""
    return _publish_sensors([Sensor.objects.filter(registered=True, certificate__isnull=False)], renew=True)


def publish_outdated() -> Report:
    """Publish all lists that are outdated."""
    return _publish_sensors([Sensor.objects.filter(outdated=True)], renew=False)


def heal() -> Report:
    """Finish what is pending, publish what is outdated, renew what has lived half its life."""
    signer = ListSigner.read(selectors.config().state)
    current = Q(registered=True, publications__state=PublicationState.CURRENT)
    another = Q(publications__signer__lt=signer.fingerprint) | Q(publications__signer__gt=signer.fingerprint)
    due = [
        Sensor.objects.filter(publications__state=PublicationState.PENDING),
        Sensor.objects.filter(outdated=True),
        Sensor.objects.filter(current & Q(publications__renewal__lte=timezone.now())),
        Sensor.objects.filter(current & another),
    ]
    return _publish_sensors(due, renew=False)


def _publish_sensors(due: Sequence[QuerySet[Sensor]], *, renew: bool) -> Report:
    """Publish in batches; a zone that fails is left alone for the rest of the run."""
    published = 0
    problems: dict[str, str] = {}
    for sensors in due:
        countries = set(sensors.order_by().values_list("country", flat=True).distinct())
        for country in sorted(countries - problems.keys()):
            last = 0
            while batch := list(
                sensors.filter(country=country, pk__gt=last)
                .order_by("pk")
                .values_list("pk", flat=True)[:_BATCH]
            ):
                last = batch[-1]
                try:
                    published += _publish_batch(country, batch, renew=renew)
                except DnsUpdateFailedError as error:
                    problems[country] = str(error)
                    break
    return Report(published, tuple(problems.values()))


def _publish_batch(country: str, sensors: Sequence[int], *, renew: bool) -> int:
    """Publish what is due of some sensors of one country; how many lists became current."""
    with _turn(country):
        signer = ListSigner.read(selectors.config().state)
        staged = _stage(sensors, signer, _now(), renew=renew)
        if staged:
            _bring_in_line(country, {item.owner: item.records for item in staged})
            _promote([item.publication for item in staged])
    return len(staged)


def _stage(sensors: Sequence[int], signer: ListSigner, now: datetime, *, renew: bool) -> list[_Staged]:
    """Sign and store the lists that are due, as pending ones."""
    staged = []
    with transaction.atomic():
        rows = list(selectors.for_publication(sensors))
        newest = selectors.newest_publications(rows)
        for sensor in rows:
            if sensor.certificate is None:
                continue
            existing = newest[sensor.pk]
            pending = next((item for item in existing if item.state == PublicationState.PENDING), None)
            if sensor.outdated or _is_stale(pending, signer, now):
                pending = _store(sensor, existing, signer, now)
            elif pending is None:
                if not renew and not (sensor.registered and _is_stale(existing[0], signer, now)):
                    continue
                pending = _store(sensor, existing, signer, now)
            staged.append(_Staged(pending.pk, _owner(sensor), _records(sensor, signer)))
        Sensor.objects.filter(pk__in=sensors, outdated=True).update(outdated=False)
    return staged


def _is_stale(publication: Publication | None, signer: ListSigner, now: datetime) -> bool:
    """Whether a list is to be signed anew."""
    return publication is not None and (
        publication.renewal <= now or publication.signer != signer.fingerprint
    )


def _store(sensor: Sensor, existing: Sequence[Publication], signer: ListSigner, now: datetime) -> Publication:
    """A pending list with the next number, or with that of the pending one, which it replaces."""
    newest = existing[0] if existing else None
    pending = newest if newest is not None and newest.state == PublicationState.PENDING else None
    sequence = (newest.sequence if newest else 0) + (0 if pending else 1)
    life = timedelta(hours=selectors.config().list_hours)
    document = signer.sign(_trust_list(sensor, sequence, now, now + life))
    publication = Publication(
        pk=pending.pk if pending else None,
        sensor=sensor,
        sequence=sequence,
        state=PublicationState.PENDING,
        issued=now,
        next_update=now + life,
        renewal=now + life / 2,
        document=document,
        etag=sha256(document).hexdigest(),
        signer=signer.fingerprint,
    )
    publication.save()
    return publication


def _trust_list(sensor: Sensor, sequence: int, issued: datetime, next_update: datetime) -> TrustList:
    config = selectors.config()
    granted = sensor.registered and sensor.status == SensorStatus.GRANTED
    return TrustList(
        sequence=sequence,
        issued=issued,
        next_update=next_update,
        operator=config.operator,
        territory=config.territory,
        information=f"https://{config.authority}/",
        manufacturer=sensor.manufacturer.title,
        manufacturer_label=sensor.manufacturer.label,
        service=SensorService(
            claim=_names(sensor).claim(sensor.label),
            certificate=bytes(sensor.certificate or b""),
            status=ServiceStatus.GRANTED if granted else ServiceStatus.WITHDRAWN,
            since=sensor.since.astimezone(UTC).replace(microsecond=0),
        ),
        suppliers=tuple(
            ListedSupplier(
                name=choice.supplier.label,
                title=choice.supplier.title,
                url=choice.supplier.url,
                address=choice.supplier.address,
                available=choice.supplier.available,
            )
            for choice in sensor.choices.all()
        ),
    )


def _names(sensor: Sensor) -> names.CountryNames:
    return names.CountryNames.under(selectors.config().trust_domain, sensor.country)


def _owner(sensor: Sensor) -> dns.name.Name:
    return names.pointer(_names(sensor).trust_scheme(sensor.label))


def _records(sensor: Sensor, signer: ListSigner) -> SchemeRecords | None:
    if not sensor.registered:
        return None
    return SchemeRecords(selectors.config().list_url(sensor.country, sensor.label), signer.fingerprint)


def _bring_in_line(country: str, wanted: dict[dns.name.Name, SchemeRecords | None]) -> None:
    zone = SchemeZone.objects.filter(country=country).first()
    if zone is None:
        if any(wanted.values()):
            raise DnsUpdateFailedError(f"the registry has no scheme zone for {country}")
        # A country that left the inventory took its zone along.
        return
    scheme = names.CountryNames.under(selectors.config().trust_domain, country).scheme
    server = SchemeServer(scheme, zone.server, zone.port, zone.key_file)
    asyncio.run(bring_in_line(server, wanted))


def _promote(publications: Sequence[int]) -> None:
    """Serve these lists instead of those before them."""
    with transaction.atomic():
        pending = list(Publication.objects.filter(pk__in=publications).defer("document"))
        Publication.objects.filter(
            sensor__in=[publication.sensor_id for publication in pending], state=PublicationState.CURRENT
        ).update(state=PublicationState.SUPERSEDED)
        Publication.objects.filter(pk__in=publications).update(state=PublicationState.CURRENT)
        for publication in pending:
            Publication.objects.filter(
                sensor=publication.sensor_id, sequence__lt=publication.sequence - _KEPT_SUPERSEDED
            ).delete()


@contextmanager
def _turn(country: str) -> Iterator[None]:
    """Wait for this country's turn; the kernel gives it back if the process ends.

    Who waits holds the place of the next one, so a run over many lists lets single changes in between.

    Raises:
        DnsUpdateFailedError: another publication takes too long.
    """
    state = selectors.config().state
    deadline = time.monotonic() + _TURN_SECONDS
    with (state / f"publish-{country}.lock").open("a") as turn:
        with (state / f"publish-{country}.next").open("a") as place:
            for file in (place, turn):
                while not _lock(file):
                    if time.monotonic() > deadline:
                        raise DnsUpdateFailedError(
                            f"another publication into the scheme zone of {country} has not ended yet"
                        )
                    time.sleep(_POLL_SECONDS)
        yield


def _lock(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _now() -> datetime:
    return timezone.now().replace(microsecond=0)
