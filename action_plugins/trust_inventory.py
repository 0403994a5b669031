"""Check the whole inventory on the controller and tell the play which zones it makes.

Takes no arguments and changes nothing. Returns the fact `trust`: the trust domain and its zones, top-down,
each with the file on the controller that holds its records; the file with the TSPA's registry; the services
with their names and ports; and the sensors that have a host.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase

from lightest_agents.errors import InventoryError
from lightest_agents.fleet import VARIABLES, Fleet, Host, Unresolved, Zone, agents
from lightest_agents.fleet.record_files import write_record_files, write_registry

PROJECT = Path(__file__).resolve().parents[1]

# A large fleet with one wrong column would fill the terminal.
_SHOWN_PROBLEMS = 200


class ActionModule(ActionBase):  # type: ignore[misc]
    """Runs on the controller only; no host is contacted."""

    _requires_connection = False

    def run(self, tmp: None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        self.validate_argument_spec(argument_spec={})
        variables = task_vars or {}
        inventory_dir = Path(str(variables.get("inventory_dir"))).resolve()
        # Hosts that come from a list on the command line have the folder "None".
        if not inventory_dir.is_dir():
            return result | _failure(
                "There is no inventory folder; run with -i and the folder, as inventory/lab."
            )
        try:
            fleet = Fleet.load(inventory_dir, _hostvars(variables), variables["groups"])
        except InventoryError as error:
            return result | _failure(_message(inventory_dir, error))
        folder = records_folder(inventory_dir)
        try:
            paths = write_record_files(fleet, folder)
            registry = write_registry(fleet, folder)
        except OSError as error:
            return result | _failure(f"{folder} cannot be written: {error.strerror}; make it writable.")
        zones = [_zone_fact(fleet, zone, path) for zone, path in paths.items()]
        facts = {
            "domain": fleet.domain.to_text(omit_final_dot=True),
            "zones": zones,
            "registry": str(registry),
            **agents(fleet),
        }
        return result | {"changed": False, "ansible_facts": {"trust": facts}}


def _hostvars(task_vars: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The variables that the fleet is made of, rendered for each host."""
    members = {host for group in task_vars["groups"].values() for host in group}
    return {host: _rendered(task_vars["hostvars"][host]) for host in sorted(members)}


def _rendered(variables: Mapping[str, Any]) -> dict[str, Any]:
    rendered: dict[str, Any] = {}
    for key in VARIABLES:
        if key in variables:
            try:
                rendered[key] = variables[key]
            except AnsibleError as error:
                rendered[key] = Unresolved(error.message.rstrip("."))
    return rendered


def records_folder(inventory_dir: Path) -> Path:
    """Inventories do not share files, so that several clusters can be worked on at once."""
    digest = hashlib.sha256(str(inventory_dir).encode()).hexdigest()
    return PROJECT / ".cache" / "records" / digest[:12]


def _message(inventory_dir: Path, error: InventoryError) -> str:
    count = len(error.problems)
    lines = [f"{inventory_dir} has {count} {'problem' if count == 1 else 'problems'}; nothing was changed."]
    lines += error.problems[:_SHOWN_PROBLEMS]
    if count > _SHOWN_PROBLEMS:
        lines.append(f"… and {count - _SHOWN_PROBLEMS} more; correct these first.")
    return "\n".join(lines)


def _failure(message: str) -> dict[str, Any]:
    return {"failed": True, "changed": False, "msg": message}


def _zone_fact(fleet: Fleet, zone: Zone, path: Path) -> dict[str, Any]:
    parent = next((each for each in fleet.zones if each.name == zone.parent), None)
    return {
        "name": zone.name.to_text(omit_final_dot=True),
        "kind": str(zone.kind),
        "parent": parent and parent.name.to_text(omit_final_dot=True),
        "parent_primary": parent and parent.primary,
        "parent_addresses": _addresses(fleet.hosts[parent.primary]) if parent else [],
        "primary": zone.primary,
        "nameserver": zone.nameserver.to_text(omit_final_dot=True),
        "records": str(path),
        "delegations": [name.to_text(omit_final_dot=True) for name in zone.delegations],
    }


def _addresses(host: Host) -> list[str]:
    return [str(address) for address in (host.ipv4, host.ipv6) if address]
