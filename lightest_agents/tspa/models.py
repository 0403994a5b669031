"""What the TSPA keeps.

Two parties write: the operator, whose inventory says which manufacturers, suppliers, scheme zones and sensors
there are, and each manufacturer, who gives a sensor its certificate, its suppliers and its status. The rules
are in `lightest_agents.tspa.services`.
"""

from django.db import models


class Manufacturer(models.Model):
    """A company that makes sensors and publishes their lists."""

    label = models.CharField(max_length=63, unique=True)
    title = models.CharField(max_length=200)
    registered = models.BooleanField(default=True, help_text="Whether the operator's inventory has it.")


class ApiToken(models.Model):
    """A manufacturer's key to the API, of which only the digest is kept."""

    manufacturer = models.ForeignKey(Manufacturer, on_delete=models.CASCADE, related_name="tokens")
    digest = models.CharField(max_length=64, unique=True, help_text="SHA-256 of the token, in hexadecimal.")
    created = models.DateTimeField()
    expires = models.DateTimeField(null=True)
    revoked = models.DateTimeField(null=True)


class Supplier(models.Model):
    """A company that repairs machines."""

    label = models.CharField(max_length=63, unique=True)
    title = models.CharField(max_length=200)
    url = models.CharField(max_length=1024, help_text="Where alarms are sent to, https.")
    address = models.CharField(max_length=500, blank=True)
    available = models.BooleanField(default=True)


class SchemeZone(models.Model):
    """The zone `trust.<country>.<trust domain>` and where it takes updates."""

    country = models.CharField(max_length=63, unique=True)
    server = models.GenericIPAddressField()
    port = models.PositiveIntegerField()
    key_file = models.CharField(max_length=4096, help_text="The TSIG key, in the syntax of named.conf.")


class SensorStatus(models.TextChoices):
    """What the manufacturer says of a sensor."""

    GRANTED = "granted"
    WITHDRAWN = "withdrawn"


class Sensor(models.Model):
    """A sensor, whose claim is `<label>.<country>.<trust domain>`."""

    country = models.CharField(max_length=63)
    label = models.CharField(max_length=63)
    manufacturer = models.ForeignKey(Manufacturer, on_delete=models.PROTECT, related_name="sensors")
    registered = models.BooleanField(
        default=True, help_text="Whether the operator's inventory has it; its list says withdrawn if not."
    )
    certificate = models.BinaryField(null=True, help_text="DER; none before it was enrolled.")
    fingerprint = models.CharField(max_length=64, blank=True, help_text="SHA-256, in hexadecimal.")
    status = models.CharField(max_length=9, choices=SensorStatus.choices, default=SensorStatus.GRANTED)
    since = models.DateTimeField(help_text="When the status in its list last changed.")
    suppliers_chosen = models.BooleanField(
        default=False, help_text="Whether the manufacturer chose; the inventory's order counts until then."
    )
    outdated = models.BooleanField(
        default=False, help_text="Whether something changed that its newest list does not say."
    )

    class Meta:
        """A claim is one sensor; what has to be published is found without a search."""

        constraints = (models.UniqueConstraint(fields=["country", "label"], name="sensor_claim"),)
        indexes = (
            models.Index(fields=["id"], condition=models.Q(outdated=True), name="sensor_outdated"),
            models.Index(fields=["manufacturer", "country", "label"], name="sensor_of_manufacturer"),
        )


class SensorSupplier(models.Model):
    """A supplier of a sensor, at its place in the order of preference."""

    sensor = models.ForeignKey(Sensor, on_delete=models.CASCADE, related_name="choices")
    supplier = models.ForeignKey(Supplier, on_delete=models.CASCADE, related_name="choices")
    position = models.PositiveSmallIntegerField()

    class Meta:
        """A supplier is listed once for each sensor."""

        constraints = (
            models.UniqueConstraint(fields=["sensor", "supplier"], name="sensor_supplier"),
            models.UniqueConstraint(fields=["sensor", "position"], name="sensor_position"),
        )


class PublicationState(models.TextChoices):
    """Pending lists are signed but not served; there is at most one pending and one current list a sensor."""

    PENDING = "pending"
    CURRENT = "current"
    SUPERSEDED = "superseded"


class Publication(models.Model):
    """One signed list of a sensor."""

    sensor = models.ForeignKey(Sensor, on_delete=models.CASCADE, related_name="publications")
    sequence = models.PositiveIntegerField(help_text="1 for the first list of a sensor, without gaps.")
    state = models.CharField(max_length=10, choices=PublicationState.choices)
    issued = models.DateTimeField()
    next_update = models.DateTimeField()
    renewal = models.DateTimeField(help_text="When it has to be renewed, long before next_update.")
    etag = models.CharField(max_length=64, help_text="SHA-256 of the document, in hexadecimal.")
    signer = models.CharField(max_length=64, help_text="SHA-256 of the list signer's certificate.")
    document = models.BinaryField(help_text="The signed list, as it is served.")

    class Meta:
        """The states are kept apart by the database, too."""

        constraints = (
            models.UniqueConstraint(fields=["sensor", "sequence"], name="publication_sequence"),
            models.UniqueConstraint(
                fields=["sensor"],
                condition=models.Q(state=PublicationState.PENDING),
                name="publication_pending",
            ),
            models.UniqueConstraint(
                fields=["sensor"],
                condition=models.Q(state=PublicationState.CURRENT),
                name="publication_current",
            ),
        )
        indexes = (
            models.Index(fields=["state", "renewal", "sensor"], name="publication_renewal"),
            models.Index(fields=["state", "signer", "sensor"], name="publication_signer"),
        )


class AuditEntry(models.Model):
    """Who did what, or tried to; entries are added and never changed."""

    when = models.DateTimeField()
    actor = models.CharField(max_length=100, help_text="`operator`, or `manufacturer:<label>`.")
    action = models.CharField(max_length=40)
    target = models.CharField(max_length=300, help_text="A claim, a supplier or a manufacturer.")
    outcome = models.CharField(max_length=20, help_text="`done`, or `refused`.")
    reason = models.CharField(max_length=500, blank=True)
    source = models.CharField(
        max_length=45, blank=True, help_text="The client's address, where there is one."
    )
