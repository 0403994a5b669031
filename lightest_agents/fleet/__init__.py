"""The fleet as the inventory describes it: hosts, countries, sensors, and the zones that follow from them.

Nothing in here imports Ansible: the inventory's variables come in as plain mappings.
"""

from lightest_agents.fleet.agents import agents
from lightest_agents.fleet.fleet import VARIABLES, Fleet
from lightest_agents.fleet.model import (
    Country,
    DnssecPolicy,
    Host,
    Sensor,
    Settings,
    Supplier,
    Unresolved,
    Zone,
    ZoneKind,
)

__all__ = [
    "VARIABLES",
    "Country",
    "DnssecPolicy",
    "Fleet",
    "Host",
    "Sensor",
    "Settings",
    "Supplier",
    "Unresolved",
    "Zone",
    "ZoneKind",
    "agents",
]
