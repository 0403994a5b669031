"""`lightest verifier` and `lightest verify`."""

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lightest_agents.command import EXIT_CODES, FINE, PROBLEM, JsonOption, print_json, sentences

if TYPE_CHECKING:
    from lightest_agents.trust.notification import SignedNotification
    from lightest_agents.trust.verdict import Refusal
    from lightest_agents.verifier.settings import VerifierSettings
    from lightest_agents.verifier.store import Fault
    from lightest_agents.verifier.walk import Walked

_CONFIG = Path("/etc/lightest/verifier.toml")
_LOOK_EVERY = 0.1
_CONCLUSIONS = {
    None: "links 1 to 6 hold; nobody was notified",
    "rejected": "rejected",
    "deferred": "deferred: no authentic answer could be had now; try again later",
}

ConfigOption = Annotated[Path, typer.Option("--config", metavar="FILE", help="The verifier's settings.")]

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def _verifier() -> None:
    """The verifier's agent: walks the chain of trust for each fault and notifies the supplier.

    Each fault ends as one of: accepted (all seven links held), rejected (authentic data say no, with the link
    and a reason code), deferred (no authentic answer could be had; tried again and never lost).
    """


@app.command(epilog=EXIT_CODES)
def run(config: ConfigOption = _CONFIG) -> None:
    """Serve until stopped; systemd starts this as lightest-verifier.service.

    Sensors POST their faults to /v1/faults; /v1/faults/ID shows the seven links of one. /healthz and /readyz
    are for monitoring.

    \b
    lightest verifier run --config /etc/lightest/verifier.toml
    """
    with sentences():
        from lightest_agents.service.logs import configure_logging
        from lightest_agents.verifier import service

        settings = _settings(config)
        configure_logging()
        asyncio.run(service.run(settings))


