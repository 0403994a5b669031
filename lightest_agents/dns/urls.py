"""Which URLs are asked for at all."""

import re
from dataclasses import dataclass

import dns.exception
import dns.name

from lightest_agents.dns.errors import HttpError, HttpFailure

_MAX_URL = 2048
_URL = re.compile(
    r"https://(?P<host>[A-Za-z0-9.-]+)(?::(?P<port>[1-9][0-9]{0,4}))?"
    r"(?P<target>(?:[/?](?:[A-Za-z0-9._~!$&'()*+,;=:@/?-]|%[0-9A-Fa-f]{2})*)?)"
)
_LABEL = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
_NUMBER = re.compile(r"[0-9]+|0[xX][0-9A-Fa-f]*")


@dataclass(frozen=True, slots=True)
class HttpsUrl:
    """A URL whose server is known by a DNS name.

    Attributes:
        text: the URL as it was given.
        host: the DNS name in lower case, without the final dot.
        port: of the server, 443 if the URL has none.
    """

    text: str
    host: str
    port: int

    @property
    def name(self) -> dns.name.Name:
        """The host as an absolute DNS name."""
        return dns.name.from_text(self.host)

    def tlsa_name(self, base: dns.name.Name) -> dns.name.Name:
        """Where the TLSA records of this port of `base` are (RFC 6698, section 3)."""
        return dns.name.Name((b"_%d" % self.port, b"_tcp", *base.labels))


def check_url(text: str) -> HttpsUrl:
    """Take a URL apart if a DANE client can ask for it.

    It is https, names its server by letters, digits and hyphens (RFC 1123, section 2.1), has no user, no
    fragment, and only characters that RFC 3986 lets stand in a path or query.

    Raises:
        HttpError: it is anything else (`URL_REFUSED`).
    """
    found = _URL.fullmatch(text) if len(text) <= _MAX_URL else None
    if found is None:
        raise HttpError(
            HttpFailure.URL_REFUSED,
            f"{text[:200]!r} is not an https URL with a host name, at most {_MAX_URL} characters long, "
            "without user and fragment",
        )
    host, port = found["host"].lower(), int(found["port"] or 443)
    labels = host.split(".")
    if port > 65535 or not all(map(_LABEL.fullmatch, labels)) or _NUMBER.fullmatch(labels[-1]):
        raise HttpError(HttpFailure.URL_REFUSED, f"{text[:200]!r} does not name its server by a DNS name")
    url = HttpsUrl(text, host, port)
    try:
        url.tlsa_name(url.name)
    except dns.exception.DNSException as error:
        raise HttpError(
            HttpFailure.URL_REFUSED, f"{host[:60]}… is too long for a server with TLSA records"
        ) from error
    return url
