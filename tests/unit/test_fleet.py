"""The fleet's data model: every rule tells its problem in one sentence, and what is right becomes records."""

# The rules are tables, one rule a line.
# ruff: noqa: E501

import json
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import dns.rdata
import dns.zone
import pytest

from lightest_agents.errors import InventoryError
from lightest_agents.fleet import Fleet, Unresolved, ZoneKind, agents
from lightest_agents.fleet.record_files import write_record_files, write_registry

TRUST = "group_vars/all/trust.yml"
GERMANY = "countries/germany.yml"

HOSTS = """\
all:
  hosts:
    tld: {ansible_host: 10.53.0.11, trust_ipv6: "fd53::11"}
    germany: {ansible_host: 10.53.0.12}
    tspa: {}
    verifier: {}
    sensor1: {}
    supplier1: {}
"""


@dataclass
class Inventory:
    """An inventory on disk and what Ansible would have made of it; a test spoils it and reads the problems."""

    folder: Path
    settings: dict[str, Any] = field(
        default_factory=lambda: {
            "trust_domain": "raspidemo",
            "trust_operator": {"name": "Plant", "territory": "DE"},
            "trust_nameserver": "tld",
            "trust_ttl": 300,
            "trust_negative_ttl": 60,
            "trust_manufacturers": {"acme": {"name": "Acme Sensors GmbH"}, "beta": {"name": "Beta"}},
            "trust_suppliers": {
                "supplier1": {"name": "Supplier One", "host": "supplier1"},
                "supplier2": {"name": "Supplier Two"},
            },
            "trust_dnssec": {"keys": "csk", "denial": "nsec"},
            "trust_forwarders": [],
            "trust_ntp_servers": ["162.159.200.1"],
        }
    )
    hosts: dict[str, dict[str, Any]] = field(
        default_factory=lambda: {
            host: {"trust_ipv4": f"10.53.0.{number}", "trust_ipv6": f"fd53::{number}"}
            for number, host in enumerate(
                ("tld", "germany", "tspa", "verifier", "sensor1", "supplier1"), start=11
            )
        }
    )
    groups: dict[str, list[str]] = field(
        default_factory=lambda: {
            "all": ["tld", "germany", "tspa", "verifier", "sensor1", "supplier1"],
            "ungrouped": [],
            "nameservers": ["tld", "germany"],
            "resolvers": ["tspa", "verifier", "sensor1", "supplier1"],
            "tspas": ["tspa"],
            "verifiers": ["verifier"],
            "sensors": ["sensor1"],
            "suppliers": ["supplier1"],
        }
    )

    def __post_init__(self) -> None:
        self.write("hosts.yml", HOSTS)
        self.write(TRUST, "".join(f"{key}: x\n" for key in self.settings))
        self.write(
            GERMANY,
            "nameserver: germany\n"
            "sensors:\n"
            "  - {name: sensor1, manufacturer: acme, suppliers: [supplier1], host: sensor1}\n",
        )

    def write(self, file: str, content: str | bytes) -> None:
        path = self.folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)

    def sensors(self, *lines: str) -> None:
        """Give germany these sensors instead."""
        self.write(
            GERMANY, "nameserver: germany\nsensors:\n" + "".join(f"  - {{{line}}}\n" for line in lines)
        )

    def csv(self, *lines: str, header: str = "name,manufacturer,suppliers,host,ipv4,ipv6") -> None:
        """Give germany these sensors as well."""
        self.write("countries/germany.csv", "\n".join((header, *lines)) + "\n")

    def load(self) -> Fleet:
        hostvars = {host: {**self.settings, **own} for host, own in self.hosts.items()}
        return Fleet.load(self.folder, hostvars, self.groups)

    def problems(self) -> tuple[str, ...]:
        with pytest.raises(InventoryError) as caught:
            self.load()
        assert str(caught.value) == "\n".join(caught.value.problems)
        return caught.value.problems


@pytest.fixture
def inventory(tmp_path: Path) -> Inventory:
    return Inventory(tmp_path)


Spoil = Callable[[Inventory], object]


def setting(key: str, value: object) -> Spoil:
    return lambda inventory: inventory.settings.update({key: value})


def host(name: str, **variables: object) -> Spoil:
    return lambda inventory: inventory.hosts[name].update(variables)


def group(name: str, *members: str) -> Spoil:
    return lambda inventory: inventory.groups.update({name: list(members)})


def sensors(*lines: str) -> Spoil:
    return lambda inventory: inventory.sensors(*lines)


def csv(*lines: str, **header: str) -> Spoil:
    return lambda inventory: inventory.csv(*lines, **header)


