"""Names of the trust infrastructure."""

import dns.name
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightest_agents.errors import NameRefusedError
from lightest_agents.trust import names

DOMAIN = names.trust_domain("raspidemo")
LABELS = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", fullmatch=True)


@pytest.mark.parametrize("label", ["a", "7", "sensor1", "lyon-pump-1", "a" * 63, "xn--mnchen-3ya"])
def test_letters_digits_and_inner_hyphens_are_a_label(label: str) -> None:
    assert names.check_label(label) == label


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-a",
        "a-",
        "A",
        "a.b",
        ".",
        "@",
        "*",
        "_scheme",
        "a b",
        "a\n",
        "ä",
        "a" * 64,
        "a\\046b",
        "\N{DIGIT ONE}\u0661",
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(NameRefusedError):
        names.check_label(text)


@given(st.text())
def test_a_checked_label_stays_one_label(text: str) -> None:
    try:
        child = names.child(text, DOMAIN)
    except NameRefusedError:
        return
    assert child.parent() == DOMAIN
    assert child.to_text() == f"{text}.raspidemo."
    assert child == dns.name.from_text(child.to_text())


@given(LABELS, LABELS)
def test_every_name_of_a_sensor_lies_in_its_zone(country: str, sensor: str) -> None:
    zones = names.CountryNames.under(DOMAIN, country)
    claim, scheme = zones.claim(sensor), zones.trust_scheme(sensor)
    assert claim.parent() == zones.country
    assert scheme.parent() == zones.scheme
    assert names.pointer(claim).is_subdomain(claim)
    assert names.pointer(scheme).relativize(scheme) == dns.name.from_text("_scheme._trust", origin=None)


def test_the_names_of_the_demo() -> None:
    zones = names.CountryNames.under(DOMAIN, "germany")
    assert names.pointer(zones.claim("sensor1")).to_text() == "_scheme._trust.sensor1.germany.raspidemo."
    assert (
        names.pointer(zones.trust_scheme("sensor1")).to_text()
        == "_scheme._trust.sensor1.trust.germany.raspidemo."
    )


def test_a_domain_may_have_several_labels() -> None:
    assert names.trust_domain("trust.plant.example") == dns.name.from_text("trust.plant.example.")


@pytest.mark.parametrize(
    "text", ["", ".", "raspidemo.", ".raspidemo", "a..b", "Raspidemo", ".".join(["a" * 63] * 4)]
)
def test_a_domain_with_a_wrong_label_or_too_long_is_refused(text: str) -> None:
    with pytest.raises(NameRefusedError):
        names.trust_domain(text)


def test_a_pointer_that_grows_too_long_is_refused() -> None:
    longest = names.trust_domain(".".join(["a" * 63] * 3 + ["a" * 61]))
    with pytest.raises(NameRefusedError, match="too long"):
        names.pointer(longest)
