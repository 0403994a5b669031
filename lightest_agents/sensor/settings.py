"""The settings of one sensor: `sensor-<claim>.toml`."""

from pathlib import Path
from typing import Annotated, Literal, Self

import dns.name
from pydantic import AfterValidator, Field, model_validator

from lightest_agents.errors import LightestError, NameRefusedError
from lightest_agents.service.config import (
    ConfigError,
    DomainText,
    LabelText,
    PortNumber,
    Seconds,
    Settings,
    load_config,
)
from lightest_agents.trust.names import SCHEME_LABEL, CountryNames, trust_domain
from lightest_agents.trust.urls import parse_https_url

FOLDER = Path("/etc/lightest")


def _origin(text: str) -> str:
    try:
        if parse_https_url(text).target == "/":
            return text.removesuffix("/")
    except LightestError as error:
        raise ValueError(str(error)) from error
    raise ValueError(f"{text!r} must end after the name and port, as https://verifier.raspidemo:8443 does")


Celsius = Annotated[float, Field(ge=-273.15, le=2000, description="a temperature in °C, such as 25.0")]
Folder = Annotated[Path, Field(description='the path of a folder, such as "/var/lib/lightest-sensor/x"')]


class Ds18b20Settings(Settings):
    """A DS18B20 on the 1-wire bus.

    Attributes:
        device: its id; None means the only one on the bus.
        folder: where the kernel shows the bus.
    """

    driver: Literal["ds18b20"]
    device: Annotated[
        str | None,
        Field(pattern=r"^28-[0-9a-f]{12}$", description='the id of a DS18B20, such as "28-0316a2795c1d"'),
    ] = None
    folder: Folder = Path("/sys/bus/w1/devices")


class SimulatedSettings(Settings):
    """A smooth curve around `celsius`, which `lightest sensor heat` overrides for a while."""

    driver: Literal["simulated"]
    celsius: Celsius = 21.0


class FileSettings(Settings):
    """A file that holds one number, in °C."""

    driver: Literal["file"]
    path: Annotated[Path, Field(description='the path of a file, such as "/run/temperature"')]


class CommandSettings(Settings):
    """A program that prints one number, in °C.

    Attributes:
        argv: the program with its arguments; no shell reads them.
        timeout: seconds after which it is ended.
    """

    driver: Literal["command"]
    argv: Annotated[
        tuple[str, ...], Field(min_length=1, description='a list of texts, such as ["/usr/bin/sensor", "-c"]')
    ]
    timeout: Seconds = 10.0


class SensorSettings(Settings):
    """One sensor.

    Attributes:
        domain: the trust domain, without the final dot.
        location: the label of the sensor's country.
        name: the label of the sensor.
        verifier: where faults are sent, without a path.
        state: the folder of the key and the outbox.
        threshold: °C from which on there is a fault.
        hysteresis: °C below the threshold at which the next fault becomes possible.
        interval: seconds between two measurements.
        retry_first: seconds until a fault is sent again, at most; doubled each time.
        retry_cap: the most that they are doubled to.
        resolver: the address of the validating resolver, on loopback.
    """

    domain: DomainText
    location: LabelText
    name: LabelText
    verifier: Annotated[
        str,
        AfterValidator(_origin),
        Field(description='the address of the verifier, such as "https://verifier.raspidemo:8443"'),
    ]
    state: Folder
    threshold: Celsius = 25.0
    hysteresis: Annotated[
        float, Field(gt=0, le=100, description="a difference in °C above 0, such as 0.5")
    ] = 0.5
    interval: Annotated[
        float, Field(ge=0.05, le=3600, description="a number of seconds from 0.05 to 3600")
    ] = 1.0
    retry_first: Seconds = 1.0
    retry_cap: Seconds = 300.0
    resolver: str = "127.0.0.1"
    resolver_port: PortNumber = 53
    thermometer: Annotated[
        Ds18b20Settings | SimulatedSettings | FileSettings | CommandSettings, Field(discriminator="driver")
    ]

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.name == SCHEME_LABEL:
            raise ValueError(f"name: {self.name!r} is the label of scheme zones; no sensor may have it")
        if self.retry_first > self.retry_cap:
            raise ValueError(f"retry_first ({self.retry_first:g} s) must not exceed retry_cap")
        try:
            _ = self.claim
        except NameRefusedError as error:
            raise ValueError(str(error)) from error
        return self

    @property
    def claim(self) -> dns.name.Name:
        """`sensor1.germany.raspidemo.`"""
        return CountryNames.under(trust_domain(self.domain), self.location).claim(self.name)

    @property
    def claim_text(self) -> str:
        """The claim without the final dot, as certificates and people write it."""
        return self.claim.to_text(omit_final_dot=True)

    @property
    def outbox(self) -> Path:
        """The file of the outbox."""
        return self.state / "outbox.sqlite3"

    @property
    def override(self) -> Path:
        """The file by which `lightest sensor heat` speaks to a simulated thermometer."""
        return self.state / "heat.json"


def load_sensor(path: Path | None, folder: Path = FOLDER) -> SensorSettings:
    """The settings in `path`, or in the only `sensor-*.toml` of `folder`.

    Raises:
        ConfigError: there is no such file or more than one, or it has mistakes.
    """
    if path is None:
        found = sorted(folder.glob("sensor-*.toml"))
        if len(found) != 1:
            several = ", ".join(str(file) for file in found)
            raise ConfigError(
                f"there are several sensors here; choose one of these with --config: {several}"
                if found
                else f"there is no {folder}/sensor-*.toml; give the file with --config"
            )
        path = found[0]
    return load_config(path, SensorSettings)
