#!/usr/bin/python
# Copyright: the contributors of this project
# Apache License 2.0 (see LICENSE or https://www.apache.org/licenses/LICENSE-2.0)
"""Reconcile the records Ansible owns in a dynamic DNS zone, by TSIG-signed IXFR and RFC 2136 updates."""

from __future__ import annotations

import contextlib
import gzip
import ipaddress
import json
import os
import re
import tempfile
import time
import traceback
import zlib
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule, missing_required_lib

try:
    import dns.exception
    import dns.message
    import dns.name
    import dns.query
    import dns.rcode
    import dns.rdata
    import dns.rdataclass
    import dns.rdatatype
    import dns.tsig
    import dns.update
    import dns.xfr
    from dns.transaction import Transaction, TransactionManager
    from dns.tsig import Key
except ImportError:
    # Check mode must work on a host that has yet to get the package.
    DNSPYTHON_ERROR = traceback.format_exc()
    Key = Transaction = TransactionManager = object  # type: ignore[misc, assignment]
else:
    DNSPYTHON_ERROR = ""

DOCUMENTATION = r"""
---
module: trust_zone
short_description: Reconcile the records Ansible owns in a dynamic DNS zone
description:
  - Compares a file of wanted records with the live zone and sends the difference as TSIG-signed
    dynamic updates (RFC 2136) in few, large messages.
  - What changed since the last run, by whomever, is learnt from one incremental zone transfer
    (IXFR, RFC 1995), so that the DNS work depends on the size of the change and not of the zone.
  - Every RRset that is touched is a prerequisite of its message, so that a concurrent writer is noticed
    and the difference computed anew.
  - Records of types that are not owned are never touched; the server alone writes SOA and DNSSEC records.
  - Whoever owns NS owns the DS of the delegations, too.
options:
  zone:
    description: Name of the zone, without the final dot.
    type: str
    required: true
  records:
    description:
      - Path on the controller of the wanted records. One record a line, as C(owner ttl TYPE rdata), names
        absolute with the final dot and in lower case.
      - The action plugin sends the file to the host, compressed.
    type: path
    required: true
  owned_types:
    description: Types whose records in the zone all belong to Ansible.
    type: list
    elements: str
    default: [A, AAAA, NS, PTR]
  delegations:
    description:
      - DS rdata computed from the keys of each child zone, by name of the child.
      - They are published only where the live zone has no DS for that child; afterwards the DS belong to
        the parent's CDS polling.
      - The list may be empty when the child's name server is not part of the run.
    type: dict
    default: {}
  server:
    description: IP address of the zone's primary name server.
    type: str
    required: true
  port:
    description: TCP port of the name server.
    type: int
    default: 53
  key_file:
    description: TSIG key in named.conf syntax, on the host.
    type: path
    required: true
  keep:
    description:
      - Names, without the final dot, whose owned records stay as they are.
      - For what could not be learnt in this run, because its host did not answer.
    type: list
    elements: str
    default: []
  state_file:
    description: Where to keep the owned records as last seen, with their serial. It may be lost at any time.
    type: path
    required: true
  removal_limit:
    description:
      - Percentage of the names directly below the zone that one run may remove entirely.
      - Applies to zones with at least ten of them.
    type: int
    default: 30
  allow_removals:
    description: Remove whatever the wanted records leave out, beyond O(removal_limit).
    type: bool
    default: false
requirements:
  - dnspython 2.3 or newer (python3-dnspython)
attributes:
  check_mode:
    description: Queries the live zone, sends no update and writes nothing.
    support: full
  diff_mode:
    description: Shows the changed records only.
    support: full
author:
  - The contributors of this project
"""

EXAMPLES = r"""
---
- name: Publish the records of a country zone
  trust_zone:
    zone: germany.raspidemo
    records: /srv/cluster/records/germany.raspidemo.txt
    owned_types: [A, AAAA, NS, PTR]
    delegations:
      trust.germany.raspidemo:
        - "12345 13 2 5b1c5a0ba9f25d5eb0b5ab6ae8b4f6e9dbe4bb2e3b1ac4b3a1ec1b5b7a5f3c2d"
    server: 10.53.0.12
    key_file: /etc/bind/keys/operator.germany.raspidemo.key
    state_file: /var/lib/lightest/zones/germany.raspidemo
"""

