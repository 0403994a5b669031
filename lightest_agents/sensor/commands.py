"""`lightest sensor`."""

import typer

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def _sensor() -> None:
    """The sensor's agent: measures, signs a fault and delivers it to the verifier."""
