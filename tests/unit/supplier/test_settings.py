from ipaddress import ip_network
from pathlib import Path

import pytest

from lightest_agents.service.config import ConfigError, load_config
from lightest_agents.supplier.settings import LampSettings, SupplierSettings

LEAST = """
domain = "raspidemo"
name = "supplier1.raspidemo"
label = "supplier1"
title = "Cooling Service"
state = "/var/lib/lightest-supplier"
verifiers = ["verifier.raspidemo"]
"""


def load(folder: Path, text: str) -> SupplierSettings:
    path = folder / "supplier.toml"
    path.write_text(text)
    return load_config(path, SupplierSettings)


def test_what_need_not_be_said(tmp_path: Path) -> None:
    settings = load(tmp_path, LEAST)
    assert (settings.port, settings.addresses, settings.page_networks) == (9443, ("::",), ())
    assert settings.lamp == LampSettings(pin=17, button=None, driver="gpio")


def test_what_may_be_said(tmp_path: Path) -> None:
    more = 'page_networks = ["10.1.0.0/16", "fd00::/8"]\n[lamp]\npin = 4\nbutton = 27\ndriver = "mock"\n'
    settings = load(tmp_path, LEAST + more)
    assert settings.page_networks == (ip_network("10.1.0.0/16"), ip_network("fd00::/8"))
    assert settings.lamp == LampSettings(pin=4, button=27, driver="mock")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            '[lamp]\ncolour = "red"',
            "supplier.toml:9: lamp.colour: is not a known key; known: button, driver, pin",
        ),
        ("[lamp]\npin = 99", "supplier.toml:9: lamp.pin: 99 must be a GPIO number from 0 to 27"),
        ("[lamp]\npin = 4\nbutton = 4", "pin and button cannot both be GPIO 4"),
        ('[lamp]\ndriver = "led"', 'supplier.toml:9: lamp.driver: "led" must be gpio or mock'),
        (
            'page_networks = ["10.1.0.1/16"]',
            'supplier.toml:8: page_networks[0]: "10.1.0.1/16" cannot be used',
        ),
    ],
)
def test_a_mistake_is_told_with_its_line(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, LEAST + text)
    assert sentence in str(caught.value)


def test_a_supplier_without_a_verifier_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="verifiers"):
        load(tmp_path, LEAST.replace('["verifier.raspidemo"]', "[]"))
