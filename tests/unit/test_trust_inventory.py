"""The preflight through a real ansible-playbook, on inventories whose hosts do not answer."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from action_plugins.trust_inventory import records_folder

PROJECT = Path(__file__).resolve().parents[2]

PLAYBOOK = """\
---
- name: Check the inventory
  hosts: all
  gather_facts: false
  tasks:
    - name: Check the inventory before any host is touched
      trust_inventory:
      delegate_to: localhost
      run_once: true

    - name: Keep what each host was told
      ansible.builtin.copy:
        content: "{{ dict(ansible_play_hosts | zip(ansible_play_hosts | map('extract', hostvars, 'ansible_facts'))) | to_json }}"
        dest: "{{ facts_file }}"
        mode: "0600"
      delegate_to: localhost
      run_once: true
      check_mode: false
      changed_when: false
      vars: {ansible_connection: local, ansible_become: false}
"""  # noqa: E501

# A connection to one of these would fail the play: nothing listens on port 1.
HOSTS = """\
---
all:
  vars: {ansible_port: 1, ansible_ssh_common_args: -o ConnectTimeout=2}
  hosts:
    tld: {ansible_host: 127.0.0.1, trust_ipv4: 10.53.0.11}
    germany: {ansible_host: 127.0.0.1, trust_ipv4: 10.53.0.12, trust_ipv6: "fd53::12"}
    verifier: {ansible_host: 127.0.0.1, trust_ipv4: 10.53.0.14}
    supplier1: {ansible_host: 127.0.0.1, trust_ipv4: 10.53.0.16}
nameservers:
  hosts: {tld: {}, germany: {}}
resolvers:
  hosts: {verifier: {}, supplier1: {}}
verifiers:
  hosts: {verifier: {}}
suppliers:
  hosts: {supplier1: {}}