RETURN = r"""
---
added:
  description: >-
      Number of records added (in check mode, that would be added).
      A new TTL is one added and one removed.
  type: int
  returned: success
removed:
  description: Number of records removed.
  type: int
  returned: success
serial:
  description: Serial of the zone as last seen; null in check mode where the zone is not served yet.
  type: int
  returned: success
messages:
  description: Number of DNS messages sent, queries and updates.
  type: int
  returned: success
dns_seconds:
  description: Time spent waiting for the name server, in seconds.
  type: float
  returned: success
"""

MESSAGE_SIZE = 48 * 1024
"""Bound of an update's wire size, in octets: below the 64 KiB of DNS over TCP, with room for the TSIG."""

ATTEMPTS = 4
"""One, and three more where another writer gets in between."""

TIMEOUT = 60.0
"""Seconds to wait for one answer: a Raspberry Pi signs a full message of new names before it answers."""

SMALL_ZONE = 10
"""Below this many names a percentage says little, and the removal limit does not apply."""

UNOWNABLE = frozenset(
    {"SOA", "DS", "RRSIG", "NSEC", "NSEC3", "NSEC3PARAM", "DNSKEY", "CDS", "CDNSKEY", "TYPE65534", "ANY"}
)


class ZoneError(Exception):
    """The zone cannot be reconciled; the message says why and what to do."""


class NotServedError(ZoneError):
    """The host does not serve the zone (yet), or not to us."""


class UnusableError(ZoneError):
    """The name server sent what does not answer the question."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The kept records of a zone at one serial, as sorted lines `owner ttl TYPE rdata`."""

    serial: int | None
    lines: Sequence[str]

    def at(self, owner: str) -> list[str]:
        """The lines of one owner name."""
        # The character after the space, so that all lines of the owner lie between.
        start, end = (bisect_left(self.lines, owner + following) for following in " !")
        return list(self.lines[start:end])

    def has(self, line: str) -> bool:
        index = bisect_left(self.lines, line)
        return index < len(self.lines) and self.lines[index] == line


UNKNOWN = Snapshot(None, ())


@dataclass(frozen=True, slots=True)
class Task:
    """What the operator wants; `zone` and the names in it are absolute texts with the final dot."""

    zone: str
    lines: Sequence[str]
    owned_types: frozenset[str]
    delegations: Mapping[str, Sequence[str]]
    keep: Sequence[str]
    removal_limit: int
    allow_removals: bool
    check: bool

    @property
    def types(self) -> frozenset[str]:
        """The types of which every record in the zone is looked at: DS belong with the delegations' NS."""
        return self.owned_types | ({"DS"} if "NS" in self.owned_types else set())


@dataclass(frozen=True, slots=True)
class Outcome:
    """Lines that were (in check mode: would be) added and removed, and the serial of the live zone."""

    added: Sequence[str]
    removed: Sequence[str]
    serial: int | None
    warnings: Sequence[str] = ()


# --- records as text ---


def read_records(path: Path) -> list[str]:
    """The lines of a record file, plain or gzip-compressed."""
    try:
        content = path.read_bytes()
        if content.startswith(b"\x1f\x8b"):
            content = gzip.decompress(content)
        return content.decode("utf-8").splitlines()
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise ZoneError(f"The record file {path} cannot be read ({error}): write it anew.") from error


def type_of(line: str) -> str:
    """The type in a line, or an empty text where there is none."""
    return (line.split(" ", 3) + [""] * 3)[2]


def unit_of(line: str, zone: str) -> str:
    """The first label below the zone's apex, `@` for the apex: what belongs together in one message."""
    owner = line.partition(" ")[0]
    return "@" if owner == zone else owner.removesuffix(f".{zone}").rpartition(".")[2]


def difference(live: Iterable[str], wanted: Iterable[str]) -> tuple[list[str], list[str]]:
    """Lines to add to `live` and to remove from it, both sorted, to get `wanted`."""
    old, new = set(live), set(wanted)
    return sorted(new - old), sorted(old - new)


# --- the delegations' DS records ---


def delegated(task: Task) -> dict[str, str]:
    """The TTL of each delegation's NS, by name of the child."""
    ttls = {}
    for line in task.lines:
        if " NS " in line and type_of(line) == "NS":
            owner, ttl, _ = line.split(" ", 2)
            if owner != task.zone:
                ttls[owner] = ttl
        elif " DS " in line and type_of(line) == "DS":
            raise ZoneError(f"The record file has {line!r}: give DS by way of the delegations.")
    return ttls


