"""Every error this project raises on purpose.

A `LightestError` carries a stable, documented reason code and a sentence that says what happened and what
to do. Anything else that escapes is a defect.
"""

from typing import ClassVar


class LightestError(Exception):
    """Base of all errors a caller may want to handle.

    Attributes:
        reason: the stable code that scripts and documents refer to, such as `claim-insecure`.
    """

    reason: ClassVar[str] = "internal"


class NameRefusedError(LightestError):
    """A text is not usable as a name in the trust domain."""

    reason = "name-refused"


class InventoryError(LightestError):
    """The inventory cannot be used as it is; the message has one line for each problem.

    Attributes:
        problems: one sentence each, `<file>: <key>: <what is wrong and what to do>`.
    """

    reason = "inventory-invalid"

    def __init__(self, *problems: str) -> None:
        """Carry all `problems` at once; a single message is fine, too."""
        super().__init__("\n".join(problems))
        self.problems = problems


class HostUnreachableError(LightestError):
    """A host of the cluster did not answer over SSH."""

    reason = "host-unreachable"