def file(name: str, content: str | bytes) -> Spoil:
    return lambda inventory: inventory.write(name, content)


def sensor(name: str, more: str = "") -> str:
    return f"name: {name}, manufacturer: acme, suppliers: [supplier1]{more}"


SETTING_RULES = [
    (lambda i: i.settings.pop("trust_ttl"), f"{TRUST}: trust_ttl: is missing; add it"),
    (setting("trust_ttl", 0), f"{TRUST}: trust_ttl: 0 is out of range; give seconds from 1 to 86400"),
    (setting("trust_ttl", 86_401), f"{TRUST}: trust_ttl: 86401 is out of range; give seconds from 1 to 86400"),
    (setting("trust_negative_ttl", 301), f"{TRUST}: trust_negative_ttl: 301 is more than trust_ttl (300); lower it"),
    (setting("trust_ttl", "300"), f'{TRUST}: trust_ttl: "300" must be a whole number, without quotes'),
    (setting("trust_ttl", True), f"{TRUST}: trust_ttl: true (a boolean) must be a whole number, without quotes"),
    (setting("trust_domain", 12), f"{TRUST}: trust_domain: 12 (a number) must be text; put it in quotes"),
    (setting("trust_domain", "RaspiDemo"), f'{TRUST}: trust_domain: "RaspiDemo" has upper-case letters; write it as "raspidemo"'),
    (setting("trust_domain", "raspidemo."), f'{TRUST}: trust_domain: "" is empty; give a name'),
    (
        setting("trust_domain", ".".join(["a" * 35] * 3)),
        f"{TRUST}: trust_domain: is 107 characters long; at most 104 leave room for the names under it",
    ),
    (setting("trust_nameserver", "nobody"), f'{TRUST}: trust_nameserver: "nobody" is not an inventory host in group nameservers; known: germany, tld'),
    (setting("trust_nameserver", "tspa"), f'{TRUST}: trust_nameserver: "tspa" is not an inventory host in group nameservers; known: germany, tld'),
    (setting("trust_manufacturers", []), f"{TRUST}: trust_manufacturers: a list must be a mapping of keys to values"),
    (setting("trust_manufacturers", {"acme": {"name": ""}}), f"{TRUST}: trust_manufacturers.acme.name: is empty; give a name"),
    (setting("trust_manufacturers", {"acme": {"title": "A"}}), f"{TRUST}: trust_manufacturers.acme.title: is not a known key; known: name"),
    (
        setting("trust_manufacturers", {"acme": {"name": "A"}, "a b": {"name": "B"}}),
        f"{TRUST}: trust_manufacturers: \"a b\" is not a DNS label; use a-z, 0-9 and '-', with no '-' at either end",
    ),
    (
        setting("trust_suppliers", {"supplier1": {"name": "S", "host": "tspa"}}),
        f'{TRUST}: trust_suppliers.supplier1.host: "tspa" is not an inventory host in group suppliers; known: supplier1',
    ),
    (setting("trust_dnssec", {"keys": "csk", "denial": "nsec5"}), f"{TRUST}: trust_dnssec.denial: \"nsec5\" must be nsec or nsec3"),
    (setting("trust_dnssec", {"keys": "csk", "denial": "nsec", "x": 1}), f"{TRUST}: trust_dnssec.x: is not a known key; known: denial, keys"),
    (setting("trust_ntp_servers", []), f"{TRUST}: trust_ntp_servers: is empty; give at least one address: no signature is valid without the right time"),
    (setting("trust_ntp_servers", ["pool.example"]), f'{TRUST}: trust_ntp_servers[0]: "pool.example" is not an IP address; host names cannot be used here'),
    (setting("trust_forwarders", ["9.9.9.9", "127.0.0.1"]), f"{TRUST}: trust_forwarders[1]: 127.0.0.1 is a loopback address; give one that other hosts can reach"),
    (setting("trust_forwarders", None), f"{TRUST}: trust_forwarders: nothing must be a list"),
    (setting("trust_forwarders", ["{{ dns }}"]), f"{TRUST}: trust_forwarders: still holds a template; define the variables in it"),
    (setting("trust_domain", Unresolved("'x' is undefined")), f"{TRUST}: trust_domain: its template cannot be resolved: 'x' is undefined; define what it names"),
    (host("tspa", trust_ttl=200), f"{TRUST}: trust_ttl: is not the same on tld and on tspa; set it once, in group_vars/all"),
    (
        file("group_vars/all/more.yml", "trust_forwarder: []\n"),
        "group_vars/all/more.yml: trust_forwarder: is not a known variable; correct or remove it; known: trust_dnssec, "
        "trust_domain, trust_forwarders, trust_ipv4, trust_ipv6, trust_manufacturers, trust_nameserver, "
        "trust_negative_ttl, trust_ntp_servers, trust_operator, trust_suppliers, trust_ttl",
    ),
]  # fmt: skip

