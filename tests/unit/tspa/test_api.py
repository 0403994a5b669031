"""What the API and the lists answer; over HTTPS in tests/integration/test_tspa.py."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from lightest_agents.trust.signed_list import SignedList, open_list
from lightest_agents.trust.trust_list import ServiceStatus
from lightest_agents.tspa.models import ApiToken, AuditEntry, Publication, Sensor
from lightest_agents.tspa.services import publishing, tokens
from tests.unit.tspa.certificates import make_certificate
from tests.unit.tspa.conftest import CLAIM, OTHER, STATE, Tspa

Response = Any
"""Of the test client, which adds to Django's own."""

LIST = "/lists/germany/sensor1"
HOST = "tspa.raspidemo"


class Browser:
    """Sends requests with a manufacturer's token."""

    def __init__(self, token: str | None) -> None:
        self.client = Client(headers={"host": HOST} | ({"authorization": f"Bearer {token}"} if token else {}))

    def __call__(self, method: str, path: str, body: object = None, **options: Any) -> Response:
        data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        options.setdefault("content_type", "application/json")
        return self.client.generic(method, path, data, secure=True, **options)


@pytest.fixture
def acme(tspa: Tspa) -> Browser:
    return Browser(tokens.issue("acme", datetime.now(UTC)))


@pytest.fixture
def public() -> Browser:
    return Browser(None)


def path(action: str = "", claim: str = CLAIM) -> str:
    return f"/v1/sensors/{claim}/{action}".rstrip("/")


def problem(response: Response) -> tuple[int, str]:
    assert response.headers["Content-Type"] == "application/problem+json"
    assert response.headers["Cache-Control"] == "no-store"
    members = json.loads(response.content)
    assert members["status"] == response.status_code
    assert members["detail"]
    return response.status_code, members["reason"]


def enrol(browser: Browser) -> bytes:
    pem = make_certificate(CLAIM)
    response = browser("PUT", path("certificate"), {"certificate": pem.decode()})
    assert response.status_code == 200, response.content
    return pem


# --- who may ---


@pytest.mark.parametrize(
    "header", [None, "", "Bearer", "Bearer ", "Bearer wrong", "Basic YTpi", "Bearer \x7f"]
)
def test_without_a_token_nothing_is_told(tspa: Tspa, header: str | None) -> None:
    client = Client(headers={"host": HOST} | ({} if header is None else {"authorization": header}))
    response = client.get("/v1/sensors", secure=True)
    assert problem(response) == (401, "token-invalid")
    expected = 'Bearer realm="tspa.raspidemo"' + (', error="invalid_token"' if header is not None else "")
    assert response.headers["WWW-Authenticate"] == expected


def test_a_token_that_was_revoked_or_has_expired_is_none(tspa: Tspa) -> None:
    now = datetime.now(UTC)
    revoked, expired = tokens.issue("bolt", now), tokens.issue("acme", now, expires=now)
    assert tokens.revoke_all("bolt", now) == 1
    assert tokens.revoke_all("bolt", now) == 0
    for token in (revoked, expired):
        assert problem(Browser(token)("GET", "/v1/sensors")) == (401, "token-invalid")
        assert token not in str(list(ApiToken.objects.values()))


def test_the_token_of_a_manufacturer_that_left_the_inventory_is_none(tspa: Tspa, acme: Browser) -> None:
    assert acme("GET", "/v1/sensors").status_code == 200
    tspa.registry["manufacturers"].pop(0)
    tspa.registry["sensors"] = []
    tspa.sync()
    assert problem(acme("GET", "/v1/sensors")) == (401, "token-invalid")


@pytest.mark.parametrize(
    "claim",
    [
        OTHER,
        "sensor9.germany.raspidemo",
        "sensor1.spain.raspidemo",
        "sensor1.germany.evil",
        "sensor1",
        CLAIM.upper(),
    ],
)
def test_what_is_not_ones_own_leaves_only_an_audit_entry(tspa: Tspa, acme: Browser, claim: str) -> None:
    before = (list(Sensor.objects.values()), Publication.objects.count())
    answers = []
    for method, action, body in (
        ("GET", "", None),
        ("PUT", "certificate", {"certificate": make_certificate(OTHER).decode()}),
        ("PUT", "suppliers", {"suppliers": ["supplier3"]}),
        ("POST", "withdraw", {"reason": "spite"}),
        ("POST", "restore", {"reason": "spite"}),
    ):
        response = acme(method, path(action, claim), body)
        assert problem(response) == (403, "forbidden")
        answers.append(response.content)
    assert len(set(answers)) == 1
    assert (list(Sensor.objects.values()), Publication.objects.count()) == before
    entries = AuditEntry.objects.filter(actor="manufacturer:acme", outcome="refused", reason="forbidden")
    actions = ["show", "certificate", "suppliers", "withdraw", "restore"]
    assert list(entries.order_by("pk").values_list("action", flat=True)) == actions
    assert set(entries.values_list("source", flat=True)) == {"127.0.0.1"}


