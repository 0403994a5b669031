"""Chain and status for a terminal, as plain text for a pipe, and as JSON values."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import dns.name
from rich.box import ROUNDED
from rich.console import Console
from rich.table import Table
from rich.text import Text

from lightest_agents.cluster.chain import Chain, DelegationSigner, Key, Link, LinkKind, State, show
from lightest_agents.cluster.status import HostReport, Status, ZoneReport

_PLAIN_WIDTH = 240
_GLYPHS = {
    State.HELD: ("●", "*", "green"),
    State.SILENT: ("◌", "?", "yellow"),
}
_BROKEN = ("○", "o", "red")


def make_console() -> Console:
    """The console of standard output; a pipe gets plain text that is not cut to a screen's width."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=_PLAIN_WIDTH, no_color=True)


def print_chain(console: Console, chain: Chain) -> None:
    """The table of zones, the chain in one line, and the verdict in words."""
    console.print(Text(f"{show(chain.name)}, validated from {chain.resolver}", style="bold"))
    table = _table(console, "zone", "key tags", "algorithm", "DS", "validated")
    domain = chain.links[0].name
    for link in chain.links:
        if link.kind is LinkKind.ZONE:
            table.add_row(
                show(link.name),
                _keys(link.keys),
                ", ".join(sorted({key.algorithm for key in link.keys})) or "-",
                _ds(link.ds, console),
                _state(link, console),
            )
    _print_table(console, table)
    console.print(_line(chain, domain, console), soft_wrap=True)
    for link in chain.links:
        if link.kind is LinkKind.POINTER and link.state is State.HELD:
            console.print(Text(f"pointer {_ascii(link.reason, console)}"), soft_wrap=True)
        elif link.state is not State.HELD:
            state = "" if link.reason.startswith(link.state.value) else f"{link.state.value}: "
            console.print(Text(f"{show(link.name)}: {state}{link.reason}"), soft_wrap=True)
    console.print(Text(_conclusion(chain), style="bold green" if chain.held else "bold red"))


def print_status(console: Console, status: Status) -> None:
    """Hosts, zones and a sentence for each problem."""
    hosts = _table(console, "host", "address", "clock", "services", "disk", "up", "state")
    for host in status.hosts:
        hosts.add_row(host.name, host.address, *_host_cells(host), _verdict(host.problems(), console))
    _print_table(console, hosts)
    zones = _table(console, "zone", "on", "serial", "key tags", "DS", "first RRSIG expires", "state")
    for zone in status.zones:
        zones.add_row(
            show(zone.name),
            zone.primary,
            "-" if zone.serial is None else str(zone.serial),
            _keys(zone.keys),
            _ds(zone.ds, console),
            _expiry(zone.expires, status.now),
            _verdict(zone.problems(status.now), console),
        )
    _print_table(console, zones)
    problems = status.problems()
    for problem in problems:
        console.print(Text(problem), soft_wrap=True)
    count = f"{len(status.hosts)} hosts, {len(status.zones)} zones: "
    console.print(
        Text(count + (f"{len(problems)} problem{'s' * (len(problems) != 1)}" if problems else "all is well")),
        style="bold red" if problems else "bold green",
    )


def chain_values(chain: Chain) -> dict[str, Any]:
    """The chain as JSON values."""
    return {
        "name": show(chain.name),
        "resolver": chain.resolver,
        "held": chain.held,
        "links": [
            {
                "kind": link.kind.value,
                "name": show(link.name),
                "state": link.state.name.lower(),
                "reason": link.reason,
                "validated": link.validated,
                "keys": _key_values(link.keys),
                "ds": _ds_values(link.ds),
            }
            for link in chain.links
        ],
    }


def status_values(status: Status) -> dict[str, Any]:
    """The status as JSON values; times in ISO 8601 UTC."""
    return {
        "time": status.now.isoformat(timespec="seconds"),
        "problems": status.problems(),
        "hosts": [_host_values(host) for host in status.hosts],
        "zones": [_zone_values(zone, status.now) for zone in status.zones],
    }


def _host_values(host: HostReport) -> dict[str, Any]:
    known = {
        "clock_offset_seconds": round(host.offset, 3),
        "clock_offset_error_seconds": round(host.offset_error, 3),
        "ntp_synchronized": host.synchronized,
        "services": dict(host.services or {}),
        "failed_units": list(host.failed_units),
        "disk_percent": dict(host.disks or {}),
        "uptime_seconds": host.uptime,
    }
    return {
        "name": host.name,
        "address": host.address,
        "groups": list(host.groups),
        "reachable": host.unreachable is None,
        **(known if host.unreachable is None else {}),
        "problems": host.problems(),
    }


