"""Names of the trust infrastructure, as `dns.name.Name` values.

The names are those that LIGHTest and TRAIN resolvers query; see docs/names-and-formats.md.
"""

import re
from dataclasses import dataclass

import dns.exception
import dns.name

from lightest_agents.errors import NameRefusedError

SCHEME_LABEL = "trust"
"""The label of a country's scheme zone; no sensor may have it."""

_POINTER_PREFIX = dns.name.Name((b"_scheme", b"_trust"))
_VERDICT_PREFIX = dns.name.Name((b"_verdict", b"_trust"))
_MAX_TEXT = 253  # 255 octets less the length of the first label and that of the root
_LDH_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")


def check_label(text: str) -> str:
    """Return `text` if it is one lower-case letter-digit-hyphen label (RFC 1123, section 2.1), 1 to 63 long.

    Raises:
        NameRefusedError: it is empty, too long, has a dot or any other character, or hyphens at an end.
    """
    if _LDH_LABEL.fullmatch(text) is None:
        raise NameRefusedError(
            f"{text!r} is not a DNS label: use 1 to 63 of a-z, 0-9 and '-', with no '-' at either end"
        )
    return text


def child(label: str, parent: dns.name.Name) -> dns.name.Name:
    """The name made of one checked label under an absolute `parent`.

    Raises:
        NameRefusedError: the label is illegal, or the name would exceed 255 octets (RFC 1035, section 2.3.4).
    """
    try:
        return dns.name.Name((check_label(label).encode("ascii"), *parent.labels))
    except dns.exception.DNSException as error:
        raise NameRefusedError(f"{label!r} under {parent} is too long for a DNS name") from error


def check_domain(text: str) -> str:
    """Return `text` if it is a name of such labels, without the final dot.

    Raises:
        NameRefusedError: a label is illegal, or the name exceeds 255 octets (RFC 1035, section 2.3.4).
    """
    for label in text.split("."):
        check_label(label)
    if len(text) > _MAX_TEXT:
        raise NameRefusedError(f"{text[:60]}… is too long for a DNS name")
    return text


def trust_domain(text: str) -> dns.name.Name:
    """The absolute name of a private trust domain such as `raspidemo`, given without the final dot.

    Raises:
        NameRefusedError: a label is illegal, or the name is too long.
    """
    check_domain(text)
    return dns.name.Name((*text.encode("ascii").split(b"."), b""))


@dataclass(frozen=True, slots=True)
class CountryNames:
    """The zones of one country."""

    country: dns.name.Name
    """The country zone, `germany.raspidemo.`"""
    scheme: dns.name.Name
    """The scheme zone, `trust.germany.raspidemo.`"""

    @classmethod
    def under(cls, domain: dns.name.Name, label: str) -> "CountryNames":
        """The zones of the country called `label` in a trust domain."""
        country = child(label, domain)
        return cls(country, child(SCHEME_LABEL, country))

    def claim(self, sensor: str) -> dns.name.Name:
        """`sensor1.germany.raspidemo.`"""
        return child(sensor, self.country)

    def trust_scheme(self, sensor: str) -> dns.name.Name:
        """`sensor1.trust.germany.raspidemo.`"""
        return child(sensor, self.scheme)


def pointer(name: dns.name.Name) -> dns.name.Name:
    """The owner name of a claim's or scheme's trust records: `_scheme._trust.` before `name`.

    Raises:
        NameRefusedError: the result would exceed 255 octets.
    """
    return _prefixed(_POINTER_PREFIX, name)


def verdict_signer(verifier: dns.name.Name) -> dns.name.Name:
    """The owner name of the SMIMEA records of a verifier's alarm signer: `_verdict._trust.` before its name.

    Raises:
        NameRefusedError: the result would exceed 255 octets.
    """
    return _prefixed(_VERDICT_PREFIX, verifier)


def _prefixed(prefix: dns.name.Name, name: dns.name.Name) -> dns.name.Name:
    try:
        return prefix.concatenate(name)
    except dns.exception.DNSException as error:
        raise NameRefusedError(f"{name} is too long to carry {prefix} records") from error