# --- a sensor's life ---


def test_a_sensor_is_enrolled_withdrawn_and_restored(tspa: Tspa, acme: Browser, public: Browser) -> None:
    assert problem(public("GET", LIST)) == (404, "not-found")
    pem = enrol(acme)
    again = acme("PUT", path("certificate"), pem, content_type="application/x-pem-file")
    shown = json.loads(again.content)
    assert shown["changed"] is False
    assert shown["sensor"] == json.loads(acme("GET", path()).content)
    assert [item["sequence"] for item in shown["sensor"]["lists"]] == [1]

    for action, status, sequence in (
        ("withdraw", ServiceStatus.WITHDRAWN, 2),
        ("restore", ServiceStatus.GRANTED, 3),
    ):
        for changed in (True, False):
            answer = acme("POST", path(action), {"reason": "it was opened"})
            assert json.loads(answer.content)["changed"] is changed
        found = open_list(public("GET", LIST).content)
        assert isinstance(found, SignedList)
        assert (found.trust_list.service.status, found.trust_list.sequence) == (status, sequence)
    reasons = AuditEntry.objects.filter(action__in=("withdraw", "restore"), outcome="done")
    assert list(reasons.values_list("reason", flat=True)) == ["it was opened"] * 2


def test_suppliers_are_set_in_order_and_nothing_new_publishes_nothing(tspa: Tspa, acme: Browser) -> None:
    enrol(acme)
    for labels, changed, sequence in (
        (["supplier1", "supplier2"], False, 1),
        (["supplier2", "supplier3"], True, 2),
        (["supplier3", "supplier2"], True, 3),
        (["supplier3", "supplier2"], False, 3),
    ):
        answer = json.loads(acme("PUT", path("suppliers"), {"suppliers": labels}).content)
        assert answer["changed"] is changed
        assert answer["sensor"]["suppliers"] == labels
        assert answer["sensor"]["lists"][0]["sequence"] == sequence


def test_a_sensor_without_a_certificate_is_prepared_but_not_published(tspa: Tspa, acme: Browser) -> None:
    acme("PUT", path("suppliers"), {"suppliers": ["supplier3"]})
    acme("POST", path("withdraw"), {"reason": "not yet"})
    assert publishing.heal() == publishing.Report(0, ())
    enrol(acme)
    found = open_list(tspa.served() or b"")
    assert isinstance(found, SignedList)
    assert found.trust_list.service.status is ServiceStatus.WITHDRAWN
    assert [supplier.name for supplier in found.trust_list.suppliers] == ["supplier3"]


def test_a_dns_that_fails_is_said_and_the_change_is_kept(tspa: Tspa, acme: Browser) -> None:
    tspa.registry["zones"][0]["port"] = 1
    tspa.sync()
    response = acme("PUT", path("certificate"), {"certificate": make_certificate(CLAIM).decode()})
    assert problem(response) == (503, "dns-update-failed")
    assert response.headers["Retry-After"] == "60"
    assert json.loads(acme("GET", path()).content)["lists"][0]["state"] == "pending"
    tspa.registry["zones"][0]["port"] = tspa.world.named_port
    tspa.sync()
    assert publishing.heal().published == 1
    assert json.loads(acme("GET", path()).content)["lists"][0]["state"] == "current"


def test_sensors_come_page_by_page(tspa: Tspa, acme: Browser) -> None:
    for number in range(3, 8):
        tspa.registry["sensors"].append(
            {"country": "germany", "label": f"sensor{number}", "manufacturer": "acme", "suppliers": []}
        )
    tspa.sync()
    claims, next_page = [], "/v1/sensors?limit=3"
    while next_page:
        page = json.loads(acme("GET", next_page).content)
        assert 0 < len(page["sensors"]) <= 3
        claims += [sensor["claim"] for sensor in page["sensors"]]
        next_page = page["next"]
    german = [f"sensor{number}.germany.raspidemo" for number in (1, 3, 4, 5, 6, 7)]
    assert claims == ["sensor1.france.raspidemo", *german]


# --- what is sent ---


