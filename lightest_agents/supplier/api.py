"""The supplier's HTTPS end-points: alarms from verifiers, the page with the lamp, and its events.

Whoever may see the page may acknowledge: there is no login. By default that is everybody who can reach the
service; `page_networks` narrows it to the networks of those who repair. Alarms themselves are taken from
anywhere, because each proves whose it is.
"""

import asyncio
import logging
import time
from collections.abc import Sequence
from dataclasses import asdict
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address

import dns.name
import dns.rdatatype
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from lightest_agents.dns.lookups import Resolver, Status
from lightest_agents.supplier.acceptance import AlarmRefusal, check_alarm
from lightest_agents.supplier.desk import Desk
from lightest_agents.supplier.events import Broadcast, CrowdedError, encode
from lightest_agents.supplier.settings import SupplierSettings
from lightest_agents.supplier.store import AlarmStore, StoreError
from lightest_agents.trust.alarm import MAX_ALARM_BYTES
from lightest_agents.trust.names import trust_domain
from lightest_agents.web import pages

_HISTORY = 20
_HEARTBEAT = 15.0
_WRITE_SECONDS = 30.0
_RETRY_AFTER = {"Retry-After": "10"}
_OPEN_TO_ALL = frozenset({"/v1/alarms", "/healthz", "/readyz"})

_log = logging.getLogger(__name__)


class SupplierApi:
    """The handlers, around what one service has."""

    def __init__(
        self,
        settings: SupplierSettings,
        *,
        resolver: Resolver,
        store: AlarmStore,
        desk: Desk,
        events: Broadcast,
    ) -> None:
        """Serve what is given; nothing of it is opened or closed here."""
        self._settings = settings
        self._resolver = resolver
        self._store = store
        self._desk = desk
        self._events = events
        self._page = pages.environment("lightest_agents.supplier").get_template("lamp.html")

    def application(self) -> web.Application:
        """The application, to be served once."""
        app = web.Application(
            client_max_size=MAX_ALARM_BYTES,
            middlewares=[_failures_as_problems, _only_from(self._settings.page_networks)],
        )
        app.add_routes(
            [
                web.post("/v1/alarms", self._take),
                web.post("/v1/alarms/{fault_id}/acknowledge", self._acknowledge),
                web.get("/v1/lamp", self._show_lamp),
                web.get("/", self._show_page),
                web.get("/events", self._follow),
                web.get("/healthz", self._live),
                web.get("/readyz", self._ready),
            ]
        )
        pages.add_static(app)
        app.on_response_prepare.append(_secure)
        app.on_shutdown.append(self._end_events)
        return app

    async def _take(self, request: web.Request) -> web.Response:
        """202 once the alarm is on the disk, also when it was there already."""
        if request.content_type != "application/jose":
            return problem(415, "media-type", "An alarm is sent as application/jose", request.content_type)
        body = await request.read()
        checked = await check_alarm(
            body,
            label=self._settings.label,
            verifiers=self._settings.verifiers,
            resolver=self._resolver,
            now=time.time(),
        )
        if isinstance(checked, AlarmRefusal):
            reason = checked.reason
            _log.warning("alarm from %s refused: %s: %s", request.remote, reason.code, checked.detail)
            return problem(reason.status, reason.code, reason.title, checked.detail)
        new = await self._desk.take(checked, body)
        if new:
            _log.info(
                "alarm %s: %s at %s, from %s", checked.fault_id, checked.fault, checked.claim, checked.iss
            )
        return web.json_response({"fault_id": checked.fault_id, "new": new}, status=202)

    async def _acknowledge(self, request: web.Request) -> web.Response:
        if not _is_same_origin(request):
            return problem(
                403, "foreign-origin", "Another site's page sent this form", "open the lamp's own page"
            )
        fault_id = request.match_info["fault_id"]
        await self._desk.acknowledge(fault_id, f"page, from {request.remote}")
        alarm = await asyncio.to_thread(self._store.get, fault_id)
        if alarm is None:
            return problem(
                404, "alarm-unknown", "There is no such alarm", "it may have been acknowledged long ago"
            )
        if "text/html" in request.headers.get("Accept", ""):
            raise web.HTTPSeeOther("/")
        return web.json_response(asdict(alarm))

    async def _show_lamp(self, _request: web.Request) -> web.Response:
        return web.json_response(asdict(self._desk.lamp))

    async def _show_page(self, _request: web.Request) -> web.Response:
        text = self._page.render(
            title=self._settings.title,
            name=self._settings.name,
            label=self._settings.label,
            verifiers=self._settings.verifiers,
            pin=self._settings.lamp.pin,
            driver=self._settings.lamp.driver,
            lamp=self._desk.lamp,
            open=await asyncio.to_thread(self._store.open_alarms),
            history=await asyncio.to_thread(self._store.acknowledged_alarms, _HISTORY),
        )
        return web.Response(text=text, content_type="text/html")

    async def _follow(self, request: web.Request) -> web.StreamResponse:
        """Events `lamp` (its state, at each change) and `alarms` (they have changed), beginning with both."""
        with self._events.listen() as stream:
            response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
            try:
                await response.prepare(request)
                lamp = self._desk.lamp
                changed = {"unacknowledged": lamp.unacknowledged}
                message: bytes | None
                message = b"retry: 2000\n\n" + encode("lamp", asdict(lamp)) + encode("alarms", changed)
                while message is not None:
                    async with asyncio.timeout(_WRITE_SECONDS):
                        await response.write(message)
                    message = await _next(stream)
            except (ConnectionError, TimeoutError):
                _log.debug("a listener went away")
        return response

    async def _end_events(self, _app: web.Application) -> None:
        self._events.close()

    async def _live(self, _request: web.Request) -> web.Response:
        return web.json_response({"status": "alive"})

    async def _ready(self, _request: web.Request) -> web.Response:
        """Whether an alarm would be taken and seen now."""
        await asyncio.to_thread(self._store.check)
        domain = trust_domain(self._settings.domain)
        found = await self._resolver.lookup(domain, dns.rdatatype.SOA)
        if found.status is not Status.ANSWER:
            return problem(503, "resolver-unavailable", "The DNS gives no secure answers", found.detail)
        if not self._desk.lamp.working:
            return problem(503, "lamp-unusable", "The lamp's pin cannot be switched", "see the log")
        return web.json_response({"status": "ready"})