def with_ds(task: Task, live: Snapshot) -> tuple[list[str], list[str]]:
    """The wanted lines including the DS that stay or are bootstrapped, and warnings.

    DS that are live stay, as CDS polling may have changed them since (RFC 7344), as long as one is of the
    child's keys. DS of children that are no longer delegated are not wanted, so that they go.
    """
    children = delegated(task)
    for name in task.delegations:
        if name not in children:
            raise ZoneError(
                f"DS are given for {name} but the records of {task.zone} do not delegate it: "
                "add its NS or drop it."
            )
    extra, warnings = [], []
    for child, ttl in children.items():
        given = task.delegations.get(child, ())
        published = [line for line in live.at(child) if type_of(line) == "DS"]
        if published:
            check_chain(child, {line.split(" ", 3)[3] for line in published}, set(given))
        elif not given:
            problem = (
                f"No DS of {child} is known and {task.zone} has none, so the chain of trust would end there: "
                f"include the name server of {child} in the run."
            )
            if not task.check:
                raise ZoneError(problem)
            # Its keys may be made by the very run that is being checked.
            warnings.append(problem)
        extra += published or [f"{child} {ttl} DS {rdata}" for rdata in given]
    return [*task.lines, *extra], warnings


def check_chain(child: str, published: set[str], given: set[str]) -> None:
    """Refuse to go on where no published DS is of a key the child has."""
    if given and not published & given:
        tags = ", ".join(sorted({rdata.split(" ")[0] for rdata in published}))
        raise ZoneError(
            f"The chain of trust to {child} is broken: its DS (key tag {tags}) match none of its keys. "
            f"Restore the keys of {child} from the backup; only if they are lost for good, delete its DS "
            "with nsupdate and run again."
        )


# --- differing lines as DNS objects ---


@dataclass(frozen=True, slots=True)
class Record:
    """One line, parsed; `size` is the octets of its rdata."""

    name: dns.name.Name
    ttl: int
    rdata: dns.rdata.Rdata
    size: int


@dataclass(frozen=True, slots=True)
class Change:
    """What happens to one RRset; `before` is all of it as last seen."""

    name: dns.name.Name
    rdtype: dns.rdatatype.RdataType
    before: tuple[Record, ...]
    remove: tuple[Record, ...]
    add: tuple[Record, ...]


@dataclass(frozen=True, slots=True)
class Unit:
    """Changes that stand or fall together; `size` bounds their octets in an update of the zone."""

    changes: tuple[Change, ...]
    size: int
    added: tuple[str, ...]
    removed: tuple[str, ...]


def line_of(name: dns.name.Name, ttl: int, rdata: dns.rdata.Rdata) -> str:
    """The canonical line of a record."""
    text = rdata.to_text()
    if rdata.rdtype in {dns.rdatatype.NS, dns.rdatatype.PTR, dns.rdatatype.CNAME, dns.rdatatype.DNAME}:
        text = text.lower()
    return f"{name.to_text().lower()} {ttl} {dns.rdatatype.to_text(rdata.rdtype)} {text}"


def parse(line: str, zone: dns.name.Name, types: Iterable[str]) -> Record:
    """The objects of one line.

    Raises:
        ZoneError: it is no record, not in canonical form, outside the zone, or not of `types`.
    """
    try:
        owner, ttl, rdtype, text = line.split(" ", 3)
        kind = dns.rdatatype.from_text(rdtype)
        name = dns.name.from_text(owner, None)
        rdata = dns.rdata.from_text(dns.rdataclass.IN, kind, text)
        record = Record(name, int(ttl), rdata, len(rdata.to_wire() or b""))
    except (ValueError, dns.exception.DNSException) as error:
        raise ZoneError(
            f"The record file has a line that is no record, {line!r} ({error}): write 'owner ttl TYPE rdata'."
        ) from error
    if not name.is_subdomain(zone):
        raise ZoneError(f"The record file has {line!r}, which is outside the zone {zone}: remove it.")
    if rdtype not in types:
        raise ZoneError(
            f"The record file has {line!r}, but {rdtype} is not among the owned types: remove it."
        )
    if not 0 <= record.ttl < 2**31:
        raise ZoneError(f"The record file has {line!r}, whose TTL is out of range: use 0 to 2147483647.")
    if line_of(name, record.ttl, rdata) != line:
        raise ZoneError(
            f"The record file has {line!r}, which is to be written as {line_of(name, record.ttl, rdata)!r}."
        )
    return record