@pytest.mark.parametrize(
    ("method", "action", "body", "options", "expected"),
    [
        ("POST", "certificate", {}, {}, (405, "method-not-allowed")),
        ("GET", "withdraw", None, {}, (405, "method-not-allowed")),
        ("PUT", "suppliers", b"suppliers=a", {"content_type": "text/plain"}, (415, "request-malformed")),
        ("PUT", "certificate", b"x", {"content_type": "text/plain"}, (415, "request-malformed")),
        ("PUT", "suppliers", b"{", {}, (400, "request-malformed")),
        (
            "PUT",
            "suppliers",
            b'{"suppliers": ["supplier1"], "suppliers": []}',
            {},
            (400, "request-malformed"),
        ),
        ("PUT", "suppliers", b"[]", {}, (422, "request-malformed")),
        ("PUT", "suppliers", {"suppliers": []}, {}, (422, "request-malformed")),
        ("PUT", "suppliers", {"suppliers": ["supplier1"] * 2}, {}, (422, "request-malformed")),
        ("PUT", "suppliers", {"suppliers": ["../x"]}, {}, (422, "request-malformed")),
        ("PUT", "suppliers", {"suppliers": ["nobody"]}, {}, (422, "name-unknown")),
        ("PUT", "suppliers", {"suppliers": ["supplier1"], "force": True}, {}, (422, "request-malformed")),
        ("POST", "withdraw", {"reason": 7}, {}, (422, "request-malformed")),
        ("POST", "withdraw", {"reason": " "}, {}, (422, "request-malformed")),
        ("POST", "withdraw", {"reason": "a\nb"}, {}, (422, "request-malformed")),
        ("POST", "withdraw", {}, {}, (422, "request-malformed")),
        ("PUT", "certificate", {"certificate": "rubbish"}, {}, (422, "certificate-refused")),
        ("PUT", "certificate", b" " * (64 * 1024 + 1), {}, (413, "request-malformed")),
    ],
)
def test_what_is_wrong_is_refused(
    acme: Browser,
    method: str,
    action: str,
    body: object,
    options: dict[str, str],
    expected: tuple[int, str],
) -> None:
    assert problem(acme(method, path(action), body, **options)) == expected


def test_the_wrong_field_is_named(acme: Browser) -> None:
    members = json.loads(acme("POST", path("withdraw"), {"why": "stolen"}).content)
    assert members["errors"] == [
        {"field": "reason", "message": "Field required"},
        {"field": "why", "message": "Extra inputs are not permitted"},
    ]


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=x", "limit=1001", "limit=%C2%B2", "limit=00000000001", "after=x"]
)
def test_pages_that_cannot_be_are_refused(acme: Browser, query: str) -> None:
    assert problem(acme("GET", f"/v1/sensors?{query}")) == (400, "request-malformed")


def test_another_servers_name_and_other_addresses_are_refused(tspa: Tspa, public: Browser) -> None:
    assert problem(Client(headers={"host": "evil.example"}).get("/", secure=True)) == (
        400,
        "request-malformed",
    )
    assert problem(public("GET", "/lists/germany")) == (404, "not-found")


# --- the lists ---


def test_a_list_is_served_with_what_caches_need(tspa: Tspa, acme: Browser, public: Browser) -> None:
    enrol(acme)
    full = public("GET", LIST)
    publication = Publication.objects.get()
    assert full.content == bytes(publication.document)
    assert full.headers["Content-Type"] == "application/jose"
    assert full.headers["Cache-Control"] == "public, max-age=300, no-transform"
    assert full.headers["ETag"] == f'"{publication.etag}"'
    assert "Last-Modified" in full.headers

    head = public("HEAD", LIST)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["Content-Length"] == str(len(full.content))
    same = public("GET", LIST, HTTP_IF_NONE_MATCH=full.headers["ETag"])
    assert (same.status_code, same.content) == (304, b"")
    assert same.headers["Cache-Control"] == full.headers["Cache-Control"]
    assert public("GET", LIST, HTTP_IF_NONE_MATCH='"another"').status_code == 200
    assert problem(public("PUT", LIST)) == (405, "method-not-allowed")

    acme("POST", path("withdraw"), {"reason": "stolen"})
    assert public("GET", LIST, HTTP_IF_NONE_MATCH=full.headers["ETag"]).status_code == 200


@pytest.mark.parametrize(("left", "ages"), [(100, range(90, 101)), (-5, range(1))])
def test_no_cache_keeps_a_list_beyond_its_next_update(
    tspa: Tspa, acme: Browser, public: Browser, left: int, ages: range
) -> None:
    enrol(acme)
    Publication.objects.update(next_update=timezone.now() + timedelta(seconds=left))
    age = int(public("GET", LIST).headers["Cache-Control"].split("max-age=")[1].split(",")[0])
    assert age in ages


def test_health_and_readiness(tspa: Tspa, public: Browser) -> None:
    assert json.loads(public("GET", "/").content)["operator"] == "Operator of the trust scheme"
    assert public("GET", "/healthz").status_code == 200
    assert public("GET", "/readyz").status_code == 200
    key = STATE / "signer.key"
    key.rename(STATE / "away.key")
    try:
        assert problem(public("GET", "/readyz")) == (503, "tspa-unusable")
        assert public("GET", "/healthz").status_code == 200
    finally:
        (STATE / "away.key").rename(key)
