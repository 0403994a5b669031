from datetime import UTC, datetime, timedelta, timezone
from html.parser import HTMLParser
from xml.etree import ElementTree

import jinja2
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from lightest_agents.trust.verdict import Link, LinkState, Reason, Step, Trace
from lightest_agents.web import pages

PAGE = """
{% extends "base.html" %}{% from "chain.html" import chain, steps %}
{% block title %}{{ title }}{% endblock %}
{% block main %}{{ chain(links) }}{{ steps(links) }}{% endblock %}
"""
VOID = {"meta", "link", "br"}


class Reader(HTMLParser):
    """Checks that elements nest, and collects what a test looks for."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def read(html: str) -> Reader:
    reader = Reader()
    reader.feed(html)
    reader.close()
    assert reader.open == []
    return reader


def trace(*states: LinkState, reason: Reason | None = None, detail: str = "seen") -> Trace:
    stopped = (LinkState.BROKEN, LinkState.WAITING)
    links = (
        Link(step, state, 1.25, detail, reason if state in stopped else None)
        for step, state in zip(Step, states, strict=True)
    )
    return Trace(tuple(links))


def render(shown: Trace, source: str = PAGE, title: str = "Fault") -> str:
    return pages.environment().from_string(source).render(links=shown.to_json(), title=title)


HELD, BROKEN, WAITING, FAR = (
    LinkState.HELD,
    LinkState.BROKEN,
    LinkState.WAITING,
    LinkState.NOT_REACHED,
)


def test_the_chain_names_its_seven_links_in_order() -> None:
    found = read(render(trace(*[HELD] * 7))).text.split()
    names = ["sensor", "claim", "pointer", "scheme", "list", "signature", "supplier"]
    assert [word for word in found if word in names] == names * 2


def test_each_state_has_its_own_drawing_and_word() -> None:
    source = '{% from "chain.html" import chain %}{{ chain(links) }}'
    drawings = set()
    for state in LinkState:
        html = render(trace(state, *[FAR] * 6), source)
        assert f'class="link {state}"' in html
        assert f">{state.replace('-', ' ')}</span>" in html
        drawings.add(html.partition("</svg>")[0].partition("<svg")[2])
    assert len(drawings) == len(LinkState)


def test_a_broken_link_says_its_reason_and_what_it_means() -> None:
    shown = trace(HELD, HELD, HELD, HELD, BROKEN, FAR, FAR, reason=Reason.LIST_SIGNER)
    text = read(render(shown)).text
    assert "list-signer" in text
    assert Reason.LIST_SIGNER.meaning in text


def test_a_reason_of_a_newer_release_is_shown_as_it_is() -> None:
    links = trace(*[HELD] * 7).to_json()
    links[0] |= {"state": "broken", "reason": "not-invented-yet"}
    html = pages.environment().from_string(PAGE).render(links=links, title="")
    assert "not-invented-yet" in read(html).text


def test_what_comes_from_outside_is_escaped() -> None:
    html = render(trace(*[HELD] * 7, detail="<script>alert(1)</script>"), title="</title><script>")
    assert "<script>" not in html
    assert "&lt;script&gt;" in html


def test_a_page_needs_nothing_inline_and_nothing_from_elsewhere() -> None:
    """Else the content security policy would hide it."""
    reader = read(render(trace(*[HELD] * 7)))
    for tag, attributes in reader.tags:
        assert tag != "style"
        assert not any(name == "style" or name.startswith("on") for name in attributes)
        for name in ("src", "href", "action"):
            assert (attributes.get(name) or "/").startswith(("/", "#"))
        if tag == "script":
            assert attributes["src"]


def test_an_undefined_name_is_an_error() -> None:
    with pytest.raises(jinja2.UndefinedError):
        pages.environment().from_string("{{ nobody }}").render()


@pytest.mark.parametrize(
    "when",
    [
        datetime(2026, 7, 1, 14, 30, 5, tzinfo=timezone(timedelta(hours=2))),
        datetime(2026, 7, 1, 12, 30, 5, tzinfo=UTC).timestamp(),
    ],
)
def test_a_moment_is_utc_for_those_without_scripts(when: object) -> None:
    source = '{% from "values.html" import moment %}{{ moment(when) }}'
    html = pages.environment().from_string(source).render(when=when)
    assert read(html).tags == [
        ("time", {"datetime": "2026-07-01T12:30:05Z", "title": "2026-07-01 12:30:05 UTC"})
    ]


@pytest.mark.parametrize("text", ["3a1f" * 8, "3a1f9c", "3a1f0019c", "", "ab"])
def test_a_digest_is_whole_when_it_is_copied(text: str) -> None:
    source = '{% from "values.html" import digest %}{{ digest(text) }}'
    assert read(pages.environment().from_string(source).render(text=text)).text == text


async def test_static_files_may_be_kept_for_good_under_their_digest() -> None:
    app = web.Application()
    pages.add_static(app)
    address = pages.environment().from_string("{{ static('style.css') }}").render()
    async with TestClient(TestServer(app)) as client:
        answer = await client.get(address)
        assert (answer.status, answer.content_type) == (200, "text/css")
        assert "immutable" in answer.headers["Cache-Control"]
        assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
        assert (await client.get("/static/0000000000000000/style.css")).status == 404
        assert (await client.get("/static/..%2f/pages.py")).status == 404


def test_drawings_are_well_formed() -> None:
    """A browser shows nothing at all of an SVG that is not."""
    for name, body in pages._static_files().items():
        if name.endswith(".svg"):
            ElementTree.fromstring(body)  # noqa: S314 - our own file
