"""What all sub-commands of `lightest` have in common."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from lightest_agents.errors import LightestError

FINE, PROBLEM, CANNOT_RUN = 0, 1, 2

EXIT_CODES = (
    """Exit codes: 0 all is well, 1 a problem was found, 2 the command could not run or was used wrongly."""
)

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]


@contextmanager
def sentences(extra: str = "agents") -> Iterator[None]:
    """Errors on purpose, and packages that are not installed, as a sentence and exit code 2.

    Args:
        extra: the extra of the package `lightest-agents` that brings what the command needs.
    """
    try:
        yield
    except LightestError as error:
        typer.echo(f"lightest: {error}", err=True)
        raise typer.Exit(CANNOT_RUN) from error
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("lightest_agents"):
            raise
        typer.echo(
            f"lightest: {error.name} is not installed; install what this command needs with "
            f"`pip install 'lightest-agents[{extra}]'`",
            err=True,
        )
        raise typer.Exit(CANNOT_RUN) from error


def print_json(values: object) -> None:
    """Print `values` as indented JSON."""
    json.dump(values, sys.stdout, indent=2, ensure_ascii=False)
    sys.stdout.write("\n")
