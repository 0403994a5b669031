"""The settings of the verifier: `verifier.toml`."""

from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, model_validator

from lightest_agents.service.config import DomainText, PortNumber, Seconds, Settings

_DAY = 86400.0


class VerifierSettings(Settings):
    """One verifier.

    Attributes:
        domain: the trust domain, without the final dot; no notification can choose another one.
        name: the verifier's own DNS name.
        addresses: to listen on; `::` takes IPv4, too.
        state: the folder of the store and of the keys.
        resolver: the address of the validating resolver, on loopback.
        scheme_zones: zones in which a claim's trust scheme may be, besides `trust.<country>.<domain>`.
        max_age: seconds a notification may be old when it is received.
        max_ahead: seconds a sensor's clock may be ahead.
        inbox_limit: faults without a verdict; a further one is refused until there is room.
        retry_first: seconds until a deferred fault is tried again; doubled each time.
        retry_cap: seconds between two attempts at most.
        retry_for: seconds after which a deferred fault is given up.
        keep_for: seconds a fault is kept after its verdict.
        roots: PEM file with the roots for certificate usages 0 and 1 (RFC 6698, section 2.1.1); by default
            such records are never satisfied.
    """

    domain: DomainText
    name: DomainText
    addresses: tuple[str, ...] = ("::",)
    port: PortNumber = 8443
    state: Path
    resolver: str = "127.0.0.1"
    resolver_port: PortNumber = 53
    scheme_zones: tuple[DomainText, ...] = ()
    max_age: Seconds = _DAY
    max_ahead: Seconds = 60.0
    inbox_limit: Annotated[
        int, Field(ge=1, le=1_000_000, description="a number of faults from 1 to 1000000")
    ] = 5000
    retry_first: Seconds = 1.0
    retry_cap: Seconds = 300.0
    retry_for: Seconds = 7 * _DAY
    keep_for: Seconds = 30 * _DAY
    roots: Path | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.keep_for <= self.max_age + self.max_ahead:
            raise ValueError(
                f"keep_for ({self.keep_for:g} s) must exceed max_age and max_ahead together "
                f"({self.max_age + self.max_ahead:g} s), or a replayed notification would not be known"
            )
        if self.retry_first > self.retry_cap:
            raise ValueError(f"retry_first ({self.retry_first:g} s) must not exceed retry_cap")
        return self

    @property
    def origin(self) -> str:
        """Where the verifier's pages are: `https://verifier.raspidemo:8443`."""
        return f"https://{self.name}" + ("" if self.port == 443 else f":{self.port}")
