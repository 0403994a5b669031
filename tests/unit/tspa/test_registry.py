"""Taking over the operator's registry."""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import dns.name
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightest_agents.trust.signed_list import SignedList, open_list
from lightest_agents.trust.trust_list import ServiceStatus, TrustList
from lightest_agents.tspa import selectors
from lightest_agents.tspa.errors import RegistryError
from lightest_agents.tspa.models import AuditEntry, Manufacturer, SchemeZone, Sensor, Supplier
from lightest_agents.tspa.registry_file import Registry, read_registry
from lightest_agents.tspa.services import publishing, sensors
from lightest_agents.tspa.services.registry import Difference
from tests.unit.tspa.conftest import CLAIM, Tspa

DOMAIN = dns.name.from_text("raspidemo")
NOTHING: dict[str, list[str]] = {"URI": [], "SMIMEA": []}


def current(tspa: Tspa) -> TrustList:
    found = open_list(tspa.served() or b"")
    assert isinstance(found, SignedList)
    return found.trust_list


def order(claim: str = CLAIM) -> list[str]:
    return selectors.supplier_labels(selectors.sensor(claim))


def test_the_same_registry_again_changes_nothing(tspa: Tspa) -> None:
    assert (Manufacturer.objects.count(), Supplier.objects.count(), SchemeZone.objects.count()) == (2, 3, 2)
    assert (Sensor.objects.count(), order()) == (3, ["supplier1", "supplier2"])
    entries = AuditEntry.objects.count()
    changes = tspa.sync()
    assert not changes.changed
    assert changes.to_json()["sensors"] == {"added": 0, "changed": 0, "removed": 0}
    assert AuditEntry.objects.count() == entries == 1


def test_the_order_is_the_registrys_until_the_manufacturer_chooses(enrolled: Tspa) -> None:
    enrolled.registry["sensors"][0]["suppliers"] = ["supplier2", "supplier1"]
    assert enrolled.sync().sensors == Difference(changed=1)
    assert order() == ["supplier2", "supplier1"]
    publishing.publish_outdated()
    assert [supplier.name for supplier in current(enrolled).suppliers] == ["supplier2", "supplier1"]

    sensors.set_suppliers(enrolled.caller(), CLAIM, ["supplier3"])
    enrolled.registry["sensors"][0]["suppliers"] = ["supplier1"]
    assert not enrolled.sync().changed
    assert order() == ["supplier3"]


def test_the_first_and_the_last_supplier_come_and_go(tspa: Tspa) -> None:
    claim = "sensor2.germany.raspidemo"
    tspa.registry["sensors"][1]["suppliers"] = ["supplier1"]
    assert tspa.sync().sensors == Difference(changed=1)
    assert order(claim) == ["supplier1"]
    tspa.registry["sensors"][1]["suppliers"] = []
    assert tspa.sync().sensors == Difference(changed=1)
    assert order(claim) == []


def test_a_sensor_that_vanishes_is_withdrawn_and_leaves_the_zone_until_it_comes_back(enrolled: Tspa) -> None:
    expected = enrolled.records()
    gone = enrolled.registry["sensors"].pop(0)
    assert enrolled.sync().sensors == Difference(removed=1)
    publishing.publish_outdated()
    assert enrolled.records() == NOTHING
    assert current(enrolled).service.status is ServiceStatus.WITHDRAWN
    assert not enrolled.sync().changed
    assert selectors.own_sensor(enrolled.caller().manufacturer, CLAIM) is None

    enrolled.registry["sensors"].append(gone)
    assert enrolled.sync().sensors == Difference(changed=1)
    publishing.publish_outdated()
    assert enrolled.records() == expected
    assert current(enrolled).service.status is ServiceStatus.GRANTED
    assert list(AuditEntry.objects.filter(target=CLAIM).values_list("action", flat=True)) == [
        "certificate",
        "remove",
        "add",
    ]


def test_a_withdrawal_by_the_manufacturer_outlasts_the_inventory(enrolled: Tspa) -> None:
    sensors.withdraw(enrolled.caller(), CLAIM, "stolen")
    gone = enrolled.registry["sensors"].pop(0)
    enrolled.sync()
    enrolled.registry["sensors"].append(gone)
    enrolled.sync()
    publishing.publish_outdated()
    assert current(enrolled).service.status is ServiceStatus.WITHDRAWN


def test_a_country_that_vanishes_takes_its_zone_along(enrolled: Tspa) -> None:
    enrolled.registry["zones"].pop(0)
    del enrolled.registry["sensors"][:2]
    assert enrolled.sync().zones == Difference(removed=1)
    assert publishing.publish_outdated() == publishing.Report(1, ())


