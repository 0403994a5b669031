"""`lightest tspa`."""

import typer

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def _tspa() -> None:
    """The Trust Scheme Publication Authority: publishes the manufacturers' signed trust lists."""