def change_of(before: Sequence[Record], remove: Sequence[Record], add: Sequence[Record]) -> Change:
    """The change of one RRset.

    An added record gives its TTL to the whole RRset (RFC 2136, section 3.4.2.2), so that a record that only
    gets another TTL is added again and not removed.
    """
    kept = [record.rdata for record in add]
    ttls = {record.ttl for record in add} | {record.ttl for record in before if record not in remove}
    first = (*add, *remove)[0]
    if len(ttls) > 1:
        raise ZoneError(
            f"The record file gives {first.name} {dns.rdatatype.to_text(first.rdata.rdtype)} the TTLs "
            f"{', '.join(map(str, sorted(ttls)))}: use one (RFC 2181, section 5.2)."
        )
    return Change(
        first.name,
        first.rdata.rdtype,
        tuple(before),
        tuple(record for record in remove if record.rdata not in kept),
        tuple(add),
    )


def size_of(change: Change, zone: dns.name.Name) -> int:
    """Upper bound of a change's octets: the zone's own name is always compressed, other names may be."""
    owner = sum(len(label) + 1 for label in change.name.relativize(zone).labels) + 2
    records = (*change.before, *change.remove, *change.add)
    count = len(records) if change.before else len(records) + 1
    return count * (owner + 10) + sum(record.size for record in records)


def plan(
    live: Snapshot, added: Sequence[str], removed: Sequence[str], zone: dns.name.Name, types: Iterable[str]
) -> list[Unit]:
    """The difference as units, those that only lose records last."""
    text = zone.to_text()
    units: dict[str, tuple[list[str], list[str]]] = defaultdict(lambda: ([], []))
    for position, lines in enumerate((added, removed)):
        for line in lines:
            units[unit_of(line, text)][position].append(line)
    order = sorted(units, key=lambda label: (not units[label][0], label))
    return [make_unit(live, *units[label], zone, types) for label in order]


def make_unit(
    live: Snapshot, added: Sequence[str], removed: Sequence[str], zone: dns.name.Name, types: Iterable[str]
) -> Unit:
    """One unit, its changes ordered by name and type."""
    rrsets: dict[tuple[dns.name.Name, dns.rdatatype.RdataType], tuple[list[Record], list[Record]]]
    rrsets = defaultdict(lambda: ([], []))
    for position, lines in enumerate((removed, added)):
        for line in lines:
            record = parse(line, zone, types)
            rrsets[record.name, record.rdata.rdtype][position].append(record)
    changes = []
    for (name, rdtype), (remove, add) in sorted(rrsets.items()):
        kind = dns.rdatatype.to_text(rdtype)
        before = [
            parse(line, zone, types) for line in live.at(name.to_text().lower()) if type_of(line) == kind
        ]
        changes.append(change_of(before, remove, add))
    return Unit(
        tuple(changes), sum(size_of(change, zone) for change in changes), tuple(added), tuple(removed)
    )


def batches(units: Iterable[Unit], limit: int) -> Iterator[list[Unit]]:
    """Units grouped so that a group is at most `limit` octets; a larger unit is a group of its own."""
    group: list[Unit] = []
    size = 0
    for unit in units:
        if group and size + unit.size > limit:
            yield group
            group, size = [], 0
        group.append(unit)
        size += unit.size
    if group:
        yield group


def update_message(
    units: Iterable[Unit], zone: dns.name.Name, key: dns.tsig.Key | None
) -> dns.update.UpdateMessage:
    """One RFC 2136 message; its prerequisites (section 2.4) say that each touched RRset is as it was seen."""
    message = dns.update.UpdateMessage(zone, keyring=key)
    changes = [change for unit in units for change in unit.changes]
    for change in changes:
        if change.before:
            message.present(change.name, *(record.rdata for record in change.before))
        else:
            message.absent(change.name, change.rdtype)
    # The last NS of an apex cannot be removed (section 3.4.2.4), so a new one has to be there before.
    remove_all(message, (change for change in changes if change.rdtype != dns.rdatatype.NS))
    for change in changes:
        for record in change.add:
            message.add(record.name, record.ttl, record.rdata)
    remove_all(message, (change for change in changes if change.rdtype == dns.rdatatype.NS))
    return message


def remove_all(message: dns.update.UpdateMessage, changes: Iterable[Change]) -> None:
    for change in changes:
        for record in change.remove:
            message.delete(change.name, record.rdata)


# --- the name server ---


