"""The https addresses that the trust infrastructure follows: of a named host, so that a TLSA record can speak
for it, and with nothing that two readers could take differently.
"""

import re
from dataclasses import dataclass

import dns.name

from lightest_agents.errors import LightestError, NameRefusedError
from lightest_agents.trust import names

MAX_LENGTH = 1024

# RFC 3986 in its normal form: no user, no fragment, no port 0.
_CHARACTER = r"(?:[A-Za-z0-9._~!$&'()*+,;=:@/-]|%[0-9A-F]{2})"
_URL = re.compile(
    r"https://(?P<host>[a-z0-9.-]{1,253})(?::(?P<port>[1-9][0-9]{0,4}))?"
    rf"(?P<path>/{_CHARACTER}*)?(?P<query>\?(?:{_CHARACTER}|\?)*)?"
)


class UrlRefusedError(LightestError):
    """An address is not one that may be followed."""

    reason = "url-refused"


@dataclass(frozen=True, slots=True)
class HttpsUrl:
    """An https address, taken apart.

    Attributes:
        text: as it was given.
        name: the host, as an absolute DNS name.
        port: of the server, 443 if the address has none.
        target: path and query, `/lists/germany/sensor1`.
    """

    text: str
    name: dns.name.Name
    port: int
    target: str

    @property
    def host(self) -> str:
        """The host without the final dot."""
        return self.name.to_text(omit_final_dot=True)


def parse_https_url(text: str) -> HttpsUrl:
    """The parts of an https address of a named host.

    Raises:
        UrlRefusedError: it has another scheme, a user, a fragment, an IP address for a host, a name that is
            not made of lower-case letter-digit-hyphen labels, no legal port, a character outside RFC 3986 or
            a dot segment, or is longer than 1024 characters.
    """
    match = _URL.fullmatch(text) if len(text) <= MAX_LENGTH else None
    if match is None:
        raise UrlRefusedError(f"{text[:100]!r} is not of the form https://<name>[:<port>]/<path>")
    try:
        name = names.trust_domain(match["host"])
    except NameRefusedError as error:
        raise UrlRefusedError(f"{text[:100]!r}: {error}") from error
    port = int(match["port"] or 443)
    path = match["path"] or "/"
    if port > 65535 or match["host"].rpartition(".")[2].isdecimal():
        raise UrlRefusedError(f"{text[:100]!r} has no legal port, or an IP address for a host")
    if {".", ".."} & set(path.split("/")):
        raise UrlRefusedError(f"{text[:100]!r} has dot segments in its path")
    return HttpsUrl(text, name, port, path + (match["query"] or ""))
