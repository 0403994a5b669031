"""What the TSPA refuses or cannot do."""

from lightest_agents.errors import LightestError


class RegistryError(LightestError):
    """The operator's registry cannot be used as it is; nothing of it was taken over.

    Attributes:
        problems: one sentence each.
    """

    reason = "registry-invalid"

    def __init__(self, *problems: str) -> None:
        """Carry all `problems` at once."""
        super().__init__("\n".join(problems))
        self.problems = problems


class ForbiddenError(LightestError):
    """The sensor is another manufacturer's, or there is none of that name: the answer is the same."""

    reason = "forbidden"


class CertificateRefusedError(LightestError):
    """The certificate is not one of this sensor's, or not one that verifiers can use."""

    reason = "certificate-refused"


class UnknownNameError(LightestError):
    """The registry has no manufacturer, supplier or sensor of that name."""

    reason = "name-unknown"


class NothingToPublishError(LightestError):
    """The sensor has no certificate yet, so there is no list to publish."""

    reason = "certificate-missing"


class DnsUpdateFailedError(LightestError):
    """The change is stored, but the scheme zone does not have it yet; it is tried again every minute."""

    reason = "dns-update-failed"


class InstallationError(LightestError):
    """The TSPA's own files, its keys or its database, are not as they have to be."""

    reason = "tspa-unusable"


class ApiError(LightestError):
    """A TSPA refused a request or did not answer as one."""

    reason = "tspa-request-failed"
