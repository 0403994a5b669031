"""Every host: services, hardening, secrets, ports, access."""

import re

import pytest
import testinfra
from testinfra.host import Host

from lightest_agents.fleet import agents

from .conftest import Cluster

SERVICES = {
    "all": ("ssh", "nftables", "apt-daily.timer", "apt-daily-upgrade.timer"),
    "nameservers": ("named",),
    "resolvers": ("unbound",),
    "tspas": ("lightest-tspa",),
    "verifiers": ("lightest-verifier",),
    "suppliers": ("lightest-supplier",),
}
OURS = [(group, name) for group, names in SERVICES.items() if group != "all" for name in names]
PORTS = {
    "all": {"tcp 22"},
    "nameservers": {"tcp 53", "udp 53"},
    "resolvers": set[str](),
    "tspas": {"tcp 443"},
    "verifiers": {"tcp 8443"},
    "suppliers": {"tcp 9443"},
}
FIRST_KEYS = "/IN: could not get zone keys for secure dynamic update"
AGENTS = ("tspa", "verifier", "supplier", "sensor")
SECRETS = " ".join(
    (
        "/etc/bind/keys /var/lib/bind/keys /var/lib/lightest /etc/lightest/tspa-keys",
        *(f"/var/lib/lightest-{agent}" for agent in AGENTS),
    )
)


def expected(table: dict[str, set[str]], cluster: Cluster, name: str) -> set[str]:
    return set().union(*(table.get(group, set()) for group in ("all", *cluster.inventory.groups_of(name))))


@pytest.mark.on_hosts_of("all")
def test_no_unit_has_failed(host: Host) -> None:
    state = host.run("systemctl is-system-running").stdout.strip()
    assert state == "running", host.run("systemctl --failed --no-legend; journalctl -p err -n 30").stdout


@pytest.mark.parametrize(
    ("group", "service"), [(group, service) for group, names in SERVICES.items() for service in names]
)
def test_services_run_and_are_enabled(cluster: Cluster, group: str, service: str) -> None:
    for name in cluster.inventory.groups[group]:
        found = cluster.host(name).service(service)
        assert found.is_enabled, name
        assert found.is_running, f"{name}: {cluster.host(name).run(f'journalctl -u {service} -n 30').stdout}"


@pytest.mark.parametrize(("group", "service"), OURS)
def test_a_service_cannot_write_outside_its_folders(cluster: Cluster, group: str, service: str) -> None:
    for name in cluster.inventory.groups[group]:
        host = cluster.host(name)
        pid = host.check_output(f"systemctl show -P MainPID {service}")
        assert host.run(f"nsenter -t {pid} -m touch /usr/lib/planted").rc != 0, name
        assert host.run(f"nsenter -t {pid} -m ls /home").stdout == "", name
        assert "NoNewPrivs:\t1" in host.file(f"/proc/{pid}/status").content_string, name


@pytest.mark.parametrize(("group", "service"), OURS)
def test_a_service_is_hardened(cluster: Cluster, group: str, service: str) -> None:
    for name in cluster.inventory.groups[group]:
        report = cluster.host(name).run(f"systemd-analyze security --no-pager {service}").stdout
        exposure = re.search(r"exposure level for .*: ([0-9.]+)", report)
        assert exposure is not None, report
        assert float(exposure[1]) <= 2.5, f"{name}: {report}"


@pytest.mark.parametrize(("group", "service"), [("nameservers", "named"), ("resolvers", "unbound")])
def test_logs_are_free_of_errors(cluster: Cluster, group: str, service: str) -> None:
    for name in cluster.inventory.groups[group]:
        host = cluster.host(name)
        run = host.check_output(f"systemctl show -P InvocationID {service}")
        since = host.run("cat /run/lightest-attacks-ended").stdout.strip() or "1970-01-01"
        log = host.run(f"journalctl -q -p warning -o cat --since '{since}' _SYSTEMD_INVOCATION_ID={run}")
        lines = log.stdout.splitlines()
        if cluster.inventory.setting("trust_dnssec")["denial"] == "nsec3":
            # Asked for NSEC3, BIND looks for keys a moment before it makes a new zone's first ones.
            lines = [line for line in lines if not line.endswith(FIRST_KEYS)]
        assert lines == [], name


@pytest.mark.on_hosts_of("sensors")
def test_every_sensor_of_a_host_runs_in_the_same_sandbox_and_no_other_does(
    cluster: Cluster, name: str, host: Host
) -> None:
    running = host.check_output("systemctl list-units --plain --no-legend 'lightest-sensor@*'").splitlines()
    claims = [sensor["claim"] for sensor in agents(cluster.fleet)["sensors"] if sensor["host"] == name]
    units = [line.split()[0] for line in running]
    assert units == sorted(f"lightest-sensor@{claim}.service" for claim in claims)
    for unit in units:
        report = host.run(f"systemd-analyze security --no-pager {unit}").stdout
        exposure = re.search(r"exposure level for .*: ([0-9.]+)", report)
        assert exposure is not None, report
        assert float(exposure[1]) <= 2.5, report


