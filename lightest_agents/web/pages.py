"""The pages' common ground: templates, static files and the headers that every page carries.

Static files are named by their content (`/static/<digest>/style.css`), so that a browser may keep them for
good and never shows an old one. Nothing is fetched from elsewhere: a plant's network has no internet.
"""

import hashlib
import mimetypes
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from importlib import resources
from typing import TYPE_CHECKING

import jinja2

from lightest_agents.trust.verdict import Reason

if TYPE_CHECKING:
    from aiohttp import web

STATIC_PATH = "/static"

_SECURITY_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    # Not `no-referrer`: browsers would then send `Origin: null` with our own forms.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def security_headers() -> dict[str, str]:
    """What every answer of an agent carries: no inline script or style, no frame, nothing from elsewhere."""
    return dict(_SECURITY_HEADERS)


def environment(*packages: str) -> jinja2.Environment:
    """Templates that escape by themselves and refuse undefined names.

    Pages extend `base.html`; `chain.html` draws the chain from `Trace.to_json()`, `values.html` moments and
    digests. `static('style.css')` is the address of a static file.

    Args:
        packages: agents' packages whose `templates` folders come first, such as `lightest_agents.verifier`.
    """
    loaders = [jinja2.PackageLoader(package) for package in (*packages, "lightest_agents.web")]
    env = jinja2.Environment(
        loader=jinja2.ChoiceLoader(loaders),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    env.filters["utc"] = _utc
    env.filters["meaning"] = _meaning
    env.globals["static"] = partial(_address, _static_files())
    return env


def add_static(app: "web.Application") -> None:
    """Serve the static files under `/static/`."""
    from aiohttp import web

    files = {_address_of(name, body): (name, body) for name, body in _static_files().items()}

    async def serve(request: web.Request) -> web.Response:
        if request.path not in files:
            raise web.HTTPNotFound
        name, body = files[request.path]
        kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
        headers = security_headers() | {"Cache-Control": "public, max-age=31536000, immutable"}
        return web.Response(body=body, content_type=kind, charset="utf-8", headers=headers)

    app.router.add_get(f"{STATIC_PATH}/{{digest}}/{{name}}", serve)


def _static_files() -> dict[str, bytes]:
    folder = resources.files("lightest_agents.web") / "static"
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.is_file()}


def _address(files: Mapping[str, bytes], name: str) -> str:
    return _address_of(name, files[name])


def _address_of(name: str, body: bytes) -> str:
    return f"{STATIC_PATH}/{hashlib.sha256(body).hexdigest()[:16]}/{name}"


def _utc(when: datetime | float, form: str) -> str:
    """A moment, given as aware time or as seconds since the epoch."""
    if not isinstance(when, datetime):
        when = datetime.fromtimestamp(when, UTC)
    return when.astimezone(UTC).strftime(form)


def _meaning(code: str) -> str:
    """What a reason code means; nothing for one that this version does not know."""
    try:
        return Reason(code).meaning
    except ValueError:
        return ""
