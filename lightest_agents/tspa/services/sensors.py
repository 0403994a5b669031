"""What a manufacturer changes, and the operator for a supplier.

Every function stores the change, its audit entry and the mark that the list is outdated in one transaction. A
manufacturer's change is published at once. Whatever stops the publication, a failing DNS or the end of the
process, `publishing.heal` finishes it.
"""

from collections.abc import Sequence

from django.db import transaction
from django.utils import timezone

from lightest_agents.tspa import selectors
from lightest_agents.tspa.certificates import read_sensor_certificate
from lightest_agents.tspa.errors import ForbiddenError, UnknownNameError
from lightest_agents.tspa.models import Sensor, SensorStatus, SensorSupplier, Supplier
from lightest_agents.tspa.services import audit, publishing
from lightest_agents.tspa.services.audit import Caller


def own_sensor(caller: Caller, action: str, claim: str) -> Sensor:
    """The caller's sensor of that claim; asking for any other leaves nothing but an audit entry.

    Raises:
        ForbiddenError: the sensor is not the caller's, or there is none.
    """
    sensor = selectors.own_sensor(caller.manufacturer, claim)
    if sensor is None:
        audit.record(
            caller.actor, action, claim, refused=True, reason=ForbiddenError.reason, source=caller.source
        )
        raise ForbiddenError(f"{claim[:255]} is not a sensor of {caller.manufacturer.label}")
    return sensor


def register_certificate(caller: Caller, claim: str, pem: bytes) -> bool:
    """Take over a sensor's certificate; whether it is another one than before.

    Args:
        caller: the sensor's manufacturer.
        claim: the sensor, without the final dot.
        pem: one certificate, see `read_sensor_certificate`.

    Raises:
        ForbiddenError: the sensor is not the caller's.
        CertificateRefusedError: the certificate is not usable for this sensor.
        DnsUpdateFailedError: it is stored but not yet published.
    """
    found = own_sensor(caller, "certificate", claim)
    certificate = read_sensor_certificate(pem, claim, timezone.now())
    with transaction.atomic():
        sensor = _locked(found)
        changed = sensor.fingerprint != certificate.fingerprint
        if changed:
            if not sensor.fingerprint:
                sensor.since = timezone.now()
            sensor.certificate = certificate.der
            sensor.fingerprint = certificate.fingerprint
            sensor.outdated = True
            sensor.save(update_fields=["certificate", "fingerprint", "since", "outdated"])
            _record(caller, "certificate", claim, certificate.fingerprint)
    publishing.publish_changes(sensor)
    return changed


def set_suppliers(caller: Caller, claim: str, labels: Sequence[str]) -> bool:
    """Set a sensor's suppliers, the preferred one first; whether they are others than before.

    From now on the operator's inventory does not change them.

    Raises:
        ForbiddenError: the sensor is not the caller's.
        UnknownNameError: a supplier is not in the operator's registry.
        DnsUpdateFailedError: they are stored but not yet published.
    """
    found = own_sensor(caller, "suppliers", claim)
    with transaction.atomic():
        sensor = _locked(found)
        suppliers = {supplier.label: supplier for supplier in Supplier.objects.filter(label__in=labels)}
        if missing := [label for label in labels if label not in suppliers]:
            raise UnknownNameError(f"{', '.join(missing)}: no such supplier is registered")
        changed = selectors.supplier_labels(sensor) != list(labels)
        if changed:
            sensor.choices.all().delete()
            SensorSupplier.objects.bulk_create(
                SensorSupplier(sensor=sensor, supplier=suppliers[label], position=position)
                for position, label in enumerate(labels)
            )
            _record(caller, "suppliers", claim, ", ".join(labels))
        sensor.suppliers_chosen = True
        sensor.outdated = sensor.outdated or (changed and sensor.certificate is not None)
        sensor.save(update_fields=["suppliers_chosen", "outdated"])
    publishing.publish_changes(sensor)
    return changed


def withdraw(caller: Caller, claim: str, reason: str) -> bool:
    """Say in a sensor's list that it is not to be believed; whether that is new.

    Raises:
        ForbiddenError: the sensor is not the caller's.
        DnsUpdateFailedError: it is stored but not yet published.
    """
    return _set_status(caller, "withdraw", claim, SensorStatus.WITHDRAWN, reason)


def restore(caller: Caller, claim: str, reason: str) -> bool:
    """Undo `withdraw`; whether that changes anything.

    Raises:
        ForbiddenError: the sensor is not the caller's.
        DnsUpdateFailedError: it is stored but not yet published.
    """
    return _set_status(caller, "restore", claim, SensorStatus.GRANTED, reason)


def set_availability(label: str, *, available: bool) -> bool:
    """Say in every list that names a supplier whether it can be sent alarms; whether that is new.

    The lists are outdated then; `publishing.publish_outdated` renews them.

    Raises:
        UnknownNameError: there is no such supplier.
    """
    with transaction.atomic():
        supplier = Supplier.objects.select_for_update().filter(label=label).first()
        if supplier is None:
            raise UnknownNameError(f"no supplier {label} is registered")
        changed = supplier.available != available
        if changed:
            supplier.available = available
            supplier.save(update_fields=["available"])
            publishing.mark_outdated(Sensor.objects.filter(choices__supplier=supplier))
            audit.record(audit.OPERATOR, "available" if available else "away", label)
    return changed


def _set_status(caller: Caller, action: str, claim: str, status: SensorStatus, reason: str) -> bool:
    found = own_sensor(caller, action, claim)
    with transaction.atomic():
        sensor = _locked(found)
        changed = sensor.status != status
        if changed:
            sensor.status = status
            sensor.since = timezone.now()
            sensor.outdated = sensor.certificate is not None
            sensor.save(update_fields=["status", "since", "outdated"])
            _record(caller, action, claim, reason)
    publishing.publish_changes(sensor)
    return changed


def _locked(sensor: Sensor) -> Sensor:
    return Sensor.objects.select_for_update().get(pk=sensor.pk)


def _record(caller: Caller, action: str, claim: str, reason: str) -> None:
    audit.record(caller.actor, action, claim, reason=reason, source=caller.source)
