"""`lightest supplier`."""

import typer

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def _supplier() -> None:
    """The supplier's agent: takes alarms from the verifier and blinks the lamp."""
