"""`verifier.toml`, right and wrong."""

from pathlib import Path

import pytest

from lightest_agents.service.config import ConfigError, load_config
from lightest_agents.verifier.settings import VerifierSettings

LEAST = """
domain = "raspidemo"
name = "verifier.raspidemo"
state = "/var/lib/lightest-verifier"
"""


def load(folder: Path, more: str = "") -> VerifierSettings:
    path = folder / "verifier.toml"
    path.write_text(LEAST + more)
    return load_config(path, VerifierSettings)


def test_the_least_is_enough(tmp_path: Path) -> None:
    settings = load(tmp_path)
    assert settings.origin == "https://verifier.raspidemo:8443"
    assert settings.addresses == ("::",)
    assert settings.scheme_zones == ()


def test_the_usual_port_is_not_named(tmp_path: Path) -> None:
    assert load(tmp_path, "port = 443").origin == "https://verifier.raspidemo"


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("keep_for = 86400", "keep_for"),
        ("max_age = 2592000", "keep_for"),
        ("retry_first = 400", "retry_first"),
        ('scheme_zones = ["trust..x"]', "scheme_zones"),
        ("inbox_limit = 0", "inbox_limit"),
        ("inbox_limit = true", "inbox_limit"),
        ('max_age = "day"', "max_age"),
        ("inbox = 3", "inbox_limit"),
    ],
)
def test_what_cannot_work_is_told(tmp_path: Path, more: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load(tmp_path, more)