def problem(status: int, reason: str, title: str, detail: str) -> web.Response:
    """An answer that says what went wrong, for people and by a stable code for programs (RFC 9457)."""
    return web.json_response(
        {"title": title, "status": status, "detail": detail, "reason": reason},
        status=status,
        content_type="application/problem+json",
        headers=_RETRY_AFTER if status == 503 else None,
    )


async def _next(stream: asyncio.Queue[bytes | None]) -> bytes | None:
    """The next event, or a comment that keeps the connection open where nothing happens."""
    try:
        async with asyncio.timeout(_HEARTBEAT):
            return await stream.get()
    except TimeoutError:
        return b": nothing new\n\n"


@web.middleware
async def _failures_as_problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except (StoreError, CrowdedError) as error:
        if isinstance(error, StoreError):
            _log.error("%s %s: %s", request.method, request.path, error)
        return problem(503, error.reason, "This cannot be done now", str(error))


def _only_from(networks: Sequence[IPv4Network | IPv6Network]) -> Middleware:
    """Refuse the page and what it does to those outside of `networks`; without any, refuse nobody."""

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        if networks and request.path not in _OPEN_TO_ALL and not _is_inside(request.remote, networks):
            return problem(
                403, "network-refused", "The page is not for this network", f"you are {request.remote}"
            )
        return await handler(request)

    return check


def _is_inside(remote: str | None, networks: Sequence[IPv4Network | IPv6Network]) -> bool:
    if remote is None:
        return False
    address = ip_address(remote)
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return any(address in network for network in networks)


def _is_same_origin(request: web.Request) -> bool:
    """Whether a browser says that a form is ours (Fetch Metadata, RFC 6454); others send what they like."""
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site == "same-origin"
    origin = request.headers.get("Origin")
    return origin is None or origin == f"https://{request.host}"


async def _secure(_request: web.Request, response: web.StreamResponse) -> None:
    for name, value in pages.security_headers().items():
        response.headers.setdefault(name, value)
    response.headers.setdefault("Cache-Control", "no-store")
