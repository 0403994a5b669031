"""`lightest sensor`."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lightest_agents.command import EXIT_CODES, FINE, PROBLEM, JsonOption, print_json, sentences

if TYPE_CHECKING:
    from lightest_agents.sensor.outbox import Fault
    from lightest_agents.sensor.settings import SensorSettings

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)

_CONFIG = typer.Option(
    "--config",
    metavar="FILE",
    help="The sensor's settings; by default the only /etc/lightest/sensor-*.toml.",
    show_default=False,
)
ConfigOption = Annotated[Path | None, _CONFIG]


@app.callback()
def _sensor() -> None:
    """The sensor's agent: measures, signs a fault and delivers it to the verifier.

    A temperature that reaches the threshold is one fault, until it has become colder again by the hysteresis.
    A fault is signed with the sensor's own key, written into the outbox, and sent until the verifier has it.
    """


@app.command(epilog=EXIT_CODES)
def run(config: ConfigOption = None) -> None:
    """Measure and deliver until stopped; systemd starts this as lightest-sensor@CLAIM.service.

    \b
    lightest sensor run --config /etc/lightest/sensor-sensor1.germany.raspidemo.toml
    """
    with sentences():
        from lightest_agents.sensor import agent
        from lightest_agents.sensor.settings import load_sensor
        from lightest_agents.service.logs import configure_logging

        settings = load_sensor(config)
        configure_logging()
        asyncio.run(agent.run(settings))


@app.command(epilog=EXIT_CODES)
def enrol(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Make the sensor's key, once, and print its certificate.

    The key is made here and never leaves this host. The certificate, for the sensor's claim, is what its
    manufacturer publishes in the trust list. A second run prints the same certificate and changes nothing.

    \b
    lightest sensor enrol > sensor1.pem
    lightest sensor enrol --json | jq -r .certificate
    """
    with sentences():
        from lightest_agents.sensor import enrolment
        from lightest_agents.sensor.settings import load_sensor

        settings = load_sensor(config)
        found = enrolment.enrol(settings.state, settings.claim_text)
        if as_json:
            print_json(
                {"claim": settings.claim_text, "certificate": found.certificate, "changed": found.changed}
            )
        else:
            typer.echo(found.certificate, nl=False)


@app.command(epilog=EXIT_CODES)
def heat(
    celsius: Annotated[
        float, typer.Argument(min=-273.15, max=2000, help="What the thermometer is to say, in °C.")
    ],
    seconds: Annotated[
        float, typer.Option("--for", min=0.1, max=86400, metavar="SECONDS", help="How long it says so.")
    ] = 10,
    wait: Annotated[
        float | None,
        typer.Option(
            "--wait",
            min=0.1,
            metavar="SECONDS",
            help="Wait at most so long until the verifier has the fault, and print its id.",
            show_default=False,
        ),
    ] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a simulated sensor hot for a while.

    Afterwards it goes back to its own curve, so that it can be heated again. With --wait a problem is: the
    fault of before is not over, no fault was raised, or it was not delivered in time.

    \b
    lightest sensor heat 27.5
    lightest sensor heat 27.5 --for 30 --wait 60
    lightest sensor heat 27.5 --wait 60 --json | jq -r .id
    """
    with sentences():
        from lightest_agents.sensor import heating
        from lightest_agents.sensor.settings import load_sensor

        settings = load_sensor(config)
        if wait is None:
            heating.heat(settings, celsius, seconds)
            values: dict[str, Any] = {"celsius": celsius, "seconds": seconds}
            line, problem = f"{settings.claim_text} is at {celsius:g} °C for {seconds:g} s", ""
        else:
            found = heating.heat_and_wait(settings, celsius, seconds, wait)
            problem = found.problem
            values = _fault_values(found.fault) | {"problem": problem or None}
            line = values["id"]
    if as_json:
        print_json(values)
    else:
        typer.echo(problem or line, err=bool(problem))
    raise typer.Exit(PROBLEM if problem else FINE)


@app.command(epilog=EXIT_CODES)
def status(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Show the temperature and the outbox.

    A problem is: the thermometer cannot be read, or a fault waits for the verifier.

    \b
    lightest sensor status
    lightest sensor status --json | jq .celsius
    """
    with sentences():
        from lightest_agents.sensor.outbox import FaultState, Outbox
        from lightest_agents.sensor.settings import load_sensor

        settings = load_sensor(config)
        celsius, problem = _measure_once(settings)
        with Outbox(settings.outbox, read_only=True) as outbox:
            counts, armed, last = outbox.counts(), outbox.armed, outbox.last()
        values = {
            "claim": settings.claim_text,
            "celsius": celsius,
            "problem": problem,
            "threshold": settings.threshold,
            "armed": armed,
            "outbox": {str(state): count for state, count in counts.items()},
            "last": None if last is None else _fault_values(last),
        }
        if as_json:
            print_json(values)
        else:
            _print_status(values)
    raise typer.Exit(PROBLEM if problem or counts[FaultState.WAITING] else FINE)


def _measure_once(settings: "SensorSettings") -> tuple[float | None, str | None]:
    """The temperature, or why there is none."""
    from lightest_agents.sensor.errors import ThermometerError
    from lightest_agents.sensor.thermometers import make_thermometer

    try:
        return asyncio.run(make_thermometer(settings).read()), None
    except ThermometerError as error:
        return None, str(error)


def _fault_values(fault: "Fault | None") -> dict[str, Any]:
    if fault is None:
        return {"seq": None, "raised": None, "state": None, "id": None, "reason": None}
    return {
        "seq": fault.seq,
        "raised": fault.raised,
        "state": str(fault.state),
        "id": fault.answer if fault.state == "delivered" else None,
        "reason": fault.answer if fault.state == "refused" else None,
    }


def _print_status(values: dict[str, Any]) -> None:
    from datetime import datetime

    temperature = values["problem"] or f"{values['celsius']:.2f} °C"
    state = "armed" if values["armed"] else "released: the last fault is not over"
    lines = [
        values["claim"],
        f"temperature  {temperature}",
        f"threshold    {values['threshold']:g} °C, {state}",
        "outbox       " + ", ".join(f"{count} {name}" for name, count in values["outbox"].items()),
    ]
    if (last := values["last"]) is not None:
        raised = datetime.fromtimestamp(last["raised"]).astimezone().strftime("%Y-%m-%d %H:%M:%S")
        answer = last["id"] or last["reason"] or ""
        lines.append(f"last fault   {last['seq']} of {raised}, {last['state']} {answer}".rstrip())
    typer.echo("\n".join(lines))
