"""What `/etc/lightest/tspa.toml` says."""

import os
from pathlib import Path
from typing import Annotated

import dns.name
from pydantic import Field, StringConstraints

from lightest_agents.service.config import DomainText, PortNumber, Settings, load_config
from lightest_agents.trust import names
from lightest_agents.tspa import DEFAULT_CONFIG

CONFIG_VARIABLE = "LIGHTEST_TSPA_CONFIG"
"""The environment variable by which a process of the TSPA finds the configuration file."""

_HTTPS = 443


class TspaConfig(Settings):
    """The operator's settings of one TSPA.

    Attributes:
        domain: the trust domain, such as `raspidemo`.
        name: the TSPA's own DNS name, without the final dot.
        state: the folder of the database, of the TLS key and of the list signer's key.
        operator: the scheme operator's name, as every list shows it.
        territory: where the scheme operator is established, ISO 3166-1 alpha-2.
        addresses: the one address to listen on; `::` takes IPv4, too.
        port: the TCP port, which is part of every list's URI unless it is 443.
        list_hours: how long a list is valid; it is renewed after half of that.
    """

    domain: DomainText
    name: DomainText
    state: Annotated[Path, Field(description="the path of a folder")]
    operator: Annotated[
        str,
        StringConstraints(pattern=r"^[^\s\x00-\x1f]([^\x00-\x1f]{0,198}[^\s\x00-\x1f])?$"),
        Field(description="the scheme operator's name, 1 to 200 characters on one line"),
    ]
    territory: Annotated[
        str, StringConstraints(pattern="^[A-Z]{2}$"), Field(description='a country code, such as "DE"')
    ]
    addresses: Annotated[
        tuple[str], Field(description='a list of one address to listen on, such as ["::"]')
    ] = ("::",)
    port: PortNumber = _HTTPS
    list_hours: Annotated[int, Field(ge=1, le=24 * 180, description="a number of hours from 1 to 4320")] = 24

    @property
    def trust_domain(self) -> dns.name.Name:
        """The trust domain as a name."""
        return names.trust_domain(self.domain)

    @property
    def authority(self) -> str:
        """The host part of the URIs: the name, and the port unless it is that of https."""
        return self.name if self.port == _HTTPS else f"{self.name}:{self.port}"

    def list_url(self, country: str, sensor: str) -> str:
        """Where the list of a sensor is served."""
        return f"https://{self.authority}/lists/{country}/{sensor}"


def read_config() -> TspaConfig:
    """The configuration of this process.

    Raises:
        ConfigError: the file is missing or has mistakes.
    """
    return load_config(Path(os.environ.get(CONFIG_VARIABLE, DEFAULT_CONFIG)), TspaConfig)
