import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightest_agents.dns.errors import HttpError, HttpFailure
from lightest_agents.dns.urls import check_url


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("https://tspa.raspidemo/lists/germany/sensor1", "tspa.raspidemo", 443),
        ("https://Verifier.Raspidemo:8443", "verifier.raspidemo", 8443),
        ("https://tspa.raspidemo?a=%20b&c=d", "tspa.raspidemo", 443),
        ("https://xn--bcher-kva.raspidemo/", "xn--bcher-kva.raspidemo", 443),
    ],
)
def test_an_https_url_with_a_name_is_taken_apart(text: str, host: str, port: int) -> None:
    url = check_url(text)
    assert (url.text, url.host, url.port) == (text, host, port)
    assert url.tlsa_name(url.name).to_text() == f"_{port}._tcp.{host}."


@pytest.mark.parametrize(
    "text",
    [
        "",
        "http://tspa.raspidemo/",
        "HTTPS://tspa.raspidemo/",
        "ftp://tspa.raspidemo/",
        "//tspa.raspidemo/",
        "https:///lists",
        "https://user@tspa.raspidemo/",
        "https://user:secret@tspa.raspidemo/",
        "https://tspa.raspidemo@evil.example/",
        "https://tspa.raspidemo\\@evil.example/",
        "https://tspa.raspidemo/#fragment",
        "https://tspa.raspidemo:0/",
        "https://tspa.raspidemo:65536/",
        "https://tspa.raspidemo:/",
        "https://tspa.raspidemo:443x/",
        "https://127.0.0.1/",
        "https://2130706433/",
        "https://0x7f.1/",
        "https://tspa.0x7f/",
        "https://[::1]/",
        "https://tspa.raspidemo./",
        "https://.raspidemo/",
        "https://tspa..raspidemo/",
        "https://-tspa.raspidemo/",
        "https://tspa_1.raspidemo/",
        "https://tspä.raspidemo/",
        "https://tspa.raspidemo/a b",
        "https://tspa.raspidemo/%zz",
        "https://tspa.raspidemo/\n",
        "https://tspa.raspidemo/\r\nHost: evil.example",
        " https://tspa.raspidemo/",
        f"https://{'a' * 64}.raspidemo/",
        f"https://{'a.' * 125}raspidemo/",
        f"https://{'a.' * 121}rasp:65535/",
        f"https://tspa.raspidemo/{'a' * 2048}",
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(HttpError) as refused:
        check_url(text)
    assert refused.value.kind is HttpFailure.URL_REFUSED


@given(st.text() | st.text(st.sampled_from("https:/.@[]:a0%?#\\")).map("https://".__add__))
def test_garbage_is_refused_or_has_a_host(text: str) -> None:
    try:
        url = check_url(text)
    except HttpError:
        return
    assert url.host in text.lower()
    assert 0 < url.port < 65536
