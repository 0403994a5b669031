"""Errors as problem details (RFC 9457), with the project's stable reason code."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus

from django.http import HttpRequest, HttpResponse, JsonResponse


def problem(
    status: HTTPStatus,
    reason: str,
    detail: str,
    *,
    errors: Sequence[Mapping[str, str]] = (),
    headers: Mapping[str, str] | None = None,
) -> HttpResponse:
    """A problem document; `errors` has `field` and `message` of each field that is wrong."""
    members: dict[str, object] = {
        "type": "about:blank",
        "title": status.phrase,
        "status": status.value,
        "reason": reason,
        "detail": detail,
    }
    if errors:
        members["errors"] = list(errors)
    response = JsonResponse(members, status=status, content_type="application/problem+json")
    for name, value in {"Cache-Control": "no-store", **(headers or {})}.items():
        response.headers[name] = value
    return response


def method_not_allowed(*allowed: str) -> HttpResponse:
    """The answer to any other method than those that are allowed."""
    methods = ", ".join(allowed)
    return problem(
        HTTPStatus.METHOD_NOT_ALLOWED, "method-not-allowed", f"use {methods}", headers={"Allow": methods}
    )


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:  # noqa: ARG001
    """What Django refuses, such as a Host header that is not this server's name."""
    return problem(HTTPStatus.BAD_REQUEST, "request-malformed", "the request cannot be understood")


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:  # noqa: ARG001
    """There is nothing at this address."""
    return problem(HTTPStatus.NOT_FOUND, "not-found", "there is nothing at this address")


def server_error(request: HttpRequest) -> HttpResponse:  # noqa: ARG001
    """A defect, or a database that does not take changes; the journal has the reason."""
    return problem(HTTPStatus.INTERNAL_SERVER_ERROR, "internal", "the server failed; see its journal")
