"""Which file of an inventory a variable stands in, so that a problem can name it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from lightest_agents.errors import InventoryError
from lightest_agents.fleet.files import parse_yaml, read

_SUFFIXES = frozenset({"", ".yml", ".yaml", ".json"})


@dataclass(frozen=True, slots=True)
class Definition:
    """A variable in a file; `host` is None where it is set for a group."""

    file: str
    host: str | None
    key: str


@dataclass(frozen=True, slots=True)
class Sources:
    """Every variable that the files of an inventory folder set, and the file that lists each host.

    Only a map for messages: what Ansible reads and we cannot (an INI file, a script, a vault) is passed over.
    """

    definitions: tuple[Definition, ...]
    host_files: Mapping[str, str]

    @classmethod
    def scan(cls, inventory_dir: Path) -> "Sources":
        """Read the names of variables from group_vars, host_vars and the YAML inventories themselves."""
        definitions: list[Definition] = []
        host_files: dict[str, str] = {}
        for path in _files(inventory_dir):
            file = path.relative_to(inventory_dir).as_posix()
            folder, *inner = path.relative_to(inventory_dir).parts
            document = _mapping(path, file)
            if inner:
                host = Path(inner[0]).stem if folder == "host_vars" else None
                definitions += _definitions(file, host, document)
            else:
                for host, variables in _walk(document):
                    definitions += _definitions(file, host, variables)
                    if host is not None:
                        host_files.setdefault(host, file)
        return cls(tuple(definitions), host_files)

    def of_setting(self, key: str) -> str:
        """The file that sets a variable of the whole cluster; where it should stand, if none does."""
        return self._last(None, key) or "group_vars/all/trust.yml"

    def of_host(self, host: str, key: str) -> str:
        """The file that sets a host's variable, or else the one that lists the host."""
        return self._last(host, key) or self.host_files.get(host, "hosts.yml")

    def _last(self, host: str | None, key: str) -> str | None:
        found = [each.file for each in self.definitions if (each.host, each.key) == (host, key)]
        return found[-1] if found else None


def _files(inventory_dir: Path) -> Iterator[Path]:
    for folder in ("group_vars", "host_vars"):
        yield from sorted(path for path in (inventory_dir / folder).rglob("*") if _is_data(path))
    yield from sorted(path for path in inventory_dir.iterdir() if _is_data(path) and path.suffix != "")


def _is_data(path: Path) -> bool:
    return path.suffix in _SUFFIXES and not path.name.startswith(".") and path.is_file()


def _mapping(path: Path, file: str) -> Mapping[object, object]:
    try:
        document = parse_yaml(read(path, file), file)
    except InventoryError:
        return {}
    return document if isinstance(document, Mapping) else {}


def _walk(groups: object) -> Iterator[tuple[str | None, object]]:
    """The variables of every group (under None) and host in a YAML inventory."""
    for group in groups.values() if isinstance(groups, Mapping) else ():
        if isinstance(group, Mapping):
            yield None, group.get("vars")
            hosts = group.get("hosts")
            for host, variables in hosts.items() if isinstance(hosts, Mapping) else ():
                yield str(host), variables
            yield from _walk(group.get("children"))


def _definitions(file: str, host: str | None, variables: object) -> list[Definition]:
    return [Definition(file, host, str(key)) for key in variables] if isinstance(variables, Mapping) else []
