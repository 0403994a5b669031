"""`lightest verifier`."""

from pathlib import Path

import typer

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def _verifier() -> None:
    """The verifier's agent: walks the chain of trust for each fault and notifies the supplier."""


def verify(file: Path) -> None:
    """Walk the chain of trust once for the notification in FILE."""
