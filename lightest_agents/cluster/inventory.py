"""The Ansible inventory as plain values, read by Ansible's own code so that both always agree."""

import contextlib
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible import constants
from ansible.errors import AnsibleError
from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import init_plugin_loader
from ansible.utils.collection_loader import AnsibleCollectionConfig
from ansible.vars.hostvars import HostVars
from ansible.vars.manager import VariableManager

from lightest_agents.errors import InventoryError

_CONNECTION_KEYS = ("ansible_host", "ansible_port", "ansible_user", "ansible_ssh_private_key_file")


@dataclass(frozen=True, slots=True)
class Inventory:
    """The hosts of a cluster.

    Attributes:
        directory: where the inventory's source lies, with `countries/` in it.
        hostvars: by host, the templated `trust_*` and connection variables.
        groups: by group, its hosts in the inventory's order.
    """

    directory: Path
    hostvars: Mapping[str, Mapping[str, Any]]
    groups: Mapping[str, tuple[str, ...]]

    def groups_of(self, host: str) -> tuple[str, ...]:
        """The groups a host is in, without `all` and `ungrouped`."""
        return tuple(
            group
            for group, hosts in self.groups.items()
            if host in hosts and group not in ("all", "ungrouped")
        )

    def setting(self, key: str) -> Any:
        """A variable that is the same on every host, taken from the first.

        Raises:
            InventoryError: it is not set.
        """
        value = next(iter(self.hostvars.values())).get(key)
        if value is None:
            raise InventoryError(f"{self.directory}: {key} is not set; see group_vars/all/trust.yml")
        return value


def load_inventory(source: Path | None = None) -> Inventory:
    """Load an inventory, by default the one that a plain `ansible-playbook` would use here.

    Args:
        source: a directory or file; otherwise the `inventory` setting of `ansible.cfg` in this folder.

    Raises:
        InventoryError: it does not exist, cannot be parsed, has no hosts, or a variable cannot be templated.
    """
    if source is not None and not source.exists():
        raise InventoryError(f"{source}: no such inventory; give the folder that holds hosts.yml")
    sources = [str(source)] if source is not None else list(constants.DEFAULT_HOST_LIST)
    try:
        # What Ansible warns of, it says at every play; here it would stand above each table.
        with contextlib.redirect_stderr(io.StringIO()):
            hosts = _read(sources)
        if not hosts:
            raise InventoryError(
                f"{', '.join(sources)}: no hosts; change to the project's folder or give an inventory with -i"
            )
        hostvars = {host: _host_values(host, hosts[host]) for host in hosts}
        first = hosts[next(iter(hosts))]
        groups = {str(name): tuple(map(str, members)) for name, members in first["groups"].items()}
        return Inventory(Path(str(first["inventory_dir"])), hostvars, groups)
    except AnsibleError as error:
        raise InventoryError(f"{', '.join(sources)}: {error}") from error


def _read(sources: list[str]) -> HostVars:
    if AnsibleCollectionConfig.collection_finder is None:  # once in a process
        init_plugin_loader()
    loader = DataLoader()
    # Ansible resolves {{ playbook_dir }} from here, too; playbooks lie beside ansible.cfg or below it.
    loader.set_basedir(str(Path(constants.CONFIG_FILE).parent if constants.CONFIG_FILE else Path.cwd()))
    inventory = InventoryManager(loader=loader, sources=sources)
    return HostVars(inventory, VariableManager(loader=loader, inventory=inventory), loader)


def _host_values(host: str, values: Mapping[str, Any]) -> dict[str, Any]:
    keys = [key for key in values if key.startswith("trust_") or key in _CONNECTION_KEYS]
    plain: dict[str, Any] = {}
    for key in keys:
        try:
            plain[str(key)] = _plain(values[key])
        except AnsibleError as error:
            raise InventoryError(f"host {host}: {key} cannot be templated: {error}") from error
    return plain


def _plain(value: Any) -> Any:
    """The value without Ansible's tagged and lazy subclasses."""
    if isinstance(value, Mapping):
        return {_plain(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, bool) or value is None:
        return value
    for kind in (str, int, float):
        if isinstance(value, kind):
            return kind(value)
    return str(value)
