"""What cannot go on in DNS and DANE work."""

from enum import StrEnum

from lightest_agents.errors import LightestError


class ResolverRefusedError(LightestError):
    """The settings name a resolver that is not on this host."""

    reason = "resolver-refused"


class UpdateError(LightestError):
    """A dynamic update was refused as a whole, or nobody confirmed it.

    Attributes:
        rcode: what the server answered, such as `NOTAUTH`; empty when no valid answer came, in which case the
            update may have been applied all the same.
    """

    reason = "dns-update-failed"

    def __init__(self, message: str, rcode: str = "") -> None:
        """`message` says what happened and what to do."""
        super().__init__(message)
        self.rcode = rcode


class UpdateKeyError(LightestError):
    """A TSIG key file cannot be used."""

    reason = "dns-update-key"


class HttpFailure(StrEnum):
    """Why a DANE-checked request came to nothing."""

    URL_REFUSED = "url-refused"
    """The URL is not one this client asks; nothing was sent."""
    TLSA_MISSING = "tlsa-missing"
    """It is proved that the server has no TLSA record that could be used; nothing was sent."""
    TLSA_INSECURE = "tlsa-insecure"
    """No chain of trust leads to the server's TLSA or address records; nothing was sent."""
    TLSA_BOGUS = "tlsa-bogus"
    """The signatures of the server's TLSA or address records do not hold; nothing was sent."""
    TLSA_UNAVAILABLE = "tlsa-unavailable"
    """The DNS gave no answer about the server's TLSA records; nothing was sent."""
    TLSA_MISMATCH = "tlsa-mismatch"
    """Somebody answered who is not the server its TLSA records describe; no byte of the request was sent."""
    ADDRESS_UNAVAILABLE = "address-unavailable"
    """The server has no address, or the DNS gave no answer about it; nothing was sent."""
    UNREACHABLE = "unreachable"
    """No connection could be made, or it broke."""
    TIMEOUT = "timeout"
    """The answer was not complete in time; the request may have arrived."""
    TOO_LARGE = "too-large"
    """The answer is larger than the caller allows."""
    REDIRECT = "redirect"
    """The server sends its clients elsewhere, which this client never follows."""
    PROTOCOL = "protocol"
    """What came is not TLS 1.2 or 1.3, or not HTTP/1.1."""


class HttpError(LightestError):
    """A DANE-checked request came to nothing.

    Attributes:
        kind: why; callers decide by it whether to try again.
    """

    reason = "http-failed"

    def __init__(self, kind: HttpFailure, detail: str) -> None:
        """`detail` is a sentence for people."""
        super().__init__(detail)
        self.kind = kind
