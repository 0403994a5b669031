"""The settings of a sensor."""

from pathlib import Path

import pytest

from lightest_agents.sensor.settings import Ds18b20Settings, load_sensor
from lightest_agents.service.config import ConfigError

WHOLE = """\
domain = "raspidemo"
location = "germany"
name = "sensor1"
verifier = "https://verifier.raspidemo:8443"
state = "/var/lib/lightest-sensor/sensor1.germany.raspidemo"

[thermometer]
driver = "ds18b20"
device = "28-0316a2795c1d"
"""


def test_a_whole_file(tmp_path: Path) -> None:
    (tmp_path / "sensor-x.toml").write_text(WHOLE)
    settings = load_sensor(None, tmp_path)
    assert settings.claim_text == "sensor1.germany.raspidemo"
    assert (settings.threshold, settings.hysteresis, settings.interval) == (25.0, 0.5, 1.0)
    assert settings.thermometer == Ds18b20Settings(driver="ds18b20", device="28-0316a2795c1d")
    assert settings.outbox.parent == settings.override.parent == settings.state


def test_the_file_must_be_the_only_one_or_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"there is no .*/sensor-\*.toml; give the file with --config"):
        load_sensor(None, tmp_path)
    for name in ("a", "b"):
        (tmp_path / f"sensor-{name}.toml").write_text(WHOLE)
    with pytest.raises(ConfigError, match=r"with --config: .*sensor-a.toml, .*sensor-b.toml"):
        load_sensor(None, tmp_path)
    assert load_sensor(tmp_path / "sensor-a.toml").name == "sensor1"


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ('"ds18b20"', '"simulated"', ":9: thermometer.device: is not a known key; known: celsius, driver"),
        ('"ds18b20"', '"file"', ":7: thermometer.path: is missing; give the path of a file, such as"),
        ('"ds18b20"', '"command"\nargv = []', ":9: thermometer.argv: [] must be a list of texts, such as"),
        ('"ds18b20"', '"command"\nargv = "x y"', ':9: thermometer.argv: "x y" must be a list of texts'),
        (
            '"ds18b20"',
            '"oven"',
            ':8: thermometer.driver: "oven" must be one of ds18b20, simulated, file, command',
        ),
        ("28-0316a2795c1d", "../../etc", ':9: thermometer.device: "../../etc" must be the id of a DS18B20'),
        ("https://", "http://", ":4: verifier: 'http://verifier.raspidemo:8443' is not of the form https://"),
        (
            ":8443",
            ":8443/v1/faults",
            ":4: verifier: 'https://verifier.raspidemo:8443/v1/faults' must end after",
        ),
        ('"sensor1"', '"trust"', ":1: name: 'trust' is the label of scheme zones"),
        ("[thermo", "threshold = 1e9\n[thermo", ":7: threshold: 1000000000.0 must be a temperature in °C"),
        ("[thermo", "hysteresis = 0\n[thermo", ":7: hysteresis: 0 must be a difference in °C above 0"),
        ("[thermo", "interval = 0\n[thermo", ":7: interval: 0 must be a number of seconds from 0.05 to 3600"),
        ("[thermo", "retry_first = 999\n[thermo", ":1: retry_first (999 s) must not exceed retry_cap"),
        ('"raspidemo"', f'"{".".join(4 * ["x" * 62])}"', ":1: 'germany' under"),
    ],
)
def test_a_mistake_is_told_with_its_line(tmp_path: Path, old: str, new: str, complaint: str) -> None:
    path = tmp_path / "sensor.toml"
    path.write_text(WHOLE.replace(old, new, 1))
    with pytest.raises(ConfigError) as caught:
        load_sensor(path)
    assert str(caught.value).startswith(f"{path}{complaint}")
