"""The command `lightest`."""

import io
import sys
from pathlib import Path
from typing import Annotated

import typer

from lightest_agents.command import (
    CANNOT_RUN,
    EXIT_CODES,
    FINE,
    PROBLEM,
    JsonOption,
    print_json,
    sentences,
)
from lightest_agents.sensor import commands as sensor
from lightest_agents.supplier import commands as supplier
from lightest_agents.tspa import commands as tspa
from lightest_agents.verifier import commands as verifier

_INVENTORY = typer.Option(
    "--inventory",
    "-i",
    help="Inventory folder or file; by default the one that ansible.cfg in this folder names.",
    show_default=False,
)

InventoryOption = Annotated[Path | None, _INVENTORY]

app = typer.Typer(
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None
)
cluster = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
app.add_typer(cluster, name="cluster")
app.add_typer(sensor.app, name="sensor")
app.add_typer(tspa.app, name="tspa")
app.add_typer(verifier.app, name="verifier")
app.add_typer(supplier.app, name="supplier")
app.command(name="verify")(verifier.verify)


@app.callback()
def _lightest() -> None:
    """Trust infrastructure on DNS for industrial sensors."""


@cluster.callback(epilog=EXIT_CODES)
def _cluster() -> None:
    """Look after a running cluster over SSH, from its Ansible inventory.

    Hosts are reached as Ansible reaches them; one whose host key is not known is refused.
    """


@cluster.command(epilog=EXIT_CODES)
def status(inventory: InventoryOption = None, as_json: JsonOption = False) -> None:
    """Show the health of every host and every zone.

    Hosts: reachable, clock against this machine's, services of their groups, failed units, disk use.
    Zones: serial, keys, whether the DS in the parent (for the trust domain: the resolvers' trust anchor)
    matches, and when the first signature expires.

    A problem is: a host that cannot be reached, a service that is down, a zone that is not served or not
    chained, a signature with less than 3 days to live, a clock more than 2 s off, a disk more than 90 % full.

    \b
    lightest cluster status
    lightest cluster status --json | jq -r '.problems[]'
    """
    with sentences("operator"):
        from lightest_agents.cluster import commands, render

        found = commands.status(commands.load(inventory))
        if as_json:
            print_json(render.status_values(found))
        else:
            render.print_status(render.make_console(), found)
    raise typer.Exit(PROBLEM if found.problems() else FINE)


@cluster.command(epilog=EXIT_CODES)
def chain(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="A claim, a zone or a host's name in the trust domain.")
    ],
    source: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="HOST",
            help="Ask the resolver on this host; by default on the first verifier, else the first resolver.",
            show_default=False,
        ),
    ] = None,
    inventory: InventoryOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the validated DNSSEC chain down to NAME.

    Asks the validating resolver of another host, on that host's own loopback inside SSH. For a claim the
    chain leads from the trust domain over the country zone and the claim's pointer to the scheme zone; each
    zone's keys are hashed and compared with the DS in its parent, the trust domain's with the trust anchor
    which that host uses.

    Signs: ● held, ○ broken, ◌ no answer; the reason of a broken link is given below.

    \b
    lightest cluster chain sensor1.germany.raspidemo
    lightest cluster chain tspa.raspidemo --from sensor1
    """
    with sentences("operator"):
        from lightest_agents.cluster import commands, render

        found = commands.chain(commands.load(inventory), name, source)
        if as_json:
            print_json(render.chain_values(found))
        else:
            render.print_chain(render.make_console(), found)
    raise typer.Exit(FINE if found.held else PROBLEM)


@cluster.command(epilog=EXIT_CODES)
def logs(
    host: Annotated[str, typer.Argument(metavar="HOST", help="A host of the inventory.")],
    unit: Annotated[
        list[str] | None,
        typer.Option(
            "--unit",
            "-u",
            help="Only this systemd unit; may be repeated. By default the services of its groups.",
        ),
    ] = None,
    lines: Annotated[int, typer.Option("--lines", "-n", min=1, help="How many of the last lines.")] = 50,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until Ctrl-C.")] = False,
    inventory: InventoryOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the journal of HOST's services.

    With --json, one JSON object a line, as journalctl writes them.

    \b
    lightest cluster logs germany
    lightest cluster logs verifier --unit unbound -n 200 -f
    """
    with sentences("operator"):
        from lightest_agents.cluster import commands

        code = commands.logs(
            commands.load(inventory), host, unit or [], lines=lines, follow=follow, as_json=as_json
        )
    raise typer.Exit(FINE if code == 0 else CANNOT_RUN)


@app.command(epilog=EXIT_CODES)
def identity(
    folder: Annotated[Path, typer.Argument(help="The state folder of an agent.", show_default=False)],
    name: Annotated[
        str | None,
        typer.Option(help="Make what is missing for the service of this DNS name.", show_default=False),
    ] = None,
    signer: Annotated[bool, typer.Option("--signer", help="With a signing key, too.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show what the DNS has to say about an agent's keys; with --name, make the keys that are missing.

    tls: for the TLSA record of the service, the key in use and the next one.
    signer: for the SMIMEA record of what the agent signs.

    \b
    lightest identity /var/lib/lightest-verifier
    """
    with sentences():
        from lightest_agents.service.identity import make_identity, read_digests

        changed = name is not None and make_identity(folder, name, signer=signer)
        digests = read_digests(folder)
    if as_json:
        print_json({"changed": changed, "tls": list(digests.tls), "signer": digests.signer})
        return
    for rdata in digests.tls:
        typer.echo(f"tls     {rdata}")
    if digests.signer is not None:
        typer.echo(f"signer  {digests.signer}")


def main() -> None:
    """Run the command line."""
    # A terminal that lacks a character gets a question mark rather than a traceback.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    app(prog_name="lightest")
