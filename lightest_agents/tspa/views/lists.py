"""What everybody may read: the trust lists, and whether the TSPA is well."""

import math
from http import HTTPStatus

from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.utils import timezone
from django.utils.cache import get_conditional_response
from django.utils.http import http_date

from lightest_agents.errors import LightestError
from lightest_agents.tspa import selectors
from lightest_agents.tspa.migrating import pending_migrations
from lightest_agents.tspa.signer import ListSigner
from lightest_agents.tspa.views.problems import method_not_allowed, problem

_MAX_AGE = 300


def trust_list(request: HttpRequest, country: str, sensor: str) -> HttpResponseBase:
    """The signed list of a sensor, with what caches need (RFC 9111): never kept beyond its next update."""
    if request.method not in ("GET", "HEAD"):
        return method_not_allowed("GET", "HEAD")
    publication = selectors.current_publication(country, sensor)
    if publication is None:
        return problem(HTTPStatus.NOT_FOUND, "not-found", "there is no list of this sensor")
    left = math.floor((publication.next_update - timezone.now()).total_seconds())
    etag = f'"{publication.etag}"'
    modified = int(publication.issued.timestamp())
    response = HttpResponse(
        bytes(publication.document),
        content_type="application/jose",
        headers={
            "ETag": etag,
            "Last-Modified": http_date(modified),
            "Cache-Control": f"public, max-age={max(0, min(_MAX_AGE, left))}, no-transform",
        },
    )
    return get_conditional_response(request, etag, modified, response) or response


def about(request: HttpRequest) -> HttpResponse:
    """Who runs this TSPA; every list refers to it."""
    if request.method not in ("GET", "HEAD"):
        return method_not_allowed("GET", "HEAD")
    config = selectors.config()
    return JsonResponse({"operator": config.operator, "territory": config.territory, "domain": config.domain})


def healthz(_request: HttpRequest) -> HttpResponse:
    """The server answers; used by its own watchdog."""
    return JsonResponse({"status": "ok"})


def readyz(_request: HttpRequest) -> HttpResponse:
    """The server can publish: the database is there and up to date, and the list signer can be used."""
    try:
        if pending_migrations():
            return problem(HTTPStatus.SERVICE_UNAVAILABLE, "tspa-unusable", "the database is to be migrated")
        ListSigner.read(selectors.config().state)
    except DatabaseError:
        return problem(HTTPStatus.SERVICE_UNAVAILABLE, "tspa-unusable", "the database does not answer")
    except LightestError as error:
        return problem(HTTPStatus.SERVICE_UNAVAILABLE, error.reason, "the list signer cannot be used")
    return JsonResponse({"status": "ready"})
