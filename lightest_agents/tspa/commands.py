"""`lightest tspa`."""

import sys
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lightest_agents.command import CANNOT_RUN, EXIT_CODES, FINE, PROBLEM, JsonOption, print_json, sentences
from lightest_agents.tspa import DEFAULT_CONFIG

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from lightest_agents.tspa.client import TspaClient
    from lightest_agents.tspa.services.publishing import Report

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)

ConfigOption = Annotated[Path, typer.Option(help="The TSPA's configuration file.")]

ClaimArgument = Annotated[
    str, typer.Argument(metavar="CLAIM", help="A sensor, such as sensor1.germany.raspidemo.")
]
TokenFileOption = Annotated[
    Path, typer.Option("--token-file", help="The file with the manufacturer's token.", show_default=False)
]
UrlOption = Annotated[
    str, typer.Option("--url", help="The TSPA, such as https://tspa.raspidemo.", show_default=False)
]
ReasonOption = Annotated[str, typer.Option("--reason", help="Why, for the audit.", show_default=False)]
ResolverPortOption = Annotated[
    int, typer.Option(help="The port of the validating resolver on this host's loopback.")
]


class Presence(StrEnum):
    """Whether a supplier can be sent alarms."""

    AVAILABLE = "available"
    AWAY = "away"


@app.callback(epilog=EXIT_CODES)
def _tspa() -> None:
    """The Trust Scheme Publication Authority: publishes the manufacturers' signed trust lists.

    On the TSPA's host, as its user: run, migrate, sync, token, revoke, publish, heal, availability.
    From anywhere, with a manufacturer's token: register, withdraw, restore.
    """


@app.command(epilog=EXIT_CODES)
def run(config: ConfigOption = DEFAULT_CONFIG) -> None:
    """Serve the lists and the API until SIGTERM; finish and renew publications every minute."""
    with sentences():
        from lightest_agents.tspa.setup import set_up

        settings = set_up(config)
        from lightest_agents.tspa import server

        server.run(settings)