"""


class Controller:
    """A controller with an inventory of its own, which keeps the records it makes out of the project."""

    def __init__(self, folder: Path) -> None:
        self.inventory = folder / "inventory"
        self._folder = folder
        (self.inventory / "countries").mkdir(parents=True)
        (self.inventory / "group_vars/all").mkdir(parents=True)
        shutil.copy(PROJECT / "inventory/lab/group_vars/all/trust.yml", self.inventory / "group_vars/all")
        (self.inventory / "hosts.yml").write_text(HOSTS)
        (self.inventory / "countries/germany.yml").write_text(
            "nameserver: germany\nsensors:\n- {name: sensor1, manufacturer: acme, suppliers: [supplier1]}\n"
        )
        (folder / "play.yml").write_text(PLAYBOOK)

    def run(self, *arguments: str, source: str = "inventory") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [
                "ansible-playbook",
                "-i",
                source,
                "play.yml",
                "-e",
                f"facts_file={self._facts_file}",
                *arguments,
            ],
            cwd=self._folder,
            env=os.environ
            | {
                "ANSIBLE_CONFIG": str(PROJECT / "ansible.cfg"),
                "ANSIBLE_LOCAL_TEMP": str(self._folder / "tmp"),
                "PYTHONPATH": str(PROJECT),
            },
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    @property
    def _facts_file(self) -> Path:
        return self._folder / "facts.json"

    def facts(self) -> dict[str, Any]:
        """What each host of the play was told."""
        facts: dict[str, Any] = json.loads(self._facts_file.read_text())
        return facts


@pytest.fixture
def controller(tmp_path: Path) -> Iterator[Controller]:
    controller = Controller(tmp_path)
    yield controller
    shutil.rmtree(records_folder(controller.inventory), ignore_errors=True)


@pytest.mark.parametrize(
    ("source", "arguments"),
    [("inventory", ()), ("inventory/hosts.yml", ()), ("inventory", ("--check",))],
    ids=["folder", "file", "check mode"],
)
def test_every_host_of_the_play_learns_the_zones_and_none_is_touched(
    controller: Controller, source: str, arguments: tuple[str, ...]
) -> None:
    done = controller.run(*arguments, source=source)
    assert done.returncode == 0, done.stdout + done.stderr
    facts = controller.facts()
    assert set(facts) == {"tld", "germany", "verifier", "supplier1"}
    assert len({json.dumps(told, sort_keys=True) for told in facts.values()}) == 1
    trust = facts["verifier"]["trust"]
    records = [Path(zone.pop("records")) for zone in trust["zones"]]
    assert Path(trust.pop("registry")).read_text().startswith('{"manufacturers": [')
    assert [service["host"] for service in trust.pop("services")] == ["verifier", "supplier1"]
    assert trust.pop("sensors") == []
    assert trust == {
        "domain": "raspidemo",
        "zones": [
            {
                "name": "raspidemo",
                "kind": "domain",
                "parent": None,
                "parent_primary": None,
                "parent_addresses": [],
                "primary": "tld",
                "nameserver": "ns1.raspidemo",
                "delegations": ["germany.raspidemo"],
            },
            {
                "name": "germany.raspidemo",
                "kind": "country",
                "parent": "raspidemo",
                "parent_primary": "tld",
                "parent_addresses": ["10.53.0.11"],
                "primary": "germany",
                "nameserver": "ns1.germany.raspidemo",
                "delegations": ["trust.germany.raspidemo"],
            },
            {
                "name": "trust.germany.raspidemo",
                "kind": "scheme",
                "parent": "germany.raspidemo",
                "parent_primary": "germany",
                "parent_addresses": ["10.53.0.12", "fd53::12"],
                "primary": "germany",
                "nameserver": "ns1.germany.raspidemo",
                "delegations": [],
            },
        ],
    }
    assert records[2].read_text() == "trust.germany.raspidemo. 300 NS ns1.germany.raspidemo.\n"
    assert "changed=0" in done.stdout.splitlines()[-2]


def test_all_problems_are_told_a_line_each_and_nothing_is_written(controller: Controller) -> None:
    (controller.inventory / "countries/germany.yml").write_text("nameserver: nobody\nsensor: []\n")
    done = controller.run("-e", '{"trust_ntp_servers": ["{{ clock }}"], "trust_negative_ttl": 900}')
    assert done.returncode == 2
    output = done.stdout + done.stderr
    assert f"{controller.inventory} has 4 problems; nothing was changed." in output
    for problem in (
        "group_vars/all/trust.yml: trust_ntp_servers: its template cannot be resolved: 'clock' is undefined;"
        " define what it names",
        "group_vars/all/trust.yml: trust_negative_ttl: 900 is more than trust_ttl (300); lower it",
        'countries/germany.yml: nameserver: "nobody" is not an inventory host in group nameservers;'
        " known: germany, tld",
        "countries/germany.yml: sensor: is not a known key; known: nameserver, sensors",
    ):
        assert problem in output.splitlines() or problem in [line.strip() for line in output.splitlines()], (
            output
        )
    assert "Traceback" not in output
    assert not records_folder(controller.inventory).exists()


def test_a_host_without_an_address_of_its_own_is_told_by_its_name(controller: Controller) -> None:
    hosts = HOSTS.replace("verifier: {ansible_host: 127.0.0.1, trust_ipv4: 10.53.0.14}", "verifier: {}")
    (controller.inventory / "hosts.yml").write_text(hosts)
    done = controller.run()
    assert done.returncode == 2
    sentence = "hosts.yml: verifier.trust_ipv4: its template cannot be resolved: 'ansible_host' is undefined"
    assert sentence in done.stdout + done.stderr


def test_without_an_inventory_folder_the_play_says_so(controller: Controller) -> None:
    done = controller.run(source="pi,")
    assert done.returncode == 2
    assert "There is no inventory folder; run with -i and the folder" in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr


@pytest.mark.parametrize("cluster", ["lab", "pi"])
def test_country_files_are_no_inventory_sources(cluster: str, tmp_path: Path) -> None:
    folder = tmp_path / cluster
    shutil.copytree(PROJECT / "inventory" / cluster, folder)
    # Ansible's YAML inventory takes a mapping of groups; this would be the group `sensors` with a host.
    (folder / "countries/germany.yml").write_text("sensors: {hosts: {intruder: }}\n")
    listed = json.loads(
        subprocess.run(
            ["ansible-inventory", "-i", folder, "--list"],
            env=os.environ | {"ANSIBLE_CONFIG": str(PROJECT / "ansible.cfg")},
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        ).stdout
    )
    assert "intruder" not in json.dumps(listed)
    assert "tld" in listed["_meta"]["hostvars"]


@pytest.mark.parametrize("cluster", ["lab", "pi"])
def test_the_inventories_that_come_with_the_project_are_in_order(
    controller: Controller, cluster: str
) -> None:
    done = controller.run(source=str(PROJECT / "inventory" / cluster))
    assert done.returncode == 0, done.stdout + done.stderr
    assert controller.facts()["tld"]["trust"]["domain"] == "raspidemo"