def test_a_sensor_of_another_manufacturer_now(enrolled: Tspa) -> None:
    sensors.set_suppliers(enrolled.caller(), CLAIM, ["supplier3"])
    enrolled.registry["sensors"][0]["manufacturer"] = "bolt"
    assert enrolled.sync().sensors == Difference(changed=1)
    publishing.publish_outdated()
    assert current(enrolled).manufacturer == "Bolt & Sons"
    assert order() == ["supplier1", "supplier2"]
    assert selectors.own_sensor(enrolled.caller().manufacturer, CLAIM) is None


def test_titles_and_addresses_reach_the_lists(enrolled: Tspa) -> None:
    enrolled.registry["manufacturers"][0]["title"] = "Acme Sensors"
    enrolled.registry["suppliers"][0]["address"] = "Bolt Street 7"
    changes = enrolled.sync()
    assert (changes.manufacturers, changes.suppliers) == (Difference(changed=1), Difference(changed=1))
    publishing.publish_outdated()
    assert current(enrolled).manufacturer == "Acme Sensors"
    assert current(enrolled).suppliers[0].address == "Bolt Street 7"


def test_a_supplier_that_vanishes_leaves_every_list(enrolled: Tspa) -> None:
    sensors.set_suppliers(enrolled.caller(), CLAIM, ["supplier3", "supplier1"])
    enrolled.registry["suppliers"].pop(2)
    assert enrolled.sync().suppliers == Difference(removed=1)
    publishing.publish_outdated()
    assert [supplier.name for supplier in current(enrolled).suppliers] == ["supplier1"]


def test_a_manufacturer_that_vanishes_cannot_use_the_api(tspa: Tspa) -> None:
    tspa.registry["manufacturers"].pop(1)
    tspa.registry["sensors"].pop(1)
    assert tspa.sync().manufacturers == Difference(removed=1)
    assert not tspa.sync().changed
    assert not Manufacturer.objects.get(label="bolt").registered


def spoilt(registry: Registry, *path: str | int, value: object) -> dict[str, Any]:
    copy: dict[str, Any] = json.loads(json.dumps(registry))
    place: Any = copy
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    return copy


@pytest.mark.parametrize(
    ("path", "value", "reason"),
    [
        (("sensors", 0, "label"), "../x", "sensors.0.label: .* is not a DNS label"),
        (("sensors", 0, "label"), "sensor2", "sensor .* is there twice"),
        (("sensors", 0, "country"), "spain", "sensor1 of spain: its country has no scheme zone"),
        (("sensors", 0, "manufacturer"), "nobody", "there is no manufacturer nobody"),
        (("sensors", 0, "suppliers"), ["nobody"], "there is no supplier nobody"),
        (("sensors", 0, "suppliers"), ["supplier1", "supplier1"], "a supplier is listed twice"),
        (("sensors", 0, "colour"), "red", "sensors.0.colour: Extra inputs"),
        (("suppliers", 0, "url"), "http://supplier1.raspidemo/", "suppliers.0.url"),
        (("suppliers", 0, "label"), "supplier2", "supplier supplier2 is there twice"),
        (("suppliers", 0, "title"), "two\nlines", "one line"),
        (("manufacturers", 0, "title"), "", "manufacturers.0.title"),
        (("manufacturers", 0, "label"), "bolt", "manufacturer bolt is there twice"),
        (("zones", 0, "zone"), "trust.france.raspidemo", "the scheme zone of germany is trust.germany"),
        (("zones", 0, "server"), "ns1.raspidemo", "zones.0.server"),
        (("zones", 0, "port"), "53", "zones.0.port"),
        (("zones", 1, "country"), "germany", "zone germany is there twice"),
    ],
)
def test_a_registry_with_a_mistake_is_refused(
    registry: Registry, tmp_path: Path, path: tuple[str | int, ...], value: object, reason: str
) -> None:
    file = tmp_path / "registry.json"
    file.write_text(json.dumps(registry))
    assert read_registry(file, DOMAIN) == registry
    file.write_text(json.dumps(spoilt(registry, *path, value=value)))
    with pytest.raises(RegistryError, match=reason):
        read_registry(file, DOMAIN)


def test_a_registry_that_cannot_be_read_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match="cannot be read"):
        read_registry(tmp_path / "none.json", DOMAIN)


_NAMES = st.sampled_from(["manufacturers", "suppliers", "zones", "sensors", "label", "title", "country"])
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(_NAMES | st.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(document=st.binary(max_size=40) | _JSON.map(lambda value: json.dumps(value).encode()))
def test_no_file_breaks_it(tmp_path_factory: pytest.TempPathFactory, document: bytes) -> None:
    file = tmp_path_factory.getbasetemp() / "registry.json"
    file.write_bytes(document)
    with suppress(RegistryError):
        assert read_registry(file, DOMAIN).keys() == Registry.__annotations__.keys()