@app.command(epilog=EXIT_CODES)
def migrate(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """Make the database, or bring it up to date; says whether anything had to be done."""
    with sentences():
        from lightest_agents.tspa.setup import set_up

        set_up(config)
        from lightest_agents.tspa import migrating

        applied = migrating.migrate()
    if as_json:
        print_json({"changed": bool(applied), "applied": applied})
    else:
        typer.echo(f"changed: {', '.join(applied)}" if applied else "unchanged")


@app.command(epilog=EXIT_CODES)
def sync(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The registry, JSON.", show_default=False)],
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Take over the operator's registry: manufacturers, suppliers, scheme zones and sensors.

    What is no longer in it goes: a sensor counts as withdrawn and its records leave the scheme zone. The
    order of a sensor's suppliers is the registry's until the manufacturer has chosen one.

    Lists that have to say something else are published. Where a scheme zone does not answer they wait for
    the running TSPA, which tries again every minute.
    """
    with sentences():
        from lightest_agents.tspa.setup import set_up

        settings = set_up(config)
        from lightest_agents.tspa.registry_file import read_registry
        from lightest_agents.tspa.services import publishing, registry

        changes = registry.sync_registry(read_registry(file, settings.trust_domain), datetime.now(UTC))
        report = publishing.publish_outdated()
    if as_json:
        print_json(changes.to_json() | _report_values(report))
        return
    for kind, numbers in changes.counts().items():
        typer.echo(f"{kind}: {numbers.added} added, {numbers.changed} changed, {numbers.removed} removed")
    _print_report(report)


@app.command(epilog=EXIT_CODES)
def token(
    manufacturer: Annotated[str, typer.Argument(metavar="MANUFACTURER", help="A label of the registry.")],
    file: Annotated[Path, typer.Option("--file", help="Where the token is kept.", show_default=False)],
    days: Annotated[
        int | None,
        typer.Option(min=1, help="How long it is valid; by default until revoked.", show_default=False),
    ] = None,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Make a manufacturer's token for the API, unless the file has one that is valid.

    The token is written to the file, for its owner alone, and shown nowhere.
    """
    with sentences():
        from lightest_agents.tspa.setup import set_up

        set_up(config)
        from lightest_agents.tspa.client import read_token, write_token
        from lightest_agents.tspa.services import tokens

        now = datetime.now(UTC)
        changed = not tokens.is_valid(read_token(file), manufacturer, now)
        if changed:
            expires = None if days is None else now + timedelta(days=days)
            write_token(file, tokens.issue(manufacturer, now, expires=expires))
    _print_changed({"changed": changed, "file": str(file)}, as_json=as_json)


@app.command(epilog=EXIT_CODES)
def revoke(
    manufacturer: Annotated[str, typer.Argument(metavar="MANUFACTURER", help="A label of the registry.")],
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Make all tokens of a manufacturer worthless."""
    with sentences():
        from lightest_agents.tspa.setup import set_up

        set_up(config)
        from lightest_agents.tspa.services import tokens

        revoked = tokens.revoke_all(manufacturer, datetime.now(UTC))
    _print_changed({"changed": revoked > 0, "revoked": revoked}, as_json=as_json)


@app.command(epilog=EXIT_CODES)
def publish(
    claims: Annotated[
        list[str] | None, typer.Argument(metavar="CLAIM...", help="Sensors.", show_default=False)
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every sensor that has a certificate.")] = False,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Publish new lists now, even of sensors of which nothing has changed."""
    if bool(claims) == everything:
        typer.echo("lightest: name sensors, or give --all", err=True)
        raise typer.Exit(CANNOT_RUN)
    with sentences():
        from lightest_agents.tspa.setup import set_up

        set_up(config)
        from lightest_agents.tspa.services import publishing

        report = publishing.publish_all() if everything else publishing.publish(claims or [])
    _finish(report, as_json=as_json)


@app.command(epilog=EXIT_CODES)
def heal(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """Finish publications that were interrupted and renew lists that are due.

    The running TSPA does the same every minute.
    """
    with sentences():
        from lightest_agents.tspa.setup import set_up

        set_up(config)
        from lightest_agents.tspa.services import publishing

        report = publishing.heal()
    _finish(report, as_json=as_json)


@app.command(epilog=EXIT_CODES)
def availability(
    supplier: Annotated[str, typer.Argument(metavar="SUPPLIER", help="A label of the registry.")],
    presence: Annotated[Presence, typer.Argument(help="Whether it can be sent alarms.")],
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Say in all lists that name a supplier whether it can be sent alarms.

    \b
    lightest tspa availability supplier1 away
    """
    with sentences():
        from lightest_agents.tspa.setup import set_up

        set_up(config)
        from lightest_agents.tspa.services import publishing, sensors

        changed = sensors.set_availability(supplier, available=presence is Presence.AVAILABLE)
        report = publishing.publish_outdated()
    if as_json:
        print_json({"changed": changed} | _report_values(report))
    else:
        typer.echo("changed" if changed else "unchanged")
        _print_report(report)
    raise typer.Exit(PROBLEM if report.problems else FINE)


@app.command(epilog=EXIT_CODES)
def register(
    claim: ClaimArgument,
    certificate: Annotated[
        str, typer.Option("--certificate", help="The sensor's certificate, PEM; - reads it from the input.")
    ],
    token_file: TokenFileOption,
    url: UrlOption,
    suppliers: Annotated[
        str | None,
        typer.Option(help="Its suppliers by label, the preferred one first: a,b.", show_default=False),
    ] = None,
    resolver_port: ResolverPortOption = 53,
    as_json: JsonOption = False,
) -> None:
    """Register a sensor's certificate, which publishes its list; says whether anything changed.

    The TSPA is believed only if the DNS vouches for its certificate, by the validating resolver on this host.

    \b
    lightest tspa register sensor1.germany.raspidemo --certificate sensor.crt \\
        --token-file acme.token --url https://tspa.raspidemo
    """

    async def call(client: "TspaClient") -> dict[str, Any]:
        return await client.register(claim, pem, None if suppliers is None else suppliers.split(","))

    with sentences():
        pem = _read_input(certificate)
        answer = _call(call, url, token_file, resolver_port)
    _print_changed(answer, as_json=as_json)


@app.command(epilog=EXIT_CODES)
def withdraw(
    claim: ClaimArgument,
    reason: ReasonOption,
    token_file: TokenFileOption,
    url: UrlOption,
    resolver_port: ResolverPortOption = 53,
    as_json: JsonOption = False,
) -> None:
    """Say in a sensor's list that it is not to be believed any more."""
    _set_status("withdraw", claim, reason, token_file, url, resolver_port, as_json=as_json)


@app.command(epilog=EXIT_CODES)
def restore(
    claim: ClaimArgument,
    reason: ReasonOption,
    token_file: TokenFileOption,
    url: UrlOption,
    resolver_port: ResolverPortOption = 53,
    as_json: JsonOption = False,
) -> None:
    """Undo `withdraw`."""
    _set_status("restore", claim, reason, token_file, url, resolver_port, as_json=as_json)


def _set_status(
    action: str, claim: str, reason: str, token_file: Path, url: str, resolver_port: int, *, as_json: bool
) -> None:
    async def call(client: "TspaClient") -> dict[str, Any]:
        return await client.set_status(claim, action, reason)

    with sentences():
        answer = _call(call, url, token_file, resolver_port)
    _print_changed(answer, as_json=as_json)


def _call(
    call: "Callable[[TspaClient], Awaitable[dict[str, Any]]]", url: str, token_file: Path, resolver_port: int
) -> dict[str, Any]:
    """The answer to one call of the API.

    Raises:
        ApiError: there is no token, or the TSPA refuses or cannot be reached.
    """
    import asyncio

    from lightest_agents.dns.lookups import Resolver
    from lightest_agents.tspa.client import TspaClient, read_token
    from lightest_agents.tspa.errors import ApiError

    secret = read_token(token_file)
    if not secret:
        raise ApiError(f"{token_file}: there is no token; `lightest tspa token` on the TSPA's host makes one")

    async def answer() -> dict[str, Any]:
        resolver = Resolver(port=resolver_port)
        try:
            return await call(TspaClient(url.rstrip("/"), secret, resolver))
        finally:
            await resolver.close()

    return asyncio.run(answer())


def _read_input(name: str) -> bytes:
    from lightest_agents.tspa.errors import ApiError

    try:
        return sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
    except OSError as error:
        raise ApiError(f"{name}: cannot be read: {error.strerror}") from error


def _print_changed(values: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(values)
    else:
        typer.echo("changed" if values["changed"] else "unchanged")


def _report_values(report: "Report") -> dict[str, object]:
    return {"published": report.published, "problems": list(report.problems)}


def _print_report(report: "Report") -> None:
    typer.echo(f"published: {report.published}")
    for problem in report.problems:
        typer.echo(f"waiting: {problem}")


def _finish(report: "Report", *, as_json: bool) -> None:
    if as_json:
        print_json(_report_values(report))
    else:
        _print_report(report)
    raise typer.Exit(PROBLEM if report.problems else FINE)
