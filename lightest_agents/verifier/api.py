"""The verifier's HTTPS end-points: sensors bring their faults, everybody with a fault's id may see its chain.

Nobody can list faults over HTTP: an id is known to those to whom the verifier, or an alarm, has told it.
"""

import logging
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime

import dns.name
import dns.rdatatype
from aiohttp import web
from aiohttp.typedefs import Handler

from lightest_agents.dns.lookups import Resolver, Status
from lightest_agents.errors import NameRefusedError
from lightest_agents.trust.names import trust_domain
from lightest_agents.trust.notification import MAX_BYTES, SignedNotification, parse
from lightest_agents.trust.verdict import Reason, Refusal
from lightest_agents.verifier.claims import Claims
from lightest_agents.verifier.database import StoreError
from lightest_agents.verifier.settings import VerifierSettings
from lightest_agents.verifier.store import Fault, State, Store, fault_id
from lightest_agents.verifier.views import fault_json, is_decided, notification_of, trace_of
from lightest_agents.verifier.worker import Worker
from lightest_agents.web import pages

_MEDIA_TYPE = "application/jose"
# What is far too large is not read to its end; what is a little too large is told its reason code.
_MAX_READ = 8 * MAX_BYTES
_RETRY_SECONDS = 10
_PROBE_SECONDS = 1.0
_REFRESH_SECONDS = 2
_FAULT_ID = re.compile(r"[0-9a-f]{32}")
_QUALITY = re.compile(r";\s*q=([01](?:\.[0-9]{0,3})?)\s*(?:;|$)")

_log = logging.getLogger(__name__)