@app.command(epilog=EXIT_CODES)
def trace(
    fault: Annotated[str, typer.Argument(metavar="ID", help="The fault's id, as the sensor was told it.")],
    wait: Annotated[
        float, typer.Option("--wait", min=0, metavar="SECONDS", help="Wait this long for the verdict.")
    ] = 0.0,
    config: ConfigOption = _CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Show the seven links of a fault, with the time that each took and the reason of one that did not hold.

    Signs: ● held, ○ broken, ◌ waiting, · not reached. A problem is: it is not accepted.

    \b
    lightest verifier trace 5e884898da28047151d0e56f8dc62927
    lightest verifier trace 5e884898da28047151d0e56f8dc62927 --wait 30 --json | jq -r .status
    """
    with sentences():
        from lightest_agents.verifier.render import make_console, print_trace, print_verdict
        from lightest_agents.verifier.store import State
        from lightest_agents.verifier.views import fault_json, trace_of

        found = _find(_settings(config).state, fault, wait)
        if found is None:
            typer.echo(f"lightest: there is no fault {fault}; see `lightest verifier faults`", err=True)
            raise typer.Exit(PROBLEM)
        if as_json:
            print_json(fault_json(found))
        else:
            console = make_console()
            print_trace(console, trace_of(found))
            print_verdict(console, found)
        accepted = found.state is State.ACCEPTED
    raise typer.Exit(FINE if accepted else PROBLEM)


@app.command(epilog=EXIT_CODES)
def faults(
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="How many of the last ones.")] = 20,
    config: ConfigOption = _CONFIG,
    as_json: JsonOption = False,
) -> None:
    """List the faults received last, newest first.

    \b
    lightest verifier faults
    lightest verifier faults --json | jq -r '.[] | select(.status == "deferred") | .id'
    """
    with sentences():
        from lightest_agents.verifier.database import reading
        from lightest_agents.verifier.render import make_console, print_faults
        from lightest_agents.verifier.store import FILE_NAME, recent_faults
        from lightest_agents.verifier.views import fault_json

        with reading(_settings(config).state / FILE_NAME) as connection:
            found = recent_faults(connection, limit)
        if as_json:
            print_json([fault_json(fault) for fault in found])
        elif found:
            print_faults(make_console(), found)
        else:
            typer.echo("no faults yet")


def verify(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A signed fault notification; - for standard input.")
    ],
    config: ConfigOption = _CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Walk the chain of trust once for the notification in FILE: links 1 to 6, as the service does.

    Nothing is kept and nobody is notified: the seventh link is not reached. Only the service knows whether a
    notification is a replay, and whether it has seen a newer trust list.

    Signs: ● held, ○ broken, ◌ no authentic answer now, · not reached. Exit codes: 0 links 1 to 6 held,
    1 one did not, 2 the command could not run or was used wrongly.

    \b
    lightest verify fault.jws
    """
    with sentences():
        from lightest_agents.trust.notification import parse
        from lightest_agents.trust.verdict import Refusal
        from lightest_agents.verifier.progress import Progress
        from lightest_agents.verifier.render import make_console, print_trace
        from lightest_agents.verifier.walk import Walked

        settings = _settings(config)
        signed = parse(_read(file))
        if isinstance(signed, Refusal):
            walked = Walked(Progress(), signed)
        else:
            walked = asyncio.run(_walk_once(settings, signed))
        refusal = walked.end if isinstance(walked.end, Refusal) else None
        links = walked.progress.trace(refusal)
        if as_json:
            print_json({"held": refusal is None, **_refusal_values(refusal), "trace": links.to_json()})
        else:
            console = make_console()
            print_trace(console, links)
            console.print(_CONCLUSIONS[None if refusal is None else refusal.outcome.value])
    raise typer.Exit(FINE if refusal is None else PROBLEM)


def _settings(config: Path) -> "VerifierSettings":
    from lightest_agents.service.config import load_config
    from lightest_agents.verifier.settings import VerifierSettings

    return load_config(config, VerifierSettings)


def _find(state: Path, name: str, wait: float) -> "Fault | None":
    """A fault, once it has its verdict or the time is over; one that has yet to arrive is waited for, too."""
    import time

    from lightest_agents.verifier.database import reading
    from lightest_agents.verifier.store import FILE_NAME, find_fault
    from lightest_agents.verifier.views import is_decided

    deadline = time.monotonic() + wait
    with reading(state / FILE_NAME) as connection:
        while True:
            fault = find_fault(connection, name)
            left = deadline - time.monotonic()
            if left <= 0 or (fault is not None and is_decided(fault)):
                return fault
            time.sleep(min(_LOOK_EVERY, left))


def _read(file: Path) -> bytes:
    """The file's bytes, without the line end that an editor or `echo` puts behind them."""
    from lightest_agents.service.config import ConfigError
    from lightest_agents.trust.notification import MAX_BYTES

    try:
        if str(file) == "-":
            return sys.stdin.buffer.read(MAX_BYTES + 2).rstrip(b"\r\n")
        with file.open("rb") as stream:
            return stream.read(MAX_BYTES + 2).rstrip(b"\r\n")
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {error.strerror}") from error


async def _walk_once(settings: "VerifierSettings", signed: "SignedNotification") -> "Walked":
    import time

    from lightest_agents.verifier.lists import NoSequences
    from lightest_agents.verifier.service import connections, make_claims, make_walk, read_roots

    roots = read_roots(settings.roots)
    async with connections(settings, roots) as (resolver, client):
        walk = make_walk(settings, resolver, client, roots, NoSequences(), make_claims(settings))
        return await walk.follow(signed, time.time())


def _refusal_values(refusal: "Refusal | None") -> dict[str, object]:
    if refusal is None:
        return {"outcome": None, "reason": None, "meaning": None, "detail": None}
    return {
        "outcome": refusal.outcome.value,
        "reason": refusal.reason.value,
        "meaning": refusal.reason.meaning,
        "detail": refusal.detail,
    }
