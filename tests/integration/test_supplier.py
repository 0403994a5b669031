"""The supplier as it runs: alarms over TLS, the verifier's key from a real DNS, the lamp by its events."""

import json
import stat
import time
from collections.abc import Iterator
from itertools import islice
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from lightest_agents.trust.alarm import AlarmSigner
from tests.supplier_process import SupplierProcess
from tests.unit.supplier.alarms import make_alarm
from tests.world import Break, Identity, World

VERIFIER = "verifier.raspidemo"
FOREIGN = "verifier.germany.raspidemo"  # in a zone that a test can break
HTML = {"Accept": "text/html"}


class Verifier:
    """Somebody who signs alarms; whether a supplier believes it is up to the DNS."""

    def __init__(self, world: World, name: str = VERIFIER) -> None:
        self.name = name
        self.identity: Identity = world.identity(name)
        key = serialization.load_pem_private_key(self.identity.key.read_bytes(), None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        self._key = key
        self._certificate = x509.load_der_x509_certificate(self.identity.der)
        self._world = world

    def publish(self) -> None:
        self._world.set(f"_verdict._trust.{self.name}", "SMIMEA", self.identity.tlsa)

    def alarm(self, number: int, **changes: Any) -> bytes:
        signer = AlarmSigner(self._key, self._certificate)
        return signer.sign(make_alarm(number, **{"iss": self.name} | changes))


@pytest.fixture(scope="module")
def running(running_world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SupplierProcess]:
    folder = tmp_path_factory.mktemp("supplier")
    with SupplierProcess(
        running_world, folder, settings=f'verifiers = ["{VERIFIER}", "{FOREIGN}"]'
    ) as supplier:
        yield supplier


@pytest.fixture
def supplier(running: SupplierProcess) -> Iterator[SupplierProcess]:
    yield running
    if running.lamp()["blinking"]:
        running.command("acknowledge")
    assert not running.lamp()["blinking"], running.log.read_text()


@pytest.fixture
def verifier(world: World) -> Verifier:
    verifier = Verifier(world)
    verifier.publish()
    return verifier


@pytest.fixture
def number() -> int:
    """Of a fault that no test has raised before."""
    return time.time_ns()


def until_blinking(events: Iterator[tuple[str, Any]], *, blinking: bool) -> None:
    for name, data in events:
        if name == "lamp" and data["blinking"] is blinking:
            return


def test_an_alarm_blinks_the_lamp_until_somebody_acknowledges_on_the_page(
    supplier: SupplierProcess, verifier: Verifier, number: int
) -> None:
    alarm = verifier.alarm(number)
    fault_id = f"{number:032x}"
    with supplier.events() as events:
        assert next(events)[1]["blinking"] is False
        answer = supplier.send(alarm)
        assert (answer.status, answer.json) == (202, {"fault_id": fault_id, "new": True})
        until_blinking(events, blinking=True)
        beats = list(islice((data["lit"] for name, data in events if name == "lamp"), 3))
        assert beats in ([True, False, True], [False, True, False])

        page = supplier.request("GET", "/")
        assert "The lamp is blinking" in page.text
        assert f'action="/v1/alarms/{fault_id}/acknowledge"' in page.text
        answer = supplier.request(
            "POST", f"/v1/alarms/{fault_id}/acknowledge", headers=HTML | {"Sec-Fetch-Site": "same-origin"}
        )
        assert (answer.status, answer.headers["Location"]) == (303, "/")
        until_blinking(events, blinking=False)
    lamp = supplier.lamp()
    assert (lamp["lit"], lamp["unacknowledged"]) == (False, 0)
    assert "No open alarm" in supplier.request("GET", "/").text

    assert supplier.send(alarm).json == {"fault_id": fault_id, "new": False}
    assert not supplier.lamp()["blinking"]


def test_an_alarm_survives_kill_9_and_blinks_again(
    supplier: SupplierProcess, verifier: Verifier, number: int
) -> None:
    assert supplier.send(verifier.alarm(number)).status == 202
    supplier.kill()
    supplier.start()
    assert supplier.lamp()["blinking"]
    with supplier.events() as events:
        until_blinking(events, blinking=True)


def test_the_command_line_lists_and_acknowledges(
    supplier: SupplierProcess, verifier: Verifier, number: int
) -> None:
    fault_id = f"{number:032x}"
    supplier.send(verifier.alarm(number))
    assert json.loads(supplier.command("lamp", "--json").stdout)["blinking"] is True
    assert supplier.command("lamp").stdout == "blinking: 1 alarm to acknowledge\n"
    listed = json.loads(supplier.command("alarms", "--json", "--limit", "0").stdout)
    assert [(alarm["fault_id"], alarm["acknowledged"]) for alarm in listed] == [(fault_id, None)]
    assert "sensor1.germany.raspidemo" in supplier.command("alarms").stdout
    with supplier.events() as events:
        assert supplier.command("acknowledge", fault_id).stdout == f"acknowledged {fault_id}\n"
        until_blinking(events, blinking=False)
    assert supplier.command("acknowledge", fault_id).stdout == f"{fault_id} was acknowledged before\n"
    assert supplier.command("acknowledge").stdout == "nothing to acknowledge\n"
    assert supplier.command("lamp").stdout == "dark: no open alarm\n"
    unknown = supplier.command("acknowledge", "0" * 32)
    assert (unknown.returncode, unknown.stderr) == (2, f"lightest: there is no alarm {'0' * 32}\n")
    assert stat.S_IMODE((supplier.state / "control.sock").stat().st_mode) == 0o600


DAY = 86400


@pytest.mark.parametrize(
    ("changes", "status", "reason"),
    [
        ({"aud": "supplier2"}, 403, "alarm-audience"),
        ({"iss": "verifier2.raspidemo"}, 403, "alarm-issuer"),
        ({"iat": -DAY - 60}, 403, "alarm-stale"),
        ({"iat": 120}, 403, "alarm-stale"),
        ({"raised": 10 * DAY}, 403, "alarm-stale"),
    ],
)
def test_an_alarm_that_is_not_for_here_and_now_leaves_the_lamp_dark(
    supplier: SupplierProcess,
    verifier: Verifier,
    number: int,
    changes: dict[str, Any],
    status: int,
    reason: str,
) -> None:
    now = int(time.time())
    changes = {key: now + value if isinstance(value, int) else value for key, value in changes.items()}
    refused(supplier, verifier.alarm(number, **changes), status, reason)


def refused(supplier: SupplierProcess, alarm: bytes, status: int, reason: str) -> None:
    answer = supplier.send(alarm)
    assert (answer.status, answer.json["reason"]) == (status, reason), answer.text
    assert answer.headers["Content-Type"].startswith("application/problem+json")
    lamp = supplier.lamp()
    assert (lamp["blinking"], lamp["lit"], lamp["unacknowledged"]) == (False, False, 0)


def test_a_fake_verifier_leaves_the_lamp_dark(
    supplier: SupplierProcess, verifier: Verifier, world: World, number: int
) -> None:
    refused(supplier, Verifier(world).alarm(number), 403, "alarm-signer")


def test_a_verifier_without_a_record_leaves_the_lamp_dark(
    supplier: SupplierProcess, world: World, number: int
) -> None:
    refused(supplier, Verifier(world).alarm(number), 403, "alarm-signer")


def test_a_verifier_in_an_unsigned_zone_leaves_the_lamp_dark(
    supplier: SupplierProcess, world: World, number: int
) -> None:
    verifier = Verifier(world, FOREIGN)
    verifier.publish()
    world.break_zone("germany.raspidemo", Break.INSECURE)
    refused(supplier, verifier.alarm(number), 403, "alarm-signer")


def test_a_forged_answer_of_the_dns_leaves_the_lamp_dark_until_the_true_one_is_there(
    supplier: SupplierProcess, world: World, number: int
) -> None:
    verifier = Verifier(world, FOREIGN)
    verifier.publish()
    world.break_zone("germany.raspidemo", Break.WRONG_DS)
    refused(supplier, verifier.alarm(number), 503, "alarm-signer-unknown")
    world.restore()
    verifier.publish()
    assert supplier.send(verifier.alarm(number)).status == 202
    assert supplier.lamp()["blinking"]


def test_without_the_resolver_the_verifier_is_asked_to_come_again(
    supplier: SupplierProcess, verifier: Verifier, world: World, number: int
) -> None:
    assert supplier.request("GET", "/readyz").status == 200
    world.stop_unbound()
    refused(supplier, verifier.alarm(number), 503, "alarm-signer-unknown")
    assert supplier.send(verifier.alarm(number)).headers["Retry-After"]
    assert supplier.request("GET", "/readyz").json["reason"] == "resolver-unavailable"
    assert supplier.request("GET", "/healthz").status == 200


def test_an_altered_alarm_leaves_the_lamp_dark(
    supplier: SupplierProcess, verifier: Verifier, number: int
) -> None:
    head, _, signature = verifier.alarm(number).split(b".")
    other = verifier.alarm(number + 1).split(b".")[1]
    refused(supplier, b".".join((head, other, signature)), 403, "alarm-signature")


@pytest.mark.parametrize("body", [b"", b"{}", b"a.b.c", b"\xff" * 100])
def test_what_is_no_alarm_leaves_the_lamp_dark(supplier: SupplierProcess, body: bytes) -> None:
    refused(supplier, body, 400, "alarm-malformed")


def test_what_is_too_large_or_of_another_type_is_refused(supplier: SupplierProcess) -> None:
    assert supplier.send(b"x" * (16 * 1024 + 1)).status == 413
    answer = supplier.request("POST", "/v1/alarms", b"{}", {"Content-Type": "application/json"})
    assert (answer.status, answer.json["reason"]) == (415, "media-type")


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://elsewhere.raspidemo"},
        {"Origin": "null"},
    ],
)
def test_a_form_on_another_site_cannot_acknowledge(
    supplier: SupplierProcess, verifier: Verifier, number: int, headers: dict[str, str]
) -> None:
    supplier.send(verifier.alarm(number))
    answer = supplier.request("POST", f"/v1/alarms/{number:032x}/acknowledge", headers=headers)
    assert (answer.status, answer.json["reason"]) == (403, "foreign-origin")
    assert supplier.lamp()["blinking"]


