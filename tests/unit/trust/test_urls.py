"""Which addresses are followed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightest_agents.trust.urls import UrlRefusedError, parse_https_url


@pytest.mark.parametrize(
    ("text", "host", "port", "target"),
    [
        ("https://tspa.raspidemo", "tspa.raspidemo.", 443, "/"),
        ("https://tspa.raspidemo/", "tspa.raspidemo.", 443, "/"),
        ("https://tspa.raspidemo/lists/germany/sensor1", "tspa.raspidemo.", 443, "/lists/germany/sensor1"),
        ("https://supplier1.raspidemo:9443/v1/alarms", "supplier1.raspidemo.", 9443, "/v1/alarms"),
        ("https://a:65535/b?c=d&e=/?f", "a.", 65535, "/b?c=d&e=/?f"),
        ("https://a?c", "a.", 443, "/?c"),
        ("https://a/%C3%A4/..a/.b/c..", "a.", 443, "/%C3%A4/..a/.b/c.."),
    ],
)
def test_https_addresses_of_named_hosts_are_followed(text: str, host: str, port: int, target: str) -> None:
    url = parse_https_url(text)
    assert (url.name.to_text(), url.port, url.target) == (host, port, target)
    assert (url.text, url.host) == (text, host.rstrip("."))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "https://",
        "https:///a",
        "http://tspa.raspidemo/",
        "HTTPS://tspa.raspidemo/",
        "https:tspa.raspidemo",
        "//tspa.raspidemo/",
        "https://user@tspa.raspidemo/",
        "https://user:secret@tspa.raspidemo/",
        "https://tspa.raspidemo@evil.example/",
        "https://2130706433/",
        "https://tspa.raspidemo/%zz",
        "https://tspa.raspidemo/\r\nHost: evil.example",
        " https://tspa.raspidemo/",
        "https://tspa_1.raspidemo/",
        "https://tspa.raspidemo:443x/",
        "https://tspa.raspidemo\\@evil.example/",
        "https://TSPA.raspidemo/",
        "https://tspa.raspidemo./",
        "https://tspa..raspidemo/",
        "https://.raspidemo/",
        "https://-a.raspidemo/",
        "https://tspä.raspidemo/",
        "https://_a.raspidemo/",
        "https://127.0.0.1/",
        "https://1/",
        "https://[::1]/",
        "https://a:0/",
        "https://a:65536/",
        "https://a:99999/",
        "https://a:+1/",
        "https://a:/",
        "https://a:443:443/",
        "https://a/#fragment",
        "https://a/ b",
        "https://a/b\n",
        "https://a/\r\nHost: evil",
        "https://a/ä",
        "https://a/%2",
        "https://a/%zz",
        "https://a/../b",
        "https://a/b/.",
        'https://a/"',
        "https://" + "a" * 64 + "/",
        "https://a/" + "b" * 1024,
        " https://a/",
    ],
)
def test_any_other_address_is_refused(text: str) -> None:
    with pytest.raises(UrlRefusedError):
        parse_https_url(text)


@given(st.text() | st.text().map("https://a/".__add__) | st.text().map("https://".__add__))
def test_no_text_raises_anything_else(text: str) -> None:
    try:
        url = parse_https_url(text)
    except UrlRefusedError:
        return
    assert text.startswith("https://" + url.host)
    assert text.isascii()
