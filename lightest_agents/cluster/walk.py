"""Walking the chain through a validating resolver, from the trust domain down to a name."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import dns.exception
import dns.name
import dns.rcode
import dns.rdatatype
from dns.rdtypes.ANY.DS import DS

from lightest_agents.cluster.chain import (
    Chain,
    Link,
    LinkKind,
    State,
    ZoneAnswers,
    is_zone,
    judge_denial,
    judge_failure,
    judge_name,
    judge_pointer,
    judge_zone,
    pointer_targets,
    show,
)
from lightest_agents.cluster.questions import Answer, Ask
from lightest_agents.errors import NameRefusedError
from lightest_agents.fleet.model import NAMESERVER_LABEL
from lightest_agents.trust import names


def read_name(text: str, domain: dns.name.Name) -> dns.name.Name:
    """The absolute name that the operator typed, with or without the final dot.

    Raises:
        NameRefusedError: it is no DNS name, or not in the trust domain.
    """
    try:
        name = dns.name.from_text(text.lower())
    except dns.exception.DNSException as error:
        raise NameRefusedError(f"{text!r} is not a DNS name: {error}") from error
    if not name.is_subdomain(domain):
        raise NameRefusedError(f"{show(name)} is not in the trust domain {show(domain)}")
    return name


def walk_chain(
    ask: Ask, name: dns.name.Name, domain: dns.name.Name, anchor: Sequence[DS], resolver: str
) -> Chain:
    """Walk from the trust domain to the zone of `name`, and for a claim on to its trust scheme's zone.

    Stops at the first link that does not hold.

    Args:
        ask: asks the validating resolver.
        name: a claim, a zone or any other name in the trust domain.
        domain: the trust domain.
        anchor: the trust anchor that the resolver's host uses.
        resolver: the name of that host, for people.
    """
    walk = _Walk(ask, domain, tuple(anchor), datetime.now(UTC))
    walk.descend(name)
    if walk.unbroken:
        walk.follow(name)
    return Chain(name, resolver, tuple(walk.links))


@dataclass(slots=True)
class _Walk:
    ask: Ask
    domain: dns.name.Name
    anchor: tuple[DS, ...]
    now: datetime
    links: list[Link] = field(default_factory=list)
    visited: set[dns.name.Name] = field(default_factory=set)

    @property
    def unbroken(self) -> bool:
        return all(link.state is State.HELD for link in self.links)

    def descend(self, target: dns.name.Name) -> None:
        """Add the zones from the trust domain down to `target` that were not visited before."""
        for depth in range(len(self.domain), len(target) + 1):
            name = target.split(depth)[1]
            if name in self.visited:
                continue
            self.visited.add(name)
            keys, raw = self.ask_twice(name, dns.rdatatype.DNSKEY)
            if keys.rcode == dns.rcode.NXDOMAIN and name != self.domain:
                return  # nothing exists below either (RFC 8020)
            # Where nobody answers, a zone is the likelier thing to be missing.
            silent = keys.failure is not None or (raw is not None and not raw.conclusive)
            if name == self.domain or silent or is_zone(name, raw or keys):
                self.links.append(self.zone_link(name, keys, raw))
            elif keys.rcode != dns.rcode.NOERROR:
                self.links.append(judge_name(name, keys, raw))
            if not self.unbroken:
                return

    def zone_link(self, zone: dns.name.Name, keys: Answer, raw_keys: Answer | None) -> Link:
        if keys.rcode == dns.rcode.NXDOMAIN:
            state, reason = judge_denial(keys, "") or (State.ABSENT, "")
            return Link(LinkKind.ZONE, zone, state, reason, validated=keys.authenticated)
        if keys.failure is not None or (raw_keys is not None and not raw_keys.conclusive):
            return judge_zone(zone, ZoneAnswers(keys, raw_keys=raw_keys), self.now)
        soa = self.ask(zone, dns.rdatatype.SOA, checking=raw_keys is None)
        if zone == self.domain:
            return judge_zone(zone, ZoneAnswers(keys, soa=soa, raw_keys=raw_keys), self.now, self.anchor)
        ds, raw_ds = self.ask_twice(zone, dns.rdatatype.DS)
        return judge_zone(zone, ZoneAnswers(keys, soa, ds, raw_keys, raw_ds), self.now)

    def follow(self, name: dns.name.Name) -> None:
        """Add the claim's pointer and the zones it leads to; for another name, the name itself."""
        owner = names.pointer(name)
        pointer, raw = self.ask_twice(owner, dns.rdatatype.PTR)
        if judge_failure(pointer, raw) is None and pointer.rrset is None:
            self.explain_missing_pointer(name, owner, pointer)
            return
        self.links.append(judge_pointer(owner, self.domain, pointer, raw))
        if self.unbroken:
            for target in pointer_targets(pointer):
                self.descend(target)

    def explain_missing_pointer(self, name: dns.name.Name, owner: dns.name.Name, pointer: Answer) -> None:
        if any(link.name == name for link in self.links):
            return  # a zone: its links are all there is to show
        exists = judge_name(name, *self.ask_twice(name, dns.rdatatype.A))
        if exists.state is State.HELD and self.has_place_of_claim(name):
            # That the pointer's labels do not exist is no other news than that it has no records.
            missing = replace(pointer, rcode=dns.rcode.NOERROR)
            self.links.append(judge_pointer(owner, self.domain, missing))
        else:
            self.links.append(exists)

    def has_place_of_claim(self, name: dns.name.Name) -> bool:
        """Whether a name is directly in a country zone, which is directly in the trust domain."""
        return len(name) == len(self.domain) + 2 and name.labels[0] != NAMESERVER_LABEL.encode()

    def ask_twice(self, name: dns.name.Name, rdtype: dns.rdatatype.RdataType) -> tuple[Answer, Answer | None]:
        """The validated answer, and if that is SERVFAIL the unvalidated one."""
        answer = self.ask(name, rdtype)
        if answer.failure is None and answer.rcode == dns.rcode.SERVFAIL:
            return answer, self.ask(name, rdtype, checking=False)
        return answer, None