def test_an_unknown_alarm_cannot_be_acknowledged(supplier: SupplierProcess) -> None:
    answer = supplier.request("POST", "/v1/alarms/nothing/acknowledge")
    assert (answer.status, answer.json["reason"]) == (404, "alarm-unknown")


def test_every_answer_keeps_browsers_from_mischief(supplier: SupplierProcess) -> None:
    for path in ("/", "/v1/lamp", "/nowhere"):
        headers = supplier.request("GET", path).headers
        assert headers["Content-Security-Policy"].startswith("default-src 'none'")
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cache-Control"] == "no-store"


def test_the_page_is_for_its_networks_and_alarms_come_from_anywhere(
    supplier: SupplierProcess, verifier: Verifier, number: int
) -> None:
    supplier.stop()
    before = supplier.config.read_text()
    supplier.config.write_text('page_networks = ["192.0.2.0/24"]\n' + before)
    supplier.start()
    try:
        assert supplier.send(verifier.alarm(number)).status == 202
        for method, path in (
            ("GET", "/"),
            ("GET", "/v1/lamp"),
            ("GET", "/events"),
            ("POST", f"/v1/alarms/{number:032x}/acknowledge"),
        ):
            assert supplier.request(method, path).json["reason"] == "network-refused"
        assert json.loads(supplier.command("lamp", "--json").stdout)["blinking"]
    finally:
        supplier.stop()
        supplier.config.write_text(before)
        supplier.start()


def test_a_second_service_on_the_same_state_is_a_sentence(supplier: SupplierProcess) -> None:
    second = supplier.command("run")
    assert second.returncode == 2
    assert "another supplier" in second.stderr
    assert "Traceback" not in second.stderr
    assert supplier.command("lamp").returncode == 0


def test_a_service_that_does_not_run_is_a_sentence(supplier: SupplierProcess) -> None:
    with supplier.events() as events:
        next(events)
        assert supplier.stop() == 0  # though somebody still listens
        assert [name for name, _ in events] == ["alarms"]
    answer = supplier.command("lamp")
    assert answer.returncode == 2
    assert "does not answer" in answer.stderr
    supplier.start()