HOST_RULES = [
    (host("germany", trust_ipv4="germany.local"), 'hosts.yml: germany.trust_ipv4: "germany.local" is not an IPv4 address'),
    (host("germany", trust_ipv6="fd53::12::"), 'hosts.yml: germany.trust_ipv6: "fd53::12::" is not an IPv6 address'),
    (host("germany", trust_ipv6="fe80::1%eth0"), "hosts.yml: germany.trust_ipv6: \"fe80::1%eth0\" has a scope; give an address without '%'"),
    (host("germany", trust_ipv6="fe80::1"), "hosts.yml: germany.trust_ipv6: fe80::1 is a link-local address; give one that other hosts can reach"),
    (host("germany", trust_ipv6="::ffff:1.2.3.4"), 'hosts.yml: germany.trust_ipv6: "::ffff:1.2.3.4" is a mapped IPv4 address; give 1.2.3.4 as IPv4'),
    (host("germany", trust_ipv4="127.0.0.1"), "hosts.yml: germany.trust_ipv4: 127.0.0.1 is a loopback address; give one that other hosts can reach"),
    (host("germany", trust_ipv4="224.0.0.1"), "hosts.yml: germany.trust_ipv4: 224.0.0.1 is a multicast address; give one that other hosts can reach"),
    (host("germany", trust_ipv4=str(IPv4Address(0))), "hosts.yml: germany.trust_ipv4: 0.0.0.0 is an unspecified address; give one that other hosts can reach"),
    (host("germany", trust_ipv4="255.255.255.255"), "hosts.yml: germany.trust_ipv4: 255.255.255.255 is a reserved address; give one that other hosts can reach"),
    (host("germany", trust_ipv4=12), "hosts.yml: germany.trust_ipv4: 12 (a number) must be an address as text; put it in quotes"),
    (host("germany", trust_ipv4="{{ ansible_host }}"), "hosts.yml: germany.trust_ipv4: still holds a template; define the variables in it"),
    (host("germany", trust_ipv4=None, trust_ipv6=None), "hosts.yml: germany: has no address; give it trust_ipv4, trust_ipv6 or both"),
    (host("germany", trust_ipv4="10.53.0.11"), "hosts.yml: germany.trust_ipv4: 10.53.0.11 is already the address of host tld; change one of them"),
    (host("germany", trust_ipv6="fd53:0::11"), "hosts.yml: germany.trust_ipv6: fd53::11 is already the address of host tld; change one of them"),
    (group("resolvers"), "hosts.yml: group resolvers: has no host; put at least one host in it"),
    (group("nameserver", "tld"), 'hosts.yml: group "nameserver": gives its hosts no role; name it "nameservers", or something less alike'),
    (group("Sensor", "tld"), 'hosts.yml: group "Sensor": gives its hosts no role; name it "sensors", or something less alike'),
    (group("tspas", "tspa", "germany"), f'{GERMANY}: file name: "germany" is also the name of a host in tspas; rename the country or the host'),
    (file("hosts.yml", HOSTS.replace("trust_ipv6", "trust_ip6")), "hosts.yml: tld.trust_ip6: is not a known variable"),
]  # fmt: skip