class ShadowManager(TransactionManager):
    """Receives a zone transfer into a snapshot that keeps only some types."""

    def __init__(self, zone: dns.name.Name, types: Iterable[str], base: Snapshot) -> None:
        self.zone = zone
        self.types = frozenset(dns.rdatatype.from_text(text) for text in types)
        self.base = base
        self.begun = False
        self.committed: ShadowTransaction | None = None

    def snapshot(self) -> Snapshot:
        """What has been received; the base itself where nothing has changed."""
        return self.committed.snapshot() if self.committed else self.base

    def writer(self, replacement: bool = False) -> ShadowTransaction:
        self.begun = True
        return ShadowTransaction(self, UNKNOWN if replacement else self.base)

    def origin_information(self) -> tuple[dns.name.Name, bool, dns.name.Name]:
        return self.zone, False, self.zone

    def get_class(self) -> dns.rdataclass.RdataClass:
        return dns.rdataclass.IN


class ShadowTransaction(Transaction):
    """One transfer; only what dnspython's transfers call is there.

    Raises:
        ValueError: the transfer does not fit the snapshot it starts from.
    """

    def __init__(self, manager: ShadowManager, base: Snapshot) -> None:
        super().__init__(manager)
        self.shadow = manager
        self.base = base
        self.serial = base.serial
        # Kept beside the base, so that a small transfer into a large zone is small work.
        self.added: set[str] = set()
        self.removed: set[str] = set()

    def snapshot(self) -> Snapshot:
        """The base with the changes."""
        kept = [line for line in self.base.lines if line not in self.removed]
        return Snapshot(self.serial, sorted([*kept, *self.added]))

    def _lines(self, name: dns.name.Name, rdataset: Any) -> Iterator[str]:
        if rdataset.rdtype in self.shadow.types and name.is_subdomain(self.shadow.zone):
            for rdata in rdataset:
                yield line_of(name, rdataset.ttl, rdata)

    def _holds(self, line: str) -> bool:
        return line in self.added or (line not in self.removed and self.base.has(line))

    def add(self, *args: Any) -> None:
        for line in self._lines(*args):
            if self._holds(line):
                raise ValueError(f"{line} is there already")
            if line in self.removed:
                self.removed.remove(line)
            else:
                self.added.add(line)

    def delete_exact(self, *args: Any) -> None:
        for line in self._lines(*args):
            if not self._holds(line):
                raise ValueError(f"{line} is not there")
            if line in self.added:
                self.added.remove(line)
            else:
                self.removed.add(line)

    def replace(self, *args: Any) -> None:
        """Take the serial: a transfer replaces nothing but the SOA."""
        self.serial = args[1][0].serial

    def _end_transaction(self, commit: bool) -> None:
        if commit:
            self.shadow.committed = self


class TransferKey(Key):
    """A TSIG key for one transfer, whose first message must be signed (RFC 8945, section 5.3.1).

    dnspython checks that itself only since 2.9. Before, it takes unsigned messages ahead of the first signed
    one, so that a forger who has some signed end of the answer could put what he likes in front of it.
    """

    def __init__(self, key: dns.tsig.Key, manager: ShadowManager) -> None:
        super().__init__(key.name, key.secret, key.algorithm)
        self.manager = manager

    def __call__(self, message: dns.message.Message, _name: dns.name.Name) -> dns.tsig.Key:
        """What dnspython asks for the key of each signature, before it takes the message's records."""
        if self.manager.begun and message.tsig_ctx is None:
            raise ValueError("the first message is not signed")
        return self


