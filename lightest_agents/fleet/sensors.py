"""Admitting sensors to the fleet: their names, their manufacturers and suppliers, their addresses."""

from collections.abc import Callable, Iterable, Mapping
from ipaddress import IPv4Address, IPv6Address
from typing import TypeVar

from lightest_agents.errors import NameRefusedError
from lightest_agents.fleet.files import Entry, Origin
from lightest_agents.fleet.hosts import role_problem
from lightest_agents.fleet.model import Group, Host, Sensor
from lightest_agents.fleet.problems import Problems, known, show
from lightest_agents.fleet.settings import SettingsRead
from lightest_agents.fleet.values import host_ipv4, host_ipv6, own_label

_Address = TypeVar("_Address", IPv4Address, IPv6Address)


class Admission:
    """Admits sensors one after another and remembers what those before have taken."""

    def __init__(self, read: SettingsRead, hosts: Mapping[str, Host], problems: Problems) -> None:
        """Start with the addresses that the inventory's hosts have."""
        self._read = read
        self._hosts = hosts
        self._problems = problems
        self._addresses: dict[IPv4Address | IPv6Address, Host | Origin] = {
            address: host
            for host in hosts.values()
            for address in (host.ipv4, host.ipv6)
            if address is not None
        }
        # A fleet has few different manufacturers and lists of suppliers; each is kept once.
        self._manufacturers: dict[str, str] = {}
        self._suppliers: dict[tuple[str, ...], tuple[str, ...]] = {}

    def admit(self, entries: Iterable[Entry]) -> tuple[Sensor, ...]:
        """The sensors of one country; what is wrong with them goes to the problems."""
        seen: dict[str, Origin] = {}
        sensors = []
        for entry in entries:
            self._check_name(entry, seen)
            self._check_parties(entry)
            sensors.append(self._sensor(entry))
        return tuple(sensors)

    def _check_name(self, entry: Entry, seen: dict[str, Origin]) -> None:
        try:
            own_label(entry.name)
        except NameRefusedError as error:
            self._add(entry, "name", str(error))
            return
        first = seen.setdefault(entry.name, entry.origin)
        if first is not entry.origin:
            sentence = (
                f"{show(entry.name)} is already the name of {first.file} {first.place}; rename or remove one"
            )
            self._add(entry, "name", sentence)

    def _check_parties(self, entry: Entry) -> None:
        settings, broken = self._read.settings, self._read.broken
        if entry.manufacturer not in settings.manufacturers and "trust_manufacturers" not in broken:
            sentence = (
                f"{show(entry.manufacturer)} is not in trust_manufacturers; {known(settings.manufacturers)}"
            )
            self._add(entry, "manufacturer", sentence)
        if not entry.suppliers:
            self._add(
                entry, "suppliers", "is empty; name at least one, who is to be called when the sensor fails"
            )
        for index, supplier in enumerate(entry.suppliers):
            if supplier in entry.suppliers[:index]:
                self._add(entry, "suppliers", f"{show(supplier)} is given twice; keep one")
            elif supplier not in settings.suppliers and "trust_suppliers" not in broken:
                sentence = f"{show(supplier)} is not in trust_suppliers; {known(settings.suppliers)}"
                self._add(entry, "suppliers", sentence)

    def _sensor(self, entry: Entry) -> Sensor:
        if entry.host is not None:
            ipv4, ipv6 = self._addresses_of_host(entry, entry.host)
        else:
            ipv4 = self._own_address(entry, "ipv4", entry.ipv4, host_ipv4)
            ipv6 = self._own_address(entry, "ipv6", entry.ipv6, host_ipv6)
        return Sensor(
            name=entry.name,
            manufacturer=self._manufacturers.setdefault(entry.manufacturer, entry.manufacturer),
            suppliers=self._suppliers.setdefault(entry.suppliers, entry.suppliers),
            host=entry.host,
            ipv4=ipv4,
            ipv6=ipv6,
        )

    def _addresses_of_host(self, entry: Entry, name: str) -> tuple[IPv4Address | None, IPv6Address | None]:
        for field, text in (("ipv4", entry.ipv4), ("ipv6", entry.ipv6)):
            if text is not None:
                self._add(
                    entry,
                    field,
                    "cannot be given together with host, which has its own addresses; remove one",
                )
        problem = role_problem(name, Group.SENSOR, self._hosts)
        if problem is not None:
            self._add(entry, "host", problem)
            return None, None
        return self._hosts[name].ipv4, self._hosts[name].ipv6

    def _own_address(
        self, entry: Entry, field: str, text: str | None, parse: Callable[[str], _Address]
    ) -> _Address | None:
        if text is None:
            return None
        try:
            address = parse(text)
        except ValueError as error:
            self._add(entry, field, str(error))
            return None
        owner = self._addresses.setdefault(address, entry.origin)
        if isinstance(owner, Host):
            sentence = f"{address} is the address of host {owner.name}; if they are one, give host instead"
            self._add(entry, field, sentence)
        elif owner is not entry.origin:
            self._add(
                entry, field, f"{address} is already the address of {owner.file} {owner.place}; change one"
            )
        return address

    def _add(self, entry: Entry, field: str, sentence: str) -> None:
        self._problems.add(entry.origin.file, entry.origin.key(field), sentence)
