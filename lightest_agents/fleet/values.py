"""Checks of single values: labels and addresses."""

import re
from ipaddress import IPv4Address, IPv6Address, ip_address

import dns.name

from lightest_agents.errors import NameRefusedError
from lightest_agents.fleet.model import NAMESERVER_LABEL
from lightest_agents.fleet.problems import show
from lightest_agents.trust import names

_RESERVED_LABELS = {
    NAMESERVER_LABEL: "names the zone's own name server",
    names.SCHEME_LABEL: "names a country's scheme zone",
}

_WHAT_TO_USE = "use a-z, 0-9 and '-', with no '-' at either end"

# What the longest name, `_scheme._trust.<sensor>.trust.<country>.<trust domain>.`, leaves to the trust domain
# when both labels have 63 octets and the name 255 (RFC 1035, section 2.3.4). So no sensor's name is too long.
_DOMAIN_CHARACTERS = 255 - len("_scheme._trust.trust.") - 2 * 64 - 2


def own_label(text: str) -> str:
    """Return `text` if an operator may use it as a label of the trust domain.

    Raises:
        NameRefusedError: it is no plain label, would leave its zone, or is reserved.
    """
    if text in _RESERVED_LABELS:
        raise NameRefusedError(f"{show(text)} is reserved: it {_RESERVED_LABELS[text]}; choose another name")
    return plain_label(text)


def plain_label(text: str) -> str:
    """Return `text` if it is a label by `names.check_label`, else say which rule it breaks.

    Raises:
        NameRefusedError: the rule and what to do.
    """
    try:
        return names.check_label(text)
    except NameRefusedError as error:
        raise NameRefusedError(f"{show(text)} {_broken_rule(text)}") from error


def _broken_rule(text: str) -> str:
    if not text:
        return "is empty; give a name"
    if "{{" in text or "{%" in text:
        return "is a template; country files are plain data, so write the name itself"
    if "." in text:
        return "has a dot and would escape its zone; give one label only"
    if "@" in text:
        return "has an @, which stands for the zone itself; use a-z, 0-9 and '-'"
    if "*" in text:
        return "has a *, which would answer for every name; use a-z, 0-9 and '-'"
    if text.isascii() and text != text.lower():
        whole = re.fullmatch(r"[a-z0-9-]+", text.lower())
        return f"has upper-case letters; {f'write it as {show(text.lower())}' if whole else _WHAT_TO_USE}"
    if len(text) > 63:
        return f"is {len(text)} characters long; a DNS label has at most 63"
    return f"is not a DNS label; {_WHAT_TO_USE}"


def parse_domain(text: str) -> dns.name.Name:
    """The absolute name of the trust domain, given without its final dot.

    Raises:
        NameRefusedError: one of its labels breaks a rule, or it is too long.
    """
    for label in text.split("."):
        plain_label(label)
    if len(text) > _DOMAIN_CHARACTERS:
        raise NameRefusedError(
            f"is {len(text)} characters long; at most {_DOMAIN_CHARACTERS} leave room for the names under it"
        )
    return names.trust_domain(text)


def host_ipv4(text: str) -> IPv4Address:
    """The IPv4 address that `text` is, if a host can have it.

    Raises:
        ValueError: it is no address, or none by which one host can be reached; the message says which.
    """
    try:
        address = IPv4Address(text)
    except ValueError as error:
        raise ValueError(f"{show(text)} is not an IPv4 address") from error
    first = int(address) >> 24
    # The first octet settles almost every address; the slower properties are for the rest.
    if first in (0, 127, 169) or first >= 224:
        _refuse_unreachable(address)
    return address


def host_ipv6(text: str) -> IPv6Address:
    """The IPv6 address that `text` is, if a host can have it.

    Raises:
        ValueError: as `host_ipv4`; mapped IPv4 addresses and those with a scope are refused, too.
    """
    try:
        address = IPv6Address(text)
    except ValueError as error:
        raise ValueError(f"{show(text)} is not an IPv6 address") from error
    if address.scope_id is not None:
        raise ValueError(f"{show(text)} has a scope; give an address without '%'")
    if address.ipv4_mapped is not None:
        raise ValueError(f"{show(text)} is a mapped IPv4 address; give {address.ipv4_mapped} as IPv4")
    _refuse_unreachable(address)
    return address


def server_address(text: str) -> IPv4Address | IPv6Address:
    """The address of a server outside the cluster.

    Raises:
        ValueError: it is a host name or an address that no server has.
    """
    try:
        kind = ip_address(text)
    except ValueError as error:
        raise ValueError(f"{show(text)} is not an IP address; host names cannot be used here") from error
    return host_ipv4(text) if kind.version == 4 else host_ipv6(text)


def _refuse_unreachable(address: IPv4Address | IPv6Address) -> None:
    kinds = {
        "an unspecified": address.is_unspecified,
        "a loopback": address.is_loopback,
        "a multicast": address.is_multicast,
        "a link-local": address.is_link_local,
        "a reserved": address.version == 4 and (address.is_reserved or int(address) >> 24 == 0),
    }
    for kind, applies in kinds.items():
        if applies:
            raise ValueError(f"{address} is {kind} address; give one that other hosts can reach")