class Server:
    """One zone on its primary, over TCP; counts messages and the seconds spent waiting for answers."""

    def __init__(self, zone: dns.name.Name, types: Iterable[str], address: str, port: int, key: dns.tsig.Key):
        self.zone = zone
        self.types = tuple(types)
        self.address = address
        self.port = port
        self.key = key
        self.messages = 0
        self.seconds = 0.0

    def sync(self, seen: Snapshot) -> Snapshot:
        """The zone's kept records now, by IXFR from what was seen, or by AXFR where that cannot be.

        The same object is returned when the zone's serial has not changed.
        """
        if seen.serial is not None:
            with contextlib.suppress(UnusableError):
                return self._transfer(seen)
        # Nothing was seen, or something that never was: another zone of this name, or a damaged state.
        return self._transfer(UNKNOWN)

    def _transfer(self, seen: Snapshot) -> Snapshot:
        manager = ShadowManager(self.zone, self.types, seen)
        # To dnspython a serial of 0 means to look one up, None a full transfer.
        query, _ = dns.xfr.make_query(
            manager, serial=seen.serial or None, keyring=TransferKey(self.key, manager)
        )
        with self._exchange():
            dns.query.inbound_xfr(self.address, manager, query, self.port, timeout=TIMEOUT)
        return manager.snapshot()

    def update(self, message: dns.update.UpdateMessage) -> bool:
        """Send an update; False says that a prerequisite did not hold and nothing was changed."""
        with self._exchange():
            answer = dns.query.tcp(message, self.address, port=self.port, timeout=TIMEOUT)
        rcode = answer.rcode()
        if not answer.had_tsig and rcode not in {dns.rcode.REFUSED, dns.rcode.NOTAUTH}:
            raise self._failure("sent an unsigned answer: find out who answers there.")
        if rcode in {dns.rcode.YXRRSET, dns.rcode.NXRRSET}:
            return False
        if rcode != dns.rcode.NOERROR:
            raise self._refusal("an update", rcode)
        return True

    def _failure(self, what: str, kind: type[ZoneError] = ZoneError) -> ZoneError:
        return kind(f"The name server at {self.address} port {self.port} {what}")

    def _refusal(self, what: str, rcode: dns.rcode.Rcode) -> ZoneError:
        kind = NotServedError if rcode in {dns.rcode.REFUSED, dns.rcode.NOTAUTH} else ZoneError
        return self._failure(
            f"answered {dns.rcode.to_text(rcode)} to {what} of {self.zone} signed with {self.key.name}: "
            "check that it serves the zone and grants this key transfers and updates.",
            kind,
        )

    @contextlib.contextmanager
    def _exchange(self) -> Iterator[None]:
        """Count and time one exchange, and turn what goes wrong into sentences."""
        started = time.monotonic()
        self.messages += 1
        try:
            yield
        except dns.xfr.TransferError as error:
            raise self._refusal("a zone transfer", error.rcode) from error
        except dns.exception.TooBig as error:
            raise ZoneError(
                f"The records of one name in {self.zone} do not fit in a DNS message of 64 KiB: reduce them."
            ) from error
        except ConnectionRefusedError as error:
            raise self._failure("does not answer: start it, then run again.", NotServedError) from error
        except dns.tsig.PeerBadKey as error:
            what = f"does not know the key {self.key.name}: add it to its configuration."
            raise self._failure(what, NotServedError) from error
        except (dns.tsig.PeerBadSignature, dns.tsig.BadSignature) as error:
            raise self._failure(
                f"has another secret for the key {self.key.name}: reload it, or make the key file equal to "
                "its configuration."
            ) from error
        except (dns.tsig.PeerBadTime, dns.tsig.BadTime) as error:
            what = "and this host disagree about the time: set the clocks, then run again."
            raise self._failure(what) from error
        except (dns.exception.Timeout, TimeoutError) as error:
            what = f"did not answer within {TIMEOUT:.0f} s: see its log, then run again."
            raise self._failure(what) from error
        except (OSError, EOFError) as error:
            what = f"broke the connection ({str(error) or 'closed'}): see its log, then run again."
            raise self._failure(what) from error
        except (dns.exception.DNSException, ValueError) as error:
            # ValueError is of our own transaction, and of dnspython 2.3 for an opcode that does not exist.
            what = f"sent an unusable answer ({error}): see its log."
            raise self._failure(what, UnusableError) from error
        finally:
            self.seconds += time.monotonic() - started


# --- reconciling ---


def reconcile(task: Task, server: Server, seen: Snapshot, save: Callable[[Snapshot], None]) -> Outcome:
    """Make the owned records of the live zone those of the task, or in check mode say what that takes.

    Each turn looks at the zone anew and ends when nothing differs, so that success means that the live zone
    was seen to be as wanted. `save` gets each snapshot that differs from `seen`.

    Raises:
        ZoneError: it cannot be done; what was sent before stays, and the next run goes on from there.
    """
    zone = dns.name.from_text(task.zone)
    done_added: list[str] = []
    done_removed: list[str] = []
    accepted = True
    for attempt in range(ATTEMPTS + 1):
        live = server.sync(seen)
        if not accepted and live is seen:
            # Nothing changed and yet the prerequisites fail: what we hold is not this zone.
            live = server.sync(UNKNOWN)
        if live is not seen and not task.check:
            save(live)
        seen = live
        wanted, warnings = with_ds(task, live)
        wanted += [line for name in task.keep for line in live.at(name)]
        added, removed = difference(live.lines, wanted)
        units = plan(live, added, removed, zone, task.types)
        if not task.allow_removals and not done_added + done_removed:
            check_removals(task, live, wanted, removed)
        if task.check:
            return Outcome(added, removed, live.serial, warnings)
        if not units:
            return Outcome(done_added, done_removed, live.serial)
        if attempt == ATTEMPTS:
            break
        for group in batches(units, MESSAGE_SIZE):
            accepted = server.update(update_message(group, zone, server.key))
            if not accepted:
                break
            done_added += [line for unit in group for line in unit.added]
            done_removed += [line for unit in group for line in unit.removed]
    raise ZoneError(
        f"The zone {task.zone} still differs after {ATTEMPTS} attempts, first at {(added + removed)[0]!r}: "
        "another writer is active on the same records. Stop it, or give up owning them, then run again."
    )


