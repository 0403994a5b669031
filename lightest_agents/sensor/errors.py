"""What can go wrong in a sensor's own house."""

from lightest_agents.errors import LightestError


class EnrolmentError(LightestError):
    """The sensor's key or certificate cannot be made or used."""

    reason = "enrolment-unusable"


class ThermometerError(LightestError):
    """There is no temperature to be had now."""

    reason = "thermometer-unusable"


class OutboxError(LightestError):
    """The outbox cannot be opened."""

    reason = "outbox-unusable"
