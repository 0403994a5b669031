"""The command line: usage, exit codes, and an inventory whose hosts are down."""

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from lightest_agents.cli import app
from lightest_agents.cluster.inventory import load_inventory
from lightest_agents.errors import InventoryError

SETTINGS = {
    "trust_domain": "raspidemo",
    "trust_operator": {"name": "Plant", "territory": "DE"},
    "trust_nameserver": "tld",
    "trust_ttl": 300,
    "trust_negative_ttl": 60,
    "trust_manufacturers": {"acme": {"name": "Acme Sensors GmbH"}},
    "trust_suppliers": {},
    "trust_dnssec": {"keys": "csk", "denial": "nsec"},
    "trust_forwarders": [],
    "trust_ntp_servers": ["192.0.2.123"],
    "trust_ipv4": "{{ '192.0.2.' ~ number }}",
    "ansible_port": 0,
}


@pytest.fixture
def inventory(tmp_path: Path) -> Path:
    """Two hosts at a port where nothing listens."""
    folder = tmp_path / "inventory"
    hosts = {
        "tld": {"ansible_host": "127.0.0.1", "number": 1},
        "probe": {"ansible_host": "127.0.0.2", "number": 2},
    }
    groups = {"nameservers": ["tld"], "resolvers": ["probe"], "verifiers": ["probe"]}
    with socket.create_server(("127.0.0.1", 0)) as closed_at_once:
        settings = SETTINGS | {"ansible_port": closed_at_once.getsockname()[1]}
    write(folder / "group_vars" / "all" / "trust.yml", settings)
    write(
        folder / "hosts.yml",
        {"all": {"hosts": hosts}}
        | {group: {"hosts": dict.fromkeys(members)} for group, members in groups.items()},
    )
    write(folder / "countries" / "germany.yml", {"nameserver": "tld", "sensors": []})
    return folder


def write(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("---\n" + yaml.safe_dump(content, sort_keys=False))


def run(*arguments: str | Path) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, result.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["cluster"],
        ["cluster", "chain"],
        ["cluster", "logs"],
        ["cluster", "mend"],
        ["cluster", "status", "--colour"],
        ["cluster", "logs", "tld", "--lines", "0"],
    ],
)
def test_wrong_usage_ends_with_2(arguments: list[str]) -> None:
    assert run(*arguments)[0] == 2


@pytest.mark.parametrize("command", ["status", "chain", "logs"])
def test_help_shows_an_example_and_the_exit_codes(command: str) -> None:
    code, out, _ = run("cluster", command, "--help")
    assert code == 0
    assert f"lightest cluster {command}" in out
    assert "Exit codes: 0 all is well, 1 a problem was found, 2" in out
    assert "--json" in out


@pytest.mark.parametrize("command", [["status"], ["chain", "raspidemo"], ["logs", "tld"]])
def test_an_inventory_that_is_not_there_is_said_so(tmp_path: Path, command: list[str]) -> None:
    code, out, err = run("cluster", *command, "-i", tmp_path / "nowhere")
    assert (code, out) == (2, "")
    assert err == f"lightest: {tmp_path}/nowhere: no such inventory; give the folder that holds hosts.yml\n"


def test_a_name_outside_the_trust_domain_is_refused(inventory: Path) -> None:
    code, out, err = run("cluster", "chain", "sensor1.germany.example", "-i", inventory)
    assert (code, out) == (2, "")
    assert err == "lightest: sensor1.germany.example is not in the trust domain raspidemo\n"


def test_the_resolver_is_asked_on_a_host_that_has_one(inventory: Path) -> None:
    code, _, err = run("cluster", "chain", "raspidemo", "--from", "tld", "-i", inventory)
    assert (code, err) == (2, "lightest: tld runs no resolver; group resolvers has probe\n")


@pytest.mark.parametrize("command", [["chain", "raspidemo", "--from", "mars"], ["logs", "mars"]])
def test_a_host_that_is_not_in_the_inventory_is_said_so(inventory: Path, command: list[str]) -> None:
    code, _, err = run("cluster", *command, "-i", inventory)
    assert (code, err) == (2, "lightest: mars is no host of the inventory; it has tld, probe\n")


@pytest.mark.parametrize("command", [["chain", "raspidemo"], ["logs", "probe"]])
def test_a_host_that_is_down_is_a_sentence_and_2(inventory: Path, command: list[str]) -> None:
    code, out, err = run("cluster", *command, "-i", inventory)
    assert (code, out) == (2, "")
    assert err.startswith("lightest: probe (127.0.0.2): no connection to port ")
    assert err.count("\n") == 1


def test_status_shows_hosts_that_are_down_and_ends_with_1(inventory: Path) -> None:
    code, out, err = run("cluster", "status", "-i", inventory)
    assert (code, err) == (1, "")
    assert "tld (127.0.0.1): no connection to port " in out
    assert "germany.raspidemo: tld does not serve it: the host is not reachable" in out
    assert out.endswith("2 hosts, 3 zones: 5 problems\n")


def test_status_as_json_has_every_host_and_zone(inventory: Path) -> None:
    code, out, _ = run("cluster", "status", "--json", "-i", inventory)
    values = json.loads(out)
    assert code == 1
    assert [(host["name"], host["reachable"]) for host in values["hosts"]] == [
        ("tld", False),
        ("probe", False),
    ]
    assert [zone["name"] for zone in values["zones"]] == [
        "raspidemo",
        "germany.raspidemo",
        "trust.germany.raspidemo",
    ]
    assert len(values["problems"]) == 5


def test_a_broken_inventory_gives_all_its_problems(inventory: Path) -> None:
    write(inventory / "countries" / "france.yml", {"nameserver": "mars", "sensors": []})
    code, _, err = run("cluster", "status", "-i", inventory)
    assert code == 2
    assert "countries/france.yml" in err
    assert "mars" in err


def test_variables_are_templated_and_plain(inventory: Path) -> None:
    loaded = load_inventory(inventory)
    assert loaded.directory == inventory
    assert loaded.hostvars["probe"]["trust_ipv4"] == "192.0.2.2"
    assert type(loaded.hostvars["probe"]["trust_ipv4"]) is str
    assert type(loaded.hostvars["probe"]["trust_ttl"]) is int
    assert loaded.groups_of("probe") == ("resolvers", "verifiers")


def test_a_variable_that_cannot_be_templated_is_named(inventory: Path) -> None:
    write(inventory / "host_vars" / "probe.yml", {"ansible_user": "{{ nobody_sets_this }}"})
    with pytest.raises(
        InventoryError, match=r"host probe: ansible_user cannot be templated: .*nobody_sets_this"
    ):
        load_inventory(inventory)


def test_without_option_the_inventory_of_ansible_cfg_counts(inventory: Path, tmp_path: Path) -> None:
    (tmp_path / "ansible.cfg").write_text("[defaults]\ninventory = inventory\n")
    # Ansible reads its settings once, when it is imported: only a new process shows this.
    done = subprocess.run(
        [sys.executable, "-c", "from lightest_agents.cli import main; main()", "cluster", "status", "--json"],
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (1, "")
    assert [host["name"] for host in json.loads(done.stdout)["hosts"]] == ["tld", "probe"]


def test_a_folder_without_hosts_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    code, _, err = run("cluster", "status", "-i", tmp_path / "empty")
    assert code == 2
    assert str(tmp_path / "empty") in err