def check_removals(task: Task, live: Snapshot, wanted: Sequence[str], removed: Sequence[str]) -> None:
    """Refuse to remove more names than the operator is likely to mean."""
    if not removed:
        return
    units = {unit_of(line, task.zone) for line in live.lines}
    gone = units - {unit_of(line, task.zone) for line in wanted}
    if len(units) >= SMALL_ZONE and len(gone) * 100 > task.removal_limit * len(units):
        raise ZoneError(
            f"{len(gone)} of the {len(units)} names in {task.zone} would be removed, more than the limit of "
            f"{task.removal_limit} %: nothing was sent. Check the inventory; if it is meant, run again with "
            "-e trust_zone_allow_removals=true"
        )


def without_zone(task: Task) -> Outcome:
    """The outcome in check mode where the zone is not served yet: everything would be added."""
    extra = [
        f"{child} {ttl} DS {rdata}"
        for child, ttl in delegated(task).items()
        for rdata in task.delegations.get(child, ())
    ]
    return Outcome(sorted({*task.lines, *extra}), (), None)


# --- state and key ---


def load_state(path: Path, zone: str, types: Iterable[str]) -> Snapshot:
    """What the last run saw; unknown where there is no usable state of this zone and these types."""
    try:
        state = json.loads(path.read_bytes())
        if (state["zone"], state["types"]) == (zone, sorted(types)) and isinstance(state["serial"], int):
            return Snapshot(state["serial"], state["lines"])
    except (OSError, ValueError, KeyError, TypeError):
        pass
    return UNKNOWN


def save_state(path: Path, zone: str, types: Iterable[str], snapshot: Snapshot) -> None:
    """Replace the state in one step.

    It is not synced to the medium: a file that a power cut has torn is no JSON and is begun anew, which costs
    one full transfer.
    """
    state = {"zone": zone, "types": sorted(types), "serial": snapshot.serial, "lines": snapshot.lines}
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(json.dumps(state))
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise ZoneError(
            f"The state file {path} cannot be written ({error}): make its folder writable."
        ) from error


