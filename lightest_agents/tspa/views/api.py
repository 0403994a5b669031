"""The manufacturers' API, version 1.

Every request carries a manufacturer's token (RFC 6750), which is checked before its body is read. A sensor
that is not the manufacturer's own and one that does not exist are answered alike.
"""

import re
from collections.abc import Callable
from datetime import datetime
from http import HTTPStatus

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt

from lightest_agents.errors import LightestError
from lightest_agents.tspa import selectors
from lightest_agents.tspa.errors import (
    CertificateRefusedError,
    DnsUpdateFailedError,
    ForbiddenError,
    InstallationError,
    UnknownNameError,
)
from lightest_agents.tspa.models import Publication, Sensor
from lightest_agents.tspa.services import sensors, tokens
from lightest_agents.tspa.services.audit import Caller
from lightest_agents.tspa.views.bodies import (
    BodyError,
    ReasonBody,
    SuppliersBody,
    read_certificate,
    read_json,
)
from lightest_agents.tspa.views.problems import method_not_allowed, problem

Endpoint = Callable[..., HttpResponse]

_PAGE = 100
_LARGEST_PAGE = 1000
_RETRY_SECONDS = "60"
_STATUS: dict[type[LightestError], HTTPStatus] = {
    ForbiddenError: HTTPStatus.FORBIDDEN,
    CertificateRefusedError: HTTPStatus.UNPROCESSABLE_ENTITY,
    UnknownNameError: HTTPStatus.UNPROCESSABLE_ENTITY,
    DnsUpdateFailedError: HTTPStatus.SERVICE_UNAVAILABLE,
    InstallationError: HTTPStatus.SERVICE_UNAVAILABLE,
}


def _endpoint(method: str) -> Callable[[Endpoint], Endpoint]:
    """A view for one method that gets the caller, and whose errors become problem documents."""

    def decorate(function: Endpoint) -> Endpoint:
        def view(request: HttpRequest, **arguments: str) -> HttpResponse:
            caller = _caller(request)
            if caller is None:
                return _unauthorized(request)
            if request.method != method:
                return method_not_allowed(method)
            try:
                response = function(request, caller, **arguments)
            except BodyError as error:
                return problem(error.status, error.reason, str(error), errors=error.errors)
            except LightestError as error:
                return _refusal(error)
            response.headers["Cache-Control"] = "no-store"
            return response

        return csrf_exempt(view)

    return decorate


@_endpoint("GET")
def list_sensors(request: HttpRequest, caller: Caller) -> HttpResponse:
    """`GET /v1/sensors?limit=100&after=<claim>`: the caller's sensors, page by page."""
    text = request.GET.get("limit", str(_PAGE))
    limit = int(text) if re.fullmatch("[0-9]{1,4}", text) else 0
    if not 1 <= limit <= _LARGEST_PAGE:
        raise BodyError(
            HTTPStatus.BAD_REQUEST,
            "wrong: limit",
            ({"field": "limit", "message": f"must be a number from 1 to {_LARGEST_PAGE}"},),
        )
    after = request.GET.get("after")
    place = ("", "") if after is None else selectors.split_claim(after)
    if place is None:
        raise BodyError(
            HTTPStatus.BAD_REQUEST, "wrong: after", ({"field": "after", "message": "must be a claim"},)
        )
    found = selectors.own_sensors(caller.manufacturer, place, limit + 1)
    page = found[:limit]
    newest = selectors.newest_publications(page)
    more = f"/v1/sensors?limit={limit}&after={selectors.claim(page[-1])}" if len(found) > limit else None
    return JsonResponse({"sensors": [_shown(sensor, newest[sensor.pk]) for sensor in page], "next": more})


@_endpoint("GET")
def show_sensor(_request: HttpRequest, caller: Caller, claim: str) -> HttpResponse:
    """`GET /v1/sensors/<claim>`."""
    return JsonResponse(_one(sensors.own_sensor(caller, "show", claim)))