SENSOR_RULES = [
    (sensors("name: s, manufacturer: acmee, suppliers: [supplier1]"), f'{GERMANY}: sensors[0].manufacturer: "acmee" is not in trust_manufacturers; known: acme, beta'),
    (sensors("name: s, manufacturer: acme, suppliers: [nobody]"), f'{GERMANY}: sensors[0].suppliers: "nobody" is not in trust_suppliers; known: supplier1, supplier2'),
    (sensors("name: s, manufacturer: acme, suppliers: [supplier2, supplier2]"), f'{GERMANY}: sensors[0].suppliers: "supplier2" is given twice; keep one'),
    (sensors("name: s, manufacturer: acme, suppliers: []"), f"{GERMANY}: sensors[0].suppliers: is empty; name at least one, who is to be called when the sensor fails"),
    (sensors("name: s, manufacturer: acme"), f"{GERMANY}: sensors[0].suppliers: is missing; add it"),
    (sensors(sensor("s", ", city: bonn")), f"{GERMANY}: sensors[0].city: is not a known key; known: host, ipv4, ipv6, manufacturer, name, suppliers"),
    (sensors(sensor("no")), f"{GERMANY}: sensors[0].name: false (a boolean) must be text; YAML reads yes, no, on and off as booleans, so put it in quotes"),
    (sensors(sensor("12")), f"{GERMANY}: sensors[0].name: 12 (a number) must be text; put it in quotes"),
    (sensors(sensor("2024-01-01")), f"{GERMANY}: sensors[0].name: 2024-01-01 (a date) must be text; put it in quotes"),
    (sensors(sensor("a.b")), f'{GERMANY}: sensors[0].name: "a.b" has a dot and would escape its zone; give one label only'),
    (sensors(sensor('"@"')), f"{GERMANY}: sensors[0].name: \"@\" has an @, which stands for the zone itself; use a-z, 0-9 and '-'"),
    (sensors(sensor('"*"')), f"{GERMANY}: sensors[0].name: \"*\" has a *, which would answer for every name; use a-z, 0-9 and '-'"),
    (sensors(sensor("Pump")), f'{GERMANY}: sensors[0].name: "Pump" has upper-case letters; write it as "pump"'),
    (sensors(sensor("Pump_1")), f"{GERMANY}: sensors[0].name: \"Pump_1\" has upper-case letters; use a-z, 0-9 and '-', with no '-' at either end"),
    (sensors(sensor('""')), f'{GERMANY}: sensors[0].name: "" is empty; give a name'),
    (sensors(sensor("_scheme")), f"{GERMANY}: sensors[0].name: \"_scheme\" is not a DNS label; use a-z, 0-9 and '-', with no '-' at either end"),
    (sensors(sensor("pümp")), f"{GERMANY}: sensors[0].name: \"pümp\" is not a DNS label; use a-z, 0-9 and '-', with no '-' at either end"),
    (sensors(sensor("a" * 64)), f'{GERMANY}: sensors[0].name: "{"a" * 64}" is 64 characters long; a DNS label has at most 63'),
    (sensors(sensor('"{{ x }}"')), f'{GERMANY}: sensors[0].name: "{{{{ x }}}}" is a template; country files are plain data, so write the name itself'),
    (sensors(sensor("trust")), f"{GERMANY}: sensors[0].name: \"trust\" is reserved: it names a country's scheme zone; choose another name"),
    (sensors(sensor("ns1")), f"{GERMANY}: sensors[0].name: \"ns1\" is reserved: it names the zone's own name server; choose another name"),
    (sensors(sensor("s"), sensor("s")), f'{GERMANY}: sensors[1].name: "s" is already the name of {GERMANY} sensors[0]; rename or remove one'),
    (sensors(sensor("s", ", host: nobody")), f'{GERMANY}: sensors[0].host: "nobody" is not an inventory host in group sensors; known: sensor1'),
    (sensors(sensor("s", ", host: tspa")), f'{GERMANY}: sensors[0].host: "tspa" is not an inventory host in group sensors; known: sensor1'),
    (sensors(sensor("s", ", host: sensor1, ipv4: 10.9.0.7")), f"{GERMANY}: sensors[0].ipv4: cannot be given together with host, which has its own addresses; remove one"),
    (sensors(sensor("s", ", ipv4: 10.53.0.15")), f"{GERMANY}: sensors[0].ipv4: 10.53.0.15 is the address of host sensor1; if they are one, give host instead"),
    (
        sensors(sensor("s", ', ipv6: "fd09::7"'), sensor("t", ', ipv6: "fd09:0::7"')),
        f"{GERMANY}: sensors[1].ipv6: fd09::7 is already the address of {GERMANY} sensors[0]; change one",
    ),
    (sensors(sensor("s", ", ipv4: 10.9.0.256")), f'{GERMANY}: sensors[0].ipv4: "10.9.0.256" is not an IPv4 address'),
    (sensors(sensor("s", ", ipv4: 239.1.1.1")), f"{GERMANY}: sensors[0].ipv4: 239.1.1.1 is a multicast address; give one that other hosts can reach"),
    (file(GERMANY, "nameserver: germany\nsensors: [sensor1]\n"), f'{GERMANY}: sensors[0]: "sensor1" must be a mapping of keys to values'),
    (csv("s,acmee,supplier1,,,"), 'countries/germany.csv: line 2, manufacturer: "acmee" is not in trust_manufacturers; known: acme, beta'),
    (csv("s,acme,,,,"), "countries/germany.csv: line 2, suppliers: is empty; name at least one, who is to be called when the sensor fails"),
    (csv("s,acme,supplier1,,,", "sensor1,acme,supplier1,,,"), f'countries/germany.csv: line 3, name: "sensor1" is already the name of {GERMANY} sensors[0]; rename or remove one'),
    (csv("s,acme,supplier1,,10.53.0.12,"), "countries/germany.csv: line 2, ipv4: 10.53.0.12 is the address of host germany; if they are one, give host instead"),
]  # fmt: skip

