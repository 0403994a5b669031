#!/usr/bin/python3
# Apache License 2.0 (see LICENSE)
"""Ansible module: the DS of zones, from the keys that sign them."""

from __future__ import annotations

import subprocess
import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule, missing_required_lib

try:
    import dns.exception
    import dns.flags
    import dns.message
    import dns.name
    import dns.query
    import dns.rdatatype

    HAS_DNSPYTHON = True
except ImportError:
    HAS_DNSPYTHON = False

DOCUMENTATION = r"""
module: zone_keys
short_description: Read the DS of zones from the keys that sign them
description:
  - Waits until the server on this host serves each zone signed, and returns the DS records (SHA-256,
    RFC 4509) that C(dnssec-dsfromkey) makes of its key signing keys.
options:
  zones: {description: Names of the zones., type: list, elements: str, required: true}
  server: {description: Address of the server on this host., type: str, required: true}
  timeout: {description: "How long to wait for all zones together, in seconds.", type: int, default: 60}
attributes:
  check_mode: {support: full, description: In check mode zones that are not served yet are left out.}
author: [The LIGHTest agents' authors (@lightest)]
"""

EXAMPLES = r"""
- name: Read the DS of a zone
  zone_keys:
    zones: [germany.raspidemo]
    server: 10.53.0.12
"""

RETURN = r"""
ds:
  description: By zone, the data of its DS records, C(key-tag algorithm digest-type digest).
  type: dict
  returned: always
"""


class NotSignedError(Exception):
    """The server does not serve the zone with signatures (yet)."""


def signed_rrset(zone: dns.name.Name, rdtype: dns.rdatatype.RdataType, server: str) -> str:
    """The RRset at the zone's apex in zone-file form; refused unless an RRSIG comes with it."""
    query = dns.message.make_query(zone, rdtype, want_dnssec=True)
    query.flags &= ~dns.flags.RD
    try:
        response = dns.query.tcp(query, server, timeout=5)
    except (OSError, dns.exception.DNSException) as error:
        raise NotSignedError(f"{server} does not answer: {error}") from error
    rrset = response.get_rrset(response.answer, zone, query.question[0].rdclass, rdtype)
    rrsigs = response.get_rrset(
        response.answer, zone, query.question[0].rdclass, dns.rdatatype.RRSIG, covers=rdtype
    )
    if rrset is None or rrsigs is None:
        raise NotSignedError(f"{server} serves no signed {dns.rdatatype.to_text(rdtype)} of {zone}")
    return str(rrset.to_text())


def read_ds(zone: str, server: str) -> list[str]:
    """The DS data of a zone whose SOA and keys are signed, sorted."""
    name = dns.name.from_text(zone)
    signed_rrset(name, dns.rdatatype.SOA, server)
    keys = signed_rrset(name, dns.rdatatype.DNSKEY, server)
    made = subprocess.run(
        ["dnssec-dsfromkey", "-2", "-f", "-", zone],
        input=keys,
        text=True,
        capture_output=True,
        check=True,
    )
    return sorted(line.split(" DS ", 1)[1] for line in made.stdout.splitlines())


def wait_for_ds(zone: str, server: str, deadline: float) -> list[str]:
    while True:
        try:
            return read_ds(zone, server)
        except NotSignedError:
            if time.monotonic() >= deadline:
                raise
            time.sleep(0.2)


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "zones": {"type": "list", "elements": "str", "required": True},
            "server": {"type": "str", "required": True},
            "timeout": {"type": "int", "default": 60},
        },
        supports_check_mode=True,
    )
    if not HAS_DNSPYTHON:
        if module.check_mode:
            module.exit_json(changed=False, ds={})
        module.fail_json(msg=missing_required_lib("python3-dnspython"))
    deadline = time.monotonic() + (0 if module.check_mode else module.params["timeout"])
    found: dict[str, Any] = {}
    for zone in module.params["zones"]:
        try:
            found[zone] = wait_for_ds(zone, module.params["server"], deadline)
        except NotSignedError as error:
            if not module.check_mode:
                module.fail_json(msg=f"{zone} is not signed: {error}. See `journalctl -u named`.")
        except (OSError, subprocess.CalledProcessError) as error:
            module.fail_json(msg=f"dnssec-dsfromkey could not read the keys of {zone}: {error}")
    module.exit_json(changed=False, ds=found)


if __name__ == "__main__":
    main()
