"""The settings of the supplier: `supplier.toml`."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, IPvAnyNetwork, model_validator

from lightest_agents.service.config import DomainText, LabelText, PortNumber, Settings

Pin = Annotated[int, Field(ge=0, le=27, description="a GPIO number from 0 to 27")]


class LampSettings(Settings):
    """The LED and the button on the panel.

    Attributes:
        pin: of the LED, as Broadcom numbers it.
        button: pin of the button that acknowledges, which connects it to ground; None where there is none.
        driver: `gpio`, or `mock` where there are no pins: all is as usual, but no LED is lit.
    """

    pin: Pin = 17
    button: Pin | None = None
    driver: Literal["gpio", "mock"] = "gpio"

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.pin == self.button:
            raise ValueError(f"pin and button cannot both be GPIO {self.pin}")
        return self


class SupplierSettings(Settings):
    """One supplier.

    Attributes:
        domain: the trust domain, without the final dot.
        name: the supplier's own DNS name.
        label: what trust lists call this supplier; alarms for another one are refused.
        title: the name for people.
        addresses: to listen on; `::` takes IPv4, too.
        state: the folder of the store, the keys and the local socket.
        resolver: the address of the validating resolver, on loopback.
        verifiers: DNS names of those whose alarms are taken; their keys are found in the DNS.
        page_networks: networks from which the page may be seen and alarms acknowledged.
    """

    domain: DomainText
    name: DomainText
    label: LabelText
    title: Annotated[str, Field(min_length=1, max_length=120, description="a name of 1 to 120 characters")]
    addresses: tuple[str, ...] = ("::",)
    port: PortNumber = 9443
    state: Path
    resolver: str = "127.0.0.1"
    resolver_port: PortNumber = 53
    verifiers: Annotated[
        tuple[DomainText, ...],
        Field(min_length=1, description='a list of DNS names, such as ["verifier.raspidemo"]'),
    ]
    page_networks: tuple[IPvAnyNetwork, ...] = ()
    lamp: LampSettings = LampSettings()