FILE_RULES = [
    (file(GERMANY, "sensors: []\n"), f"{GERMANY}: nameserver: is missing; add it"),
    (file(GERMANY, "nameserver: nobody\n"), f'{GERMANY}: nameserver: "nobody" is not an inventory host in group nameservers; known: germany, tld'),
    (file(GERMANY, "nameserver: [germany]\n"), f"{GERMANY}: nameserver: a list must be text; put it in quotes"),
    (file(GERMANY, "nameserver: germany\nsensor: []\n"), f"{GERMANY}: sensor: is not a known key; known: nameserver, sensors"),
    (file(GERMANY, "nameserver: germany\nsensors: 3\n"), f"{GERMANY}: sensors: 3 (a number) must be a list"),
    (file(GERMANY, "nameserver: germany\n1: x\n"), f"{GERMANY}: 1 (a number) cannot be a key; put it in quotes"),
    (file(GERMANY, "# nothing yet\n"), f"{GERMANY}: holds nothing; it must be a mapping with the key nameserver"),
    (file(GERMANY, "- germany\n"), f"{GERMANY}: holds a list; it must be a mapping with the key nameserver"),
    (file(GERMANY, "nameserver: [\n"), f"{GERMANY}: line 2: is not YAML we can read"),
    (file(GERMANY, "nameserver: !vault |\n  abc\n"), f"{GERMANY}: line 1: is not YAML we can read: could not determine a constructor for the tag '!vault'; correct it"),
    (file(GERMANY, "nameserver: 2024-99-99\n"), f"{GERMANY}: is not YAML we can read: month must be in 1..12; correct it"),
    (file(GERMANY, "nameserver: germany\nnameserver: tld\n"), f'{GERMANY}: line 2: the key "nameserver" is given twice; keep one'),
    (sensors(sensor("s", ", name: t")), f'{GERMANY}: line 3: the key "name" is given twice; keep one'),
    (file(GERMANY, b"nameserver: germany # \xe4\n"), f"{GERMANY}: line 1: is not UTF-8; save the file as UTF-8"),
    (file(GERMANY, b"\xef\xbb\xbfnameserver: germany\n"), f"{GERMANY}: starts with a byte order mark; save it as UTF-8 without one"),
    (file("countries/Germany.yml", "nameserver: tld\n"), 'countries/Germany.yml: file name: "Germany" has upper-case letters; write it as "germany"'),
    (file("countries/a.b.yml", "nameserver: tld\n"), 'countries/a.b.yml: file name: "a.b" has a dot and would escape its zone; give one label only'),
    (file("countries/trust.yml", "nameserver: tld\n"), 'countries/trust.yml: file name: "trust" is reserved'),
    (file("countries/tspa.yml", "nameserver: tld\n"), 'countries/tspa.yml: file name: "tspa" is also the name of a host in tspas; rename the country or the host'),
    (file("countries/india.yaml", ""), 'countries/india.yaml: has the wrong ending; rename it to "india.yml"'),
    (file("countries/india.csv", "name,manufacturer,suppliers\n"), 'countries/india.csv: has no "india.yml" beside it; add that file, with the country\'s nameserver'),
    (file("countries/notes.txt", ""), "countries/notes.txt: is neither .yml nor .csv; move it out of this folder"),
    (file("countries/old/germany.yml", ""), "countries/old: is a folder; countries are files in this one"),
    (csv(header="name;manufacturer;suppliers"), 'countries/germany.csv: line 1: column "name;manufacturer;suppliers" is not known; known: host, ipv4, ipv6, manufacturer, name, suppliers'),
    (csv(header="name,name,manufacturer,suppliers"), 'countries/germany.csv: line 1: column "name" is given twice; keep one'),
    (csv(header="name,manufacturer"), 'countries/germany.csv: line 1: column "suppliers" is missing; add it'),
    (csv("s,acme,supplier1"), "countries/germany.csv: line 2: has 3 columns, the header has 6; correct the commas"),
    (csv('s,"acme'), "countries/germany.csv: line 2: is not CSV: unexpected end of data; correct it"),
    (file("countries/germany.csv", ""), "countries/germany.csv: is empty; its first line must be name,manufacturer,suppliers"),
    (file("countries/germany.csv", b"\xef\xbb\xbfname,manufacturer,suppliers\n"), "countries/germany.csv: starts with a byte order mark; save it as UTF-8 without one"),
    (file("countries/germany.csv", b"name,manufacturer,suppliers\ns\xe4,acme,supplier1\n"), "countries/germany.csv: line 2: is not UTF-8; save the file as UTF-8"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [*SETTING_RULES, *HOST_RULES, *SENSOR_RULES, *FILE_RULES],
    ids=lambda value: str(value)[:70],
)
def test_what_is_wrong_is_told_in_one_sentence_with_file_and_key(
    inventory: Inventory, spoil: Spoil, sentence: str
) -> None:
    spoil(inventory)
    problems = inventory.problems()
    assert [problem for problem in problems if problem.startswith(sentence)], problems
    assert not [problem for problem in problems if "\n" in problem]


def test_a_host_that_gets_a_name_needs_a_legal_one(inventory: Inventory) -> None:
    inventory.hosts["pi.plant"] = {"trust_ipv4": "10.53.0.99"}
    inventory.groups["tspas"].append("pi.plant")
    inventory.groups["resolvers"].append("pi.plant")
    assert inventory.problems() == (
        "hosts.yml: pi.plant: the host's name goes into the trust domain: "
        '"pi.plant" has a dot and would escape its zone; give one label only',
    )


def test_an_agent_needs_a_resolver_on_its_own_host(inventory: Inventory) -> None:
    inventory.groups["resolvers"].remove("sensor1")
    assert inventory.problems() == (
        "hosts.yml: sensor1: is in group sensors but not in resolvers; its agent asks the resolver of its own"
        " host, so add it there",
    )


def test_a_suppliers_host_acts_for_one_supplier(inventory: Inventory) -> None:
    inventory.settings["trust_suppliers"]["supplier2"]["host"] = "supplier1"
    assert inventory.problems() == (
        "hosts.yml: supplier1: is the host of the suppliers supplier1, supplier2; give each a host of its own",
    )


def test_a_suppliers_host_needs_its_supplier(inventory: Inventory) -> None:
    del inventory.settings["trust_suppliers"]["supplier1"]["host"]
    assert inventory.problems() == (
        "hosts.yml: supplier1: is in group suppliers but no entry of trust_suppliers has it as host;"
        " name it there",
    )


@pytest.mark.parametrize("group", ["tspas", "verifiers"])
def test_sensors_need_a_tspa_and_a_verifier(inventory: Inventory, group: str) -> None:
    inventory.groups[group] = []
    assert inventory.problems() == (f"hosts.yml: group {group}: has no host; the hosts in sensors need one",)


def test_a_host_may_run_several_sensors(inventory: Inventory) -> None:
    both = [f"name: {name}, manufacturer: acme, suppliers: [supplier1], host: sensor1" for name in ("a", "b")]
    inventory.sensors(*both)
    found = agents(inventory.load())["sensors"]
    assert [(sensor["claim"], sensor["host"]) for sensor in found] == [
        ("a.germany.raspidemo", "sensor1"),
        ("b.germany.raspidemo", "sensor1"),
    ]


def test_agents_are_named_after_their_hosts(inventory: Inventory) -> None:
    services = agents(inventory.load())["services"]
    assert {(service["host"], service["name"], service["port"]) for service in services} == {
        ("tspa", "tspa.raspidemo", 443),
        ("verifier", "verifier.raspidemo", 8443),
        ("supplier1", "supplier1.raspidemo", 9443),
    }


def test_the_registry_holds_every_sensor_and_suppliers_that_can_be_reached(
    inventory: Inventory, tmp_path: Path
) -> None:
    inventory.sensors("name: a, manufacturer: acme, suppliers: [supplier2, supplier1]")
    path = write_registry(inventory.load(), tmp_path)
    assert json.loads(path.read_text()) == {
        "manufacturers": [
            {"label": "acme", "title": "Acme Sensors GmbH"},
            {"label": "beta", "title": "Beta"},
        ],
        "suppliers": [
            {
                "label": "supplier1",
                "title": "Supplier One",
                "url": "https://supplier1.raspidemo:9443/v1/alarms",
                "address": "",
            }
        ],
        "zones": [
            {
                "country": "germany",
                "zone": "trust.germany.raspidemo",
                "server": "10.53.0.12",
                "port": 53,
                "key_file": "/etc/lightest/tspa-keys/scheme.trust.germany.raspidemo.key",
            }
        ],
        "sensors": [{"country": "germany", "label": "a", "manufacturer": "acme", "suppliers": ["supplier1"]}],
    }


def test_a_problem_names_the_file_that_sets_the_variable(inventory: Inventory) -> None:
    inventory.write("group_vars/all/time.yml", "trust_ntp_servers: []\n")
    inventory.write(TRUST, "trust_domain: raspidemo\n")
    inventory.write("host_vars/germany.yml", "trust_ipv6: x\n")
    inventory.settings["trust_ntp_servers"] = []
    inventory.hosts["germany"]["trust_ipv6"] = "x"
    assert [problem.split(":")[0] for problem in inventory.problems()] == [
        "group_vars/all/time.yml",
        "host_vars/germany.yml",
    ]


def test_all_problems_are_told_at_once(inventory: Inventory) -> None:
    inventory.settings["trust_ttl"] = "300"
    inventory.hosts["germany"]["trust_ipv4"] = "10.53.0.11"
    inventory.groups["resolvers"] = []
    inventory.write(
        GERMANY,
        "nameserver: nobody\nsensors:\n- {name: A, x: 1}\n- {name: b.c, manufacturer: m, suppliers: [s]}\n",
    )
    inventory.csv("d,m,s,nobody,1,2", "d,acme,supplier1,,,")
    inventory.write("countries/stray", "")
    assert len(inventory.problems()) == 1 + 1 + 1 + 1 + 3 + 3 + 5 + 1 + 1, "\n".join(inventory.problems())


def test_an_unknown_key_hides_no_other_mistake(inventory: Inventory) -> None:
    inventory.write(
        GERMANY,
        "nameserver: germany\nsensors:\n- {name: trust, manufacturer: acme, suppliers: [nobody], city: bonn}\n",
    )
    told = [problem.split(": ")[1] for problem in inventory.problems()]
    assert told == ["sensors[0].city", "sensors[0].name", "sensors[0].suppliers"]


def test_a_wrong_list_of_manufacturers_does_not_make_every_sensor_wrong(inventory: Inventory) -> None:
    inventory.settings["trust_manufacturers"] = {"acme": {"name": 1}}
    assert inventory.problems() == (
        f"{TRUST}: trust_manufacturers.acme.name: 1 (a number) must be text; put it in quotes",
    )


def test_a_missing_countries_folder_is_told(tmp_path: Path) -> None:
    inventory = Inventory(tmp_path)
    (tmp_path / GERMANY).unlink()
    (tmp_path / "countries").rmdir()
    (problem,) = inventory.problems()
    assert problem.startswith("countries: this folder cannot be read")


@pytest.mark.parametrize(
    "spoil",
    [
        file(GERMANY, "nameserver: germany\n"),
        file(GERMANY, "nameserver: germany\nsensors:\n"),
        file("countries/.germany.yml.swp", b"\x00"),
        file(GERMANY, "nameserver: germany\n# ä\n"),
        csv(header="suppliers,name,manufacturer"),
        csv("s,acme,supplier1", "", header="name,manufacturer,suppliers"),
        lambda inventory: inventory.settings.update(trust_forwarders=["9.9.9.9", "2620:fe::fe"]),
        lambda inventory: inventory.hosts["germany"].update(trust_ipv6=None),
        lambda inventory: inventory.groups.update(rack1=["tld"], pis=["tld"]),
        lambda inventory: (inventory.folder / GERMANY).unlink(),
        lambda inventory: inventory.write("group_vars/all/vault.yml", "x: !vault |\n  abc\n"),
    ],
)
def test_what_is_legal_is_let_through(inventory: Inventory, spoil: Spoil) -> None:
    spoil(inventory)
    inventory.load()


def test_the_records_of_the_lab(inventory: Inventory) -> None:
    fleet = inventory.load()
    records = {zone.name.to_text(): list(fleet.records(zone)) for zone in fleet.zones}
    assert records == {
        "raspidemo.": [
            "germany.raspidemo. 300 NS ns1.germany.raspidemo.",
            "ns1.germany.raspidemo. 300 A 10.53.0.12",
            "ns1.germany.raspidemo. 300 AAAA fd53::12",
            "ns1.raspidemo. 300 A 10.53.0.11",
            "ns1.raspidemo. 300 AAAA fd53::11",
            "raspidemo. 300 NS ns1.raspidemo.",
            "supplier1.raspidemo. 300 A 10.53.0.16",
            "supplier1.raspidemo. 300 AAAA fd53::16",
            "tspa.raspidemo. 300 A 10.53.0.13",
            "tspa.raspidemo. 300 AAAA fd53::13",
            "verifier.raspidemo. 300 A 10.53.0.14",
            "verifier.raspidemo. 300 AAAA fd53::14",
        ],
        "germany.raspidemo.": [
            "_scheme._trust.sensor1.germany.raspidemo. 300 PTR _scheme._trust.sensor1.trust.germany.raspidemo.",
            "germany.raspidemo. 300 NS ns1.germany.raspidemo.",
            "ns1.germany.raspidemo. 300 A 10.53.0.12",
            "ns1.germany.raspidemo. 300 AAAA fd53::12",
            "sensor1.germany.raspidemo. 300 A 10.53.0.15",
            "sensor1.germany.raspidemo. 300 AAAA fd53::15",
            "trust.germany.raspidemo. 300 NS ns1.germany.raspidemo.",
        ],
        "trust.germany.raspidemo.": ["trust.germany.raspidemo. 300 NS ns1.germany.raspidemo."],
    }


def test_zones_are_listed_from_the_top_with_who_serves_them(inventory: Inventory) -> None:
    inventory.write("countries/austria.yml", "nameserver: tld\n")
    zones = inventory.load().zones
    assert [(str(zone.name), zone.kind, zone.primary, str(zone.parent)) for zone in zones] == [
        ("raspidemo.", ZoneKind.DOMAIN, "tld", "None"),
        ("austria.raspidemo.", ZoneKind.COUNTRY, "tld", "raspidemo."),
        ("germany.raspidemo.", ZoneKind.COUNTRY, "germany", "raspidemo."),
        ("trust.austria.raspidemo.", ZoneKind.SCHEME, "tld", "austria.raspidemo."),
        ("trust.germany.raspidemo.", ZoneKind.SCHEME, "germany", "germany.raspidemo."),
    ]


def test_one_host_can_be_the_whole_cluster(inventory: Inventory) -> None:
    inventory.hosts = {"pi": {"trust_ipv4": "10.53.0.11"}}
    inventory.groups = {group: ["pi"] for group in inventory.groups}
    inventory.settings["trust_nameserver"] = "pi"
    inventory.settings["trust_suppliers"]["supplier1"]["host"] = "pi"
    inventory.write(GERMANY, f"nameserver: pi\nsensors:\n- {{{sensor('sensor1', ', host: pi')}}}\n")
    fleet = inventory.load()
    assert list(fleet.records(fleet.zones[0])) == [
        "germany.raspidemo. 300 NS ns1.germany.raspidemo.",
        "ns1.germany.raspidemo. 300 A 10.53.0.11",
        "ns1.raspidemo. 300 A 10.53.0.11",
        "pi.raspidemo. 300 A 10.53.0.11",
        "raspidemo. 300 NS ns1.raspidemo.",
    ]


def test_lines_are_sorted_and_as_dnspython_writes_them(inventory: Inventory) -> None:
    # Labels that sort differently with and without what follows them.
    labels = ["a", "a-", "a-b", "a0", "ab", "0", "z", "n", "germany", "a" * 63]
    inventory.csv(
        *(f"{label},acme,supplier1,,10.9.0.{number + 1},fd09:0:0:{number}::{number}" for number, label in enumerate(labels) if label != "a-"),
        "compatible,acme,supplier2,,,0:0:0:0:0:0:102:304",
    )  # fmt: skip
    fleet = inventory.load()
    for zone in fleet.zones:
        lines = list(fleet.records(zone))
        assert lines == sorted(set(lines))
        for line in lines:
            owner, ttl, rdtype, rdata = line.split(" ", 3)
            assert dns.name.from_text(owner).to_text() == owner == owner.lower()
            assert (ttl, dns.rdata.from_text("IN", rdtype, rdata).to_text()) == ("300", rdata)


def test_record_files_follow_the_zones(inventory: Inventory, tmp_path: Path) -> None:
    inventory.write("countries/india.yml", "nameserver: germany\n")
    folder = tmp_path / "records"
    write_record_files(inventory.load(), folder)
    (inventory.folder / "countries/india.yml").unlink()
    fleet = inventory.load()
    paths = write_record_files(fleet, folder)
    assert sorted(path.name for path in folder.iterdir()) == [
        "germany.raspidemo.txt",
        "raspidemo.txt",
        "trust.germany.raspidemo.txt",
    ]
    for zone, path in paths.items():
        assert path.read_text() == "".join(f"{line}\n" for line in fleet.records(zone))


def test_a_hundred_thousand_sensors_from_csv(
    inventory: Inventory, capsys: pytest.CaptureFixture[str]
) -> None:
    count = 100_000
    inventory.csv(*(f"pump{n},acme,supplier1 supplier2,10.{100 + (n >> 16)}.{n >> 8 & 255}.{n & 255}" for n in range(count)),
                  header="name,manufacturer,suppliers,ipv4")  # fmt: skip
    start = time.process_time()
    fleet = inventory.load()
    loaded = time.process_time()
    lines = sum(1 for zone in fleet.zones for _ in fleet.records(zone))
    written = time.process_time()
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    with capsys.disabled():
        print(
            f"\n{count} sensors: load {loaded - start:.1f} s, {lines} records {written - loaded:.1f} s, {memory} MiB"
        )
    assert lines == 12 + 7 + 1 + 2 * count