class VerifierApi:
    """The handlers, around what one service has."""

    def __init__(
        self,
        settings: VerifierSettings,
        *,
        claims: Claims,
        resolver: Resolver,
        store: Store,
        worker: Worker,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Serve what is given; nothing of it is opened or closed here. `clock`: seconds since the epoch."""
        self._settings = settings
        self._domain = trust_domain(settings.domain)
        self._claims = claims
        self._resolver = resolver
        self._store = store
        self._worker = worker
        self._clock = clock
        self._arriving = 0
        self._probed = 0.0
        self._problems: list[str] = []
        self._page = pages.environment("lightest_agents.verifier").get_template("fault.html")

    def application(self) -> web.Application:
        """The application, to be served once."""
        app = web.Application(client_max_size=_MAX_READ, middlewares=[_failures_as_problems])
        app.add_routes(
            [
                web.post("/v1/faults", self._receive),
                web.get("/v1/faults/{id}", self._show),
                web.get("/healthz", self._live),
                web.get("/readyz", self._ready),
            ]
        )
        pages.add_static(app)
        app.on_response_prepare.append(_secure)
        return app

    async def _receive(self, request: web.Request) -> web.Response:
        """202 once the notification is on the disk, also when it was there already."""
        if request.content_type != _MEDIA_TYPE:
            return problem(415, "media-type", f"A fault is sent as {_MEDIA_TYPE}", request.content_type)
        fault, signed = self._read(await request.read())
        if signed is None:
            assert isinstance(fault, Refusal)  # noqa: S101 - narrows the type
            status = 413 if fault.reason is Reason.NOTIFICATION_TOO_LARGE else 400
            return problem(status, fault.reason, fault.reason.meaning, fault.detail)
        assert isinstance(fault, Fault)  # noqa: S101 - narrows the type
        if self._worker.undecided + self._arriving >= self._settings.inbox_limit:
            state = await self._store.state(fault.id)
            if state is None:
                detail = f"{self._settings.inbox_limit} faults wait for their verdict; send it again later"
                return problem(429, "inbox-full", "The inbox is full", detail)
            return self._taken(fault.id, state)
        self._arriving += 1
        try:
            known = await self._store.add(fault)
            if known is None:
                self._worker.add(fault, signed)
        finally:
            self._arriving -= 1
        return self._taken(fault.id, known or State.RECEIVED)

    def _read(self, body: bytes) -> tuple[Fault, SignedNotification] | tuple[Refusal, None]:
        """A new fault, not yet on the disk."""
        signed = parse(body)
        if isinstance(signed, Refusal):
            return signed, None
        notification = signed.notification
        try:
            claim = self._claims.of(notification)
        except NameRefusedError as error:
            return Refusal(Reason.NAME_REFUSED, str(error)), None
        fault = Fault(
            id=fault_id(body),
            body=body,
            received=self._clock(),
            state=State.RECEIVED,
            claim=claim.text,
            jti=notification.jti,
            seq=notification.seq,
        )
        return fault, signed

    def _taken(self, name: str, state: State) -> web.Response:
        trace = f"{self._settings.origin}/v1/faults/{name}"
        answer = {"id": name, "status": state.value, "trace": trace}
        return web.json_response(answer, status=202, headers={"Location": f"/v1/faults/{name}"})

    async def _show(self, request: web.Request) -> web.Response:
        """The seven links and the verdict: JSON, or a page for those who would rather have one."""
        name = request.match_info["id"]
        fault = await self._store.get(name) if _FAULT_ID.fullmatch(name) else None
        if fault is None:
            return problem(404, "fault-unknown", "There is no such fault", "its verdict may be too long ago")
        if not prefers_page(request.headers.get("Accept", "")):
            return web.json_response(fault_json(fault), headers={"Vary": "Accept"})
        text = self._page.render(
            fault=fault,
            notification=notification_of(fault),
            links=trace_of(fault).to_json(),
            verifier=self._settings.name,
            refresh=None if is_decided(fault) else _REFRESH_SECONDS,
            moment_of=lambda seconds: datetime.fromtimestamp(seconds, UTC),
        )
        return web.Response(text=text, content_type="text/html", headers={"Vary": "Accept"})

    async def _live(self, _request: web.Request) -> web.Response:
        return web.json_response({"status": "alive"})

    async def _ready(self, _request: web.Request) -> web.Response:
        """Whether a fault could be taken and its chain be walked now."""
        if time.monotonic() >= self._probed:
            self._problems = await self._find_problems()
            self._probed = time.monotonic() + _PROBE_SECONDS
        if self._problems:
            return problem(503, "not-ready", "The verifier cannot do its work", "; ".join(self._problems))
        return web.json_response({"status": "ready", "undecided": self._worker.undecided})

    async def _find_problems(self) -> list[str]:
        problems = []
        try:
            await self._store.probe(self._clock())
        except StoreError as error:
            problems.append(str(error))
        found = await self._resolver.lookup(self._domain, dns.rdatatype.SOA)
        if found.status is not Status.ANSWER:
            problems.append(found.detail)
        return problems


def problem(status: int, reason: str, title: str, detail: str) -> web.Response:
    """An answer that says what went wrong, for people and by a stable code for programs (RFC 9457)."""
    return web.json_response(
        {"title": title, "status": status, "detail": detail, "reason": reason},
        status=status,
        content_type="application/problem+json",
        headers={"Retry-After": str(_RETRY_SECONDS)} if status in (429, 503) else None,
    )


def prefers_page(accept: str) -> bool:
    """Whether an Accept field (RFC 9110, section 12.5.1) names HTML, and JSON not with a higher quality."""
    qualities = {"text/html": 0.0, "application/json": 0.0}
    for item in accept.lower().split(","):
        kind = item.partition(";")[0].strip()
        if kind in qualities:
            found = _QUALITY.search(item)
            qualities[kind] = float(found[1]) if found else 1.0
    return qualities["text/html"] > 0 and qualities["text/html"] >= qualities["application/json"]


@web.middleware
async def _failures_as_problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except StoreError as error:
        _log.error("%s %s: %s", request.method, request.path, error)
        return problem(503, error.reason, "The verifier's disk does not do its work", str(error))


async def _secure(_request: web.Request, response: web.StreamResponse) -> None:
    for name, value in pages.security_headers().items():
        response.headers.setdefault(name, value)
    response.headers.setdefault("Cache-Control", "no-store")