def _zone_values(zone: ZoneReport, now: datetime) -> dict[str, Any]:
    return {
        "name": show(zone.name),
        "primary": zone.primary,
        "serial": zone.serial,
        "keys": _key_values(zone.keys),
        "ds": _ds_values(zone.ds),
        "first_expiry": zone.expires.isoformat() if zone.expires else None,
        "next_resign": zone.resign.isoformat() if zone.resign else None,
        "problems": zone.problems(now),
    }


def _key_values(keys: Sequence[Key]) -> list[dict[str, Any]]:
    return [{"tag": key.tag, "role": key.role, "algorithm": key.algorithm} for key in keys]


def _ds_values(records: Sequence[DelegationSigner]) -> list[dict[str, Any]]:
    return [
        {
            "tag": ds.tag,
            "algorithm": ds.algorithm,
            "digest_type": ds.digest_type,
            "digest": ds.digest,
            "matches": ds.matches,
        }
        for ds in records
    ]


def _table(console: Console, *headings: str) -> Table:
    table = Table(
        box=ROUNDED if console.is_terminal else None, pad_edge=console.is_terminal, header_style="bold"
    )
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table


def _print_table(console: Console, table: Table) -> None:
    if console.is_terminal:
        console.print(table)
        return
    with console.capture() as captured:
        console.print(table)
    for line in captured.get().splitlines():
        console.print(Text(line.rstrip()), soft_wrap=True)


def _conclusion(chain: Chain) -> str:
    if chain.held:
        return "every link holds"
    last = chain.links[-1]
    if last.state in (State.ABSENT, State.EMPTY) and last.validated:
        return "the chain holds, and proves that what was asked for is not there"
    return "the chain is broken"


def _line(chain: Chain, domain: dns.name.Name, console: Console) -> Text:
    line = Text()
    for number, link in enumerate(chain.links):
        line.append(_ascii(" → ", console) if number else "")
        glyph, style = _glyph(link.state, console)
        line.append(f"{glyph} ", style=style)
        line.append(f"{_short(link, domain)} ")
        line.append(link.state.value, style=style)
    return line


def _short(link: Link, domain: dns.name.Name) -> str:
    if link.kind is LinkKind.POINTER:
        return "pointer"
    return show(link.name if link.name == domain else link.name.relativize(domain))


def _state(link: Link, console: Console) -> Text:
    glyph, style = _glyph(link.state, console)
    return Text(f"{glyph} {'yes' if link.state is State.HELD else 'no: ' + link.state.value}", style=style)


def _verdict(problems: Sequence[str], console: Console) -> Text:
    glyph, style = _glyph(State.BOGUS if problems else State.HELD, console)
    return Text(f"{glyph} {'problem' if problems else 'fine'}", style=style)


def _glyph(state: State, console: Console) -> tuple[str, str]:
    glyph, plain, style = _GLYPHS.get(state, _BROKEN)
    return (plain if console.options.ascii_only else glyph), style


def _ascii(text: str, console: Console) -> str:
    return text.replace("→", "->").replace("…", "..") if console.options.ascii_only else text


def _keys(keys: Sequence[Key]) -> str:
    return ", ".join(f"{key.tag} ({key.role})" for key in keys) or "-"


def _ds(records: Sequence[DelegationSigner], console: Console) -> str:
    shown = (
        f"{ds.tag} {ds.digest_type} {ds.digest[:4]}…{ds.digest[-2:]} "
        + ("matches" if ds.matches else "no match")
        for ds in records
    )
    return _ascii("\n".join(shown), console) or "-"


def _host_cells(host: HostReport) -> tuple[str, str, str, str]:
    if host.unreachable is not None:
        return ("-", "not reachable", "-", "-")
    clock = f"{_offset(host)}, {_SYNCHRONIZED[host.synchronized]}"
    states = host.services or {}
    active = sum(state == "active" for state in states.values())
    others = (f"{service} {state}" for service, state in states.items() if state != "active")
    services = ", ".join([f"{active} active", *others])
    disks = ", ".join(f"{path} {use:.0f} %" for path, use in (host.disks or {}).items())
    return clock, services, disks, _duration(host.uptime)


_SYNCHRONIZED: Mapping[bool | None, str] = {True: "NTP", False: "no NTP", None: "NTP unknown"}


def _offset(host: HostReport) -> str:
    if abs(host.offset) <= host.offset_error:
        return f"within {abs(host.offset) + host.offset_error:.1f} s"
    return f"{host.offset:+.1f} s"


def _duration(seconds: float) -> str:
    minutes = int(seconds // 60)
    hours, days = minutes // 60, minutes // 1440
    return f"{days} d" if days >= 2 else f"{hours} h" if hours >= 2 else f"{minutes} min"


def _expiry(expires: datetime | None, now: datetime) -> str:
    if expires is None:
        return "-"
    return f"{expires:%Y-%m-%d %H:%M} UTC, {(expires - now).total_seconds() / 86400:.1f} d"
