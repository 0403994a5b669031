"""The first shape of the database."""

# ruff: noqa: RUF012

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    """All tables."""

    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="AuditEntry",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True,
                        primary_key=True,
                        serialize=False,
                        verbose_name="ID",
                    ),
                ),
                ("when", models.DateTimeField()),
                (
                    "actor",
                    models.CharField(
                        help_text="`operator`, or `manufacturer:<label>`.",
                        max_length=100,
                    ),
                ),
                ("action", models.CharField(max_length=40)),
                (
                    "target",
                    models.CharField(
                        help_text="A claim, a supplier or a manufacturer.",
                        max_length=300,
                    ),
                ),
                (
                    "outcome",
                    models.CharField(help_text="`done`, or `refused`.", max_length=20),
                ),
                ("reason", models.CharField(blank=True, max_length=500)),
                (
                    "source",
                    models.CharField(
                        blank=True,
                        help_text="The client's address, where there is one.",
                        max_length=45,
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="Manufacturer",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True,
                        primary_key=True,
                        serialize=False,
                        verbose_name="ID",
                    ),
                ),
                ("label", models.CharField(max_length=63, unique=True)),
                ("title", models.CharField(max_length=200)),
                (
                    "registered",
                    models.BooleanField(
                        default=True,
                        help_text="Whether the operator's inventory has it.",
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="SchemeZone",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True,
                        primary_key=True,
                        serialize=False,
                        verbose_name="ID",
                    ),
                ),
                ("country", models.CharField(max_length=63, unique=True)),
                ("server", models.GenericIPAddressField()),
                ("port", models.PositiveIntegerField()),
                (
                    "key_file",
                    models.CharField(
                        help_text="The TSIG key, in the syntax of named.conf.",
                        max_length=4096,
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="Supplier",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True,
                        primary_key=True,
                        serialize=False,
                        verbose_name="ID",
                    ),
                ),
                ("label", models.CharField(max_length=63, unique=True)),
                ("title", models.CharField(max_length=200)),
                (
                    "url",
                    models.CharField(help_text="Where alarms are sent to, https.", max_length=1024),
                ),
                ("address", models.CharField(blank=True, max_length=500)),
                ("available", models.BooleanField(default=True)),
            ],
        ),
        migrations.CreateModel(
            name="ApiToken",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True,
                        primary_key=True,
                        serialize=False,
                        verbose_name="ID",
                    ),
                ),
                (
                    "digest",
                    models.CharField(
                        help_text="SHA-256 of the token, in hexadecimal.",
                        max_length=64,
                        unique=True,
                    ),
                ),
                ("created", models.DateTimeField()),
                ("expires", models.DateTimeField(null=True)),
                ("revoked", models.DateTimeField(null=True)),
                (
                    "manufacturer",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="tokens",
                        to="tspa.manufacturer",
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="Sensor",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True,
                        primary_key=True,
                        serialize=False,
                        verbose_name="ID",
                    ),
                ),
                ("country", models.CharField(max_length=63)),
                ("label", models.CharField(max_length=63)),
                (
                    "registered",
                    models.BooleanField(
                        default=True,
                        help_text="Whether the operator's inventory has it; its list says withdrawn if not.",
                    ),
                ),
                (
                    "certificate",
                    models.BinaryField(help_text="DER; none before it was enrolled.", null=True),
                ),
                (
                    "fingerprint",
                    models.CharField(blank=True, help_text="SHA-256, in hexadecimal.", max_length=64),
                ),
                (
                    "status",
                    models.CharField(
                        choices=[("granted", "Granted"), ("withdrawn", "Withdrawn")],
                        default="granted",
                        max_length=9,
                    ),
                ),
                (
                    "since",
                    models.DateTimeField(help_text="When the status in its list last changed."),
                ),
                (
                    "suppliers_chosen",
                    models.BooleanField(
                        default=False,
                        help_text="Whether the manufacturer chose; the inventory's order counts until then.",
                    ),
                ),
                (
                    "outdated",
                    models.BooleanField(
                        default=False,
                        help_text="Whether something changed that its newest list does not say.",
                    ),
                ),
                (
                    "manufacturer",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="sensors",
                        to="tspa.manufacturer",
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="Publication",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True,
                        primary_key=True,
                        serialize=False,
                        verbose_name="ID",
                    ),
                ),
                (
                    "sequence",
                    models.PositiveIntegerField(help_text="1 for the first list of a sensor, without gaps."),
                ),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("pending", "Pending"),
                            ("current", "Current"),
                            ("superseded", "Superseded"),
                        ],
                        max_length=10,
                    ),
                ),
                ("issued", models.DateTimeField()),
                ("next_update", models.DateTimeField()),
                (
                    "renewal",
                    models.DateTimeField(help_text="When it has to be renewed, long before next_update."),
                ),
                (
                    "etag",
                    models.CharField(
                        help_text="SHA-256 of the document, in hexadecimal.",
                        max_length=64,
                    ),
                ),
                (
                    "signer",
                    models.CharField(
                        help_text="SHA-256 of the list signer's certificate.",
                        max_length=64,
                    ),
                ),
                (
                    "document",
                    models.BinaryField(help_text="The signed list, as it is served."),
                ),
                (
                    "sensor",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="publications",
                        to="tspa.sensor",
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="SensorSupplier",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True,
                        primary_key=True,
                        serialize=False,
                        verbose_name="ID",
                    ),
                ),
                ("position", models.PositiveSmallIntegerField()),
                (
                    "sensor",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="choices",
                        to="tspa.sensor",
                    ),
                ),
                (
                    "supplier",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="choices",
                        to="tspa.supplier",
                    ),
                ),
            ],
        ),
        migrations.AddIndex(
            model_name="sensor",
            index=models.Index(
                condition=models.Q(("outdated", True)),
                fields=["id"],
                name="sensor_outdated",
            ),
        ),
        migrations.AddIndex(
            model_name="sensor",
            index=models.Index(
                fields=["manufacturer", "country", "label"],
                name="sensor_of_manufacturer",
            ),
        ),
        migrations.AddConstraint(
            model_name="sensor",
            constraint=models.UniqueConstraint(fields=("country", "label"), name="sensor_claim"),
        ),
        migrations.AddIndex(
            model_name="publication",
            index=models.Index(fields=["state", "renewal", "sensor"], name="publication_renewal"),
        ),
        migrations.AddIndex(
            model_name="publication",
            index=models.Index(fields=["state", "signer", "sensor"], name="publication_signer"),
        ),
        migrations.AddConstraint(
            model_name="publication",
            constraint=models.UniqueConstraint(fields=("sensor", "sequence"), name="publication_sequence"),
        ),
        migrations.AddConstraint(
            model_name="publication",
            constraint=models.UniqueConstraint(
                condition=models.Q(("state", "pending")),
                fields=("sensor",),
                name="publication_pending",
            ),
        ),
        migrations.AddConstraint(
            model_name="publication",
            constraint=models.UniqueConstraint(
                condition=models.Q(("state", "current")),
                fields=("sensor",),
                name="publication_current",
            ),
        ),
        migrations.AddConstraint(
            model_name="sensorsupplier",
            constraint=models.UniqueConstraint(fields=("sensor", "supplier"), name="sensor_supplier"),
        ),
        migrations.AddConstraint(
            model_name="sensorsupplier",
            constraint=models.UniqueConstraint(fields=("sensor", "position"), name="sensor_position"),
        ),
    ]
