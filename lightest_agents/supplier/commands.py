"""`lightest supplier`."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lightest_agents.command import EXIT_CODES, JsonOption, print_json, sentences

if TYPE_CHECKING:
    from lightest_agents.supplier.settings import SupplierSettings

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)

ConfigOption = Annotated[Path, typer.Option("--config", metavar="FILE", help="The supplier's settings.")]

_CONFIG = Path("/etc/lightest/supplier.toml")
_PLAIN_WIDTH = 200


@app.callback()
def _supplier() -> None:
    """The supplier's agent: takes alarms from the verifier and blinks the lamp.

    An alarm is taken when one of the verifiers in the settings has signed it, whose key the DNS names. The
    lamp blinks until every alarm is acknowledged: by the button, on the page or here.
    """


@app.command(epilog=EXIT_CODES)
def run(config: ConfigOption = _CONFIG) -> None:
    """Serve until stopped; systemd starts this as lightest-supplier.service.

    \b
    lightest supplier run --config /etc/lightest/supplier.toml
    """
    with sentences():
        from lightest_agents.service.logs import configure_logging
        from lightest_agents.supplier import service

        settings = _settings(config)
        configure_logging()
        asyncio.run(service.run(settings))


@app.command(epilog=EXIT_CODES)
def lamp(config: ConfigOption = _CONFIG, as_json: JsonOption = False) -> None:
    """Show what the running service's lamp does.

    `lit` is what its pin was at this moment, `blinking` whether it goes on and off.

    \b
    lightest supplier lamp
    lightest supplier lamp --json | jq .blinking
    """
    with sentences():
        state = _ask(config, "GET", "/lamp")
        if as_json:
            print_json(state)
            return
        count = state["unacknowledged"]
        if not state["working"]:
            typer.echo("the lamp's pin cannot be switched; see `journalctl -u lightest-supplier`")
        elif state["blinking"]:
            typer.echo(f"blinking: {count} alarm{'s' * (count > 1)} to acknowledge")
        else:
            typer.echo("dark: no open alarm")


@app.command(epilog=EXIT_CODES)
def alarms(
    limit: Annotated[int, typer.Option("--limit", "-n", min=0, help="How many acknowledged ones.")] = 20,
    config: ConfigOption = _CONFIG,
    as_json: JsonOption = False,
) -> None:
    """List the open alarms, then those acknowledged last; newest first.

    \b
    lightest supplier alarms
    lightest supplier alarms --json | jq -r '.[] | select(.acknowledged == null) | .fault_id'
    """
    with sentences():
        found = _ask(config, "GET", "/alarms", acknowledged=str(limit))
        if as_json:
            print_json(found)
        elif found:
            _print_alarms(found)
        else:
            typer.echo("no alarms yet")


@app.command(epilog=EXIT_CODES)
def acknowledge(
    fault_id: Annotated[
        str | None,
        typer.Argument(metavar="[ID]", help="A fault's id; by default all open ones.", show_default=False),
    ] = None,
    config: ConfigOption = _CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Acknowledge one alarm, or all that are open; the lamp is dark when none is left.

    \b
    lightest supplier acknowledge
    lightest supplier acknowledge 5e884898da28047151d0e56f8dc62927
    """
    with sentences():
        query = {} if fault_id is None else {"fault_id": fault_id}
        done = _ask(config, "POST", "/acknowledge", **query)
        if as_json:
            print_json({"acknowledged": done})
        elif done:
            typer.echo("\n".join(f"acknowledged {name}" for name in done))
        else:
            typer.echo(
                "nothing to acknowledge" if fault_id is None else f"{fault_id} was acknowledged before"
            )


def _settings(config: Path) -> "SupplierSettings":
    from lightest_agents.service.config import load_config
    from lightest_agents.supplier.settings import SupplierSettings

    return load_config(config, SupplierSettings)


def _ask(config: Path, method: str, path: str, **query: str) -> Any:
    from lightest_agents.supplier.control import ask

    return asyncio.run(ask(_settings(config).state, method, path, **query))


def _print_alarms(alarms: list[dict[str, Any]]) -> None:
    from datetime import datetime

    from rich.console import Console
    from rich.table import Table

    def moment(seconds: float) -> str:
        return datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M:%S")

    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=_PLAIN_WIDTH, no_color=True)
    columns = ("Fault", "Sensor", "What", "Measured", "Raised", "Acknowledged")
    table = Table(*columns, box=None, pad_edge=False)
    for alarm in alarms:
        first = alarm["measurement"][0]
        done = alarm["acknowledged"]
        table.add_row(
            alarm["fault_id"],
            alarm["claim"],
            alarm["fault"],
            f"{first['value']:g} {first['unit']}",
            moment(alarm["raised"]),
            f"{moment(done)} ({alarm['acknowledged_by']})" if done else "open",
        )
    console.print(table)