def read_key(path: Path) -> dns.tsig.Key:
    """The one TSIG key of a file in named.conf syntax, as tsig-keygen writes it."""
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError as error:
        raise NotServedError(
            f"The key file {path} is missing: set up the name server first, then run again."
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise ZoneError(f"The key file {path} cannot be read ({error}): check its owner and mode.") from error
    text = re.sub(r"^\s*(?:#|//).*$", "", text, flags=re.MULTILINE)
    key = re.search(r'\bkey\s+"?([^"\s{;]+)"?\s*\{(.*?)\}\s*;', text, re.DOTALL)
    fields = dict(re.findall(r'\b(algorithm|secret)\s+"?([^"\s;]+)"?\s*;', key[2])) if key else {}
    if key is None or fields.keys() != {"algorithm", "secret"}:
        raise ZoneError(f"The key file {path} holds no TSIG key: make one with tsig-keygen -a hmac-sha256.")
    if fields["algorithm"].rstrip(".") != "hmac-sha256":
        raise ZoneError(
            f"The key in {path} is for {fields['algorithm']}: make one with tsig-keygen -a hmac-sha256."
        )
    try:
        return dns.tsig.Key(key[1], fields["secret"], dns.tsig.HMAC_SHA256)
    except (ValueError, dns.exception.DNSException) as error:
        raise ZoneError(
            f"The key in {path} is unusable ({error}): make one with tsig-keygen -a hmac-sha256."
        ) from error


# --- Ansible ---


def absolute(name: str) -> str:
    """A zone name of the inventory in the form of the record file."""
    return f"{name.lower().rstrip('.')}."


def normal_ds(rdata: str) -> str:
    """DS rdata in the form of the record file; dnssec-dsfromkey writes upper case."""
    try:
        return dns.rdata.from_text(dns.rdataclass.IN, dns.rdatatype.DS, rdata).to_text()
    except dns.exception.DNSException as error:
        raise ZoneError(
            f"{rdata!r} is no DS rdata ({error}): give key tag, algorithm, digest type and digest."
        ) from error


def task_of(params: Mapping[str, Any], check: bool) -> Task:
    """The task of the module's parameters."""
    owned = frozenset(text.upper() for text in params["owned_types"])
    if owned & UNOWNABLE:
        raise ZoneError(
            f"owned_types names {', '.join(sorted(owned & UNOWNABLE))}, which only the name server writes: "
            "remove it."
        )
    if not 0 <= params["removal_limit"] <= 100:
        raise ZoneError(f"removal_limit is {params['removal_limit']}: give a percentage from 0 to 100.")
    for name, rdatas in params["delegations"].items():
        if not isinstance(rdatas, list | None):
            raise ZoneError(f"delegations gives {name} no list: write [] or a list of DS rdata.")
    return Task(
        zone=absolute(params["zone"]),
        lines=read_records(Path(params["records"])),
        owned_types=owned,
        delegations={absolute(name): tuple(rdatas or ()) for name, rdatas in params["delegations"].items()},
        keep=[absolute(name) for name in params["keep"]],
        removal_limit=params["removal_limit"],
        allow_removals=params["allow_removals"],
        check=check,
    )


def server_of(params: Mapping[str, Any], task: Task) -> Server:
    """The name server of the module's parameters."""
    if DNSPYTHON_ERROR:
        raise NotServedError(
            f"{missing_required_lib('dnspython')} Install python3-dnspython, then run again."
        )
    try:
        address = str(ipaddress.ip_address(params["server"]))
    except ValueError as error:
        raise ZoneError(f"server is {params['server']!r}: give an IP address.") from error
    try:
        zone = dns.name.from_text(task.zone)
        for rdtype in task.owned_types:
            dns.rdatatype.from_text(rdtype)
    except dns.exception.DNSException as error:
        raise ZoneError(f"zone or owned_types cannot be used: {error}.") from error
    return Server(zone, task.types, address, params["port"], read_key(Path(params["key_file"])))


def run(params: Mapping[str, Any], check: bool) -> dict[str, Any]:
    """What the module returns, for parameters that have passed its argument_spec.

    Raises:
        ZoneError: the zone was not reconciled.
    """
    task = task_of(params, check)
    server = None
    try:
        server = server_of(params, task)
        normal = {name: tuple(map(normal_ds, rdatas)) for name, rdatas in task.delegations.items()}
        state = Path(params["state_file"]), task.zone, server.types
        outcome = reconcile(
            replace(task, delegations=normal), server, load_state(*state), partial(save_state, *state)
        )
    except NotServedError:
        if not check:
            raise
        outcome = without_zone(task)
    return {
        "changed": bool(outcome.added or outcome.removed),
        "added": len(outcome.added),
        "removed": len(outcome.removed),
        "serial": outcome.serial,
        "messages": server.messages if server else 0,
        "dns_seconds": round(server.seconds, 6) if server else 0.0,
        "diff": {
            "before_header": task.zone,
            "after_header": task.zone,
            "before": "".join(f"{line}\n" for line in outcome.removed),
            "after": "".join(f"{line}\n" for line in outcome.added),
        },
        "warnings": list(outcome.warnings),
    }


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "zone": {"type": "str", "required": True},
            "records": {"type": "path", "required": True},
            "owned_types": {"type": "list", "elements": "str", "default": ["A", "AAAA", "NS", "PTR"]},
            "delegations": {"type": "dict", "default": {}},
            "server": {"type": "str", "required": True},
            "port": {"type": "int", "default": 53},
            "key_file": {"type": "path", "required": True, "no_log": False},
            "keep": {"type": "list", "elements": "str", "default": []},
            "state_file": {"type": "path", "required": True},
            "removal_limit": {"type": "int", "default": 30},
            "allow_removals": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    try:
        result = run(module.params, module.check_mode)
    except ZoneError as error:
        module.fail_json(msg=str(error))
    for warning in result.pop("warnings"):
        module.warn(warning)
    if not module._diff:
        del result["diff"]
    module.exit_json(**result)


if __name__ == "__main__":
    main()