@pytest.mark.on_hosts_of("all")
def test_secrets_are_not_readable_by_others(host: Host) -> None:
    found = host.run(f"find {SECRETS} -type f ! -name '*.crt' -perm /o+rwx").stdout
    assert found == ""


@pytest.mark.on_hosts_of("nameservers")
def test_key_files_have_the_modes_meant(host: Host) -> None:
    update_keys = host.check_output("stat -c '%a %U %G' /etc/bind/keys/*.key").splitlines()
    assert set(update_keys) == {"640 root bind"}
    signing_keys = host.check_output("stat -c '%a %U' /var/lib/bind/keys/*.private").splitlines()
    assert set(signing_keys) == {"600 bind"}
    assert host.file("/etc/bind/named.conf").mode == 0o640
    assert host.run("sudo -u nobody cat /etc/bind/keys/*").rc != 0


@pytest.mark.on_hosts_of("all")
def test_open_ports_are_exactly_those_meant(cluster: Cluster, name: str, host: Host) -> None:
    listening = host.check_output("ss -Htuln").splitlines()
    reachable = {
        f"{line.split()[0]} {line.split()[4].rpartition(':')[2]}"
        for line in listening
        if not re.match(r"(127\.|\[::1\])", line.split()[4])
    }
    assert reachable == expected(PORTS, cluster, name)


@pytest.mark.on_hosts_of("nameservers")
def test_the_firewall_drops_what_is_not_meant(cluster: Cluster, name: str, host: Host) -> None:
    machine = cluster.machines[cluster.validator]
    address = cluster.inventory.hostvars[name]["trust_ipv4"]
    connect = f"timeout 2 bash -c '</dev/tcp/{address}/PORT'"
    host.run("systemd-run --quiet --unit=planted timeout 20 python3 -m http.server 8080")
    try:
        assert cluster.host(machine.name).run(connect.replace("PORT", "53")).rc == 0
        started = host.run("for i in $(seq 50); do ss -Htln | grep :8080 && exit; sleep 0.1; done; exit 1")
        assert started.rc == 0, "the listener that the firewall should hide did not start"
        if machine.name != name:
            assert cluster.host(machine.name).run(connect.replace("PORT", "8080")).rc == 124
    finally:
        host.run("systemctl stop planted")


@pytest.mark.on_hosts_of("all")
def test_ssh_takes_keys_only_and_no_root(host: Host) -> None:
    settings = host.check_output("sshd -T").splitlines()
    assert {"passwordauthentication no", "kbdinteractiveauthentication no", "permitrootlogin no"} <= set(
        settings
    )


def test_settings_that_lock_out_are_undone(cluster: Cluster) -> None:
    name = cluster.inventory.groups["suppliers"][0]
    host, address = cluster.host(name), cluster.inventory.hostvars[name]["ansible_host"]
    knock = f"timeout 2 bash -c '</dev/tcp/{address}/22'"
    outside = controller()
    before = host.file("/etc/nftables.conf").content_string
    host.run(
        "UNDO_AFTER=4s lightest-access arm; sed -i /ssh/d /etc/nftables.conf;"
        " echo PermitRootLogin yes > /etc/ssh/sshd_config.d/10-lightest.conf; lightest-access apply"
    )
    assert outside.run(knock).rc == 124, "the new rules should have shut SSH"
    assert outside.run(f"for i in $(seq 20); do {knock} && exit 0; sleep 1; done; exit 1").rc == 0
    assert host.file("/etc/nftables.conf").content_string == before
    assert "permitrootlogin no" in host.check_output("sshd -T")


def controller() -> Host:
    return testinfra.get_host("local://")


@pytest.mark.on_hosts_of("all")
def test_time_servers_are_addresses_and_wanted_at_boot(cluster: Cluster, host: Host) -> None:
    servers = " ".join(map(str, cluster.inventory.setting("trust_ntp_servers")))
    assert f"\nNTP={servers}\n" in host.file("/etc/systemd/timesyncd.conf.d/lightest.conf").content_string
    assert host.service("systemd-time-wait-sync").is_enabled


@pytest.mark.parametrize(("group", "service"), [("nameservers", "named"), ("resolvers", "unbound")])
def test_validators_start_after_the_clock(cluster: Cluster, group: str, service: str) -> None:
    for name in cluster.inventory.groups[group]:
        after = cluster.host(name).check_output(f"systemctl show -P After {service}")
        assert "time-sync.target" in after.split(), name
