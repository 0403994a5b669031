"""The TSPA as a Django application."""

from django.apps import AppConfig


class TspaAppConfig(AppConfig):
    """Models and services of the TSPA."""

    name = "lightest_agents.tspa"
    label = "tspa"
    default_auto_field = "django.db.models.BigAutoField"