@_endpoint("PUT")
def put_certificate(request: HttpRequest, caller: Caller, claim: str) -> HttpResponse:
    """`PUT /v1/sensors/<claim>/certificate`: the certificate as PEM, or `{"certificate": "<PEM>"}`."""
    changed = sensors.register_certificate(caller, claim, read_certificate(request))
    return _changed(caller, claim, changed=changed)


@_endpoint("PUT")
def put_suppliers(request: HttpRequest, caller: Caller, claim: str) -> HttpResponse:
    """`PUT /v1/sensors/<claim>/suppliers`: `{"suppliers": ["supplier1", …]}`."""
    changed = sensors.set_suppliers(caller, claim, read_json(request, SuppliersBody).suppliers)
    return _changed(caller, claim, changed=changed)


@_endpoint("POST")
def withdraw(request: HttpRequest, caller: Caller, claim: str) -> HttpResponse:
    """`POST /v1/sensors/<claim>/withdraw`: `{"reason": "…"}`."""
    changed = sensors.withdraw(caller, claim, read_json(request, ReasonBody).reason)
    return _changed(caller, claim, changed=changed)


@_endpoint("POST")
def restore(request: HttpRequest, caller: Caller, claim: str) -> HttpResponse:
    """`POST /v1/sensors/<claim>/restore`: `{"reason": "…"}`."""
    changed = sensors.restore(caller, claim, read_json(request, ReasonBody).reason)
    return _changed(caller, claim, changed=changed)


def _caller(request: HttpRequest) -> Caller | None:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        return None
    found = selectors.valid_token(tokens.digest(token.strip()), timezone.now())
    return Caller(found.manufacturer, _source(request)) if found else None


def _source(request: HttpRequest) -> str:
    """The client's address; a socket for both families shows IPv4 addresses as mapped ones."""
    return str(request.META.get("REMOTE_ADDR", "")).removeprefix("::ffff:")


def _unauthorized(request: HttpRequest) -> HttpResponse:
    challenge = f'Bearer realm="{selectors.config().name}"'
    if "Authorization" in request.headers:
        challenge += ', error="invalid_token"'
    return problem(
        HTTPStatus.UNAUTHORIZED,
        "token-invalid",
        "send a valid token of the manufacturer in the Authorization header",
        headers={"WWW-Authenticate": challenge},
    )


def _refusal(error: LightestError) -> HttpResponse:
    status = _STATUS.get(type(error), HTTPStatus.INTERNAL_SERVER_ERROR)
    later = {"Retry-After": _RETRY_SECONDS} if status == HTTPStatus.SERVICE_UNAVAILABLE else None
    return problem(status, error.reason, str(error), headers=later)


def _changed(caller: Caller, claim: str, *, changed: bool) -> HttpResponse:
    return JsonResponse({"changed": changed, "sensor": _one(sensors.own_sensor(caller, "show", claim))})


def _one(sensor: Sensor) -> dict[str, object]:
    return _shown(sensor, selectors.newest_publications([sensor])[sensor.pk])


def _shown(sensor: Sensor, publications: list[Publication]) -> dict[str, object]:
    config = selectors.config()
    return {
        "claim": selectors.claim(sensor),
        "country": sensor.country,
        "sensor": sensor.label,
        "status": sensor.status,
        "since": _time(sensor.since),
        "certificate_sha256": sensor.fingerprint or None,
        "suppliers": [choice.supplier.label for choice in sensor.choices.all()],
        "lists": [
            {
                "url": config.list_url(sensor.country, sensor.label),
                "sequence": publication.sequence,
                "state": publication.state,
                "issued": _time(publication.issued),
                "next_update": _time(publication.next_update),
            }
            for publication in publications
        ],
    }


def _time(time: datetime) -> str:
    return f"{time:%Y-%m-%dT%H:%M:%SZ}"
