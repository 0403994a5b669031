"""The TSPA's Django project on a database of its own, publishing into the loopback trust domain."""

import atexit
import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import django
import dns.message
import dns.query
import pytest

from lightest_agents.service.identity import make_identity
from lightest_agents.tspa.registry_file import Registry
from tests.unit.tspa.certificates import make_certificate
from tests.world import World

STATE = Path(tempfile.mkdtemp(prefix="tspa-"))
atexit.register(shutil.rmtree, STATE, ignore_errors=True)
(STATE / "tspa.toml").write_text(
    f'domain = "raspidemo"\nname = "tspa.raspidemo"\nstate = "{STATE}"\n'
    'operator = "Operator of the trust scheme"\nterritory = "DE"\n'
)
os.environ["LIGHTEST_TSPA_CONFIG"] = str(STATE / "tspa.toml")
os.environ["DJANGO_SETTINGS_MODULE"] = "lightest_agents.tspa.project.settings"
django.setup()

from django.conf import settings  # noqa: E402

from lightest_agents.tspa import selectors  # noqa: E402
from lightest_agents.tspa.models import Manufacturer  # noqa: E402
from lightest_agents.tspa.services import registry as registries  # noqa: E402
from lightest_agents.tspa.services.audit import Caller  # noqa: E402

CLAIM = "sensor1.germany.raspidemo"
OTHER = "sensor2.germany.raspidemo"
OWNER = "_scheme._trust.sensor1.trust.germany.raspidemo"


@pytest.fixture(scope="session")
def django_db_modify_db_settings() -> None:
    """A file in WAL mode, as in operation; the default would be a database in memory."""
    settings.DATABASES["default"]["TEST"]["NAME"] = str(STATE / "test.sqlite3")


@pytest.fixture(scope="session", autouse=True)
def _signer() -> None:
    make_identity(STATE, "tspa.raspidemo", signer=True)


@dataclass(frozen=True, slots=True)
class Tspa:
    """A database with two manufacturers, and the world that its lists are published into."""

    world: World
    registry: Registry

    def sync(self) -> registries.Changes:
        return registries.sync_registry(self.registry, datetime.now(UTC))

    def caller(self, label: str = "acme") -> Caller:
        return Caller(Manufacturer.objects.get(label=label), "192.0.2.7")

    def records(self, owner: str = OWNER) -> dict[str, list[str]]:
        """What the name server itself says of an owner name."""
        found = {}
        for rdtype in ("URI", "SMIMEA"):
            query = dns.message.make_query(owner, rdtype)
            answer = dns.query.udp(query, "127.0.0.1", port=self.world.named_port, timeout=5)
            found[rdtype] = sorted(rdata.to_text() for rrset in answer.answer for rdata in rrset)
        return found

    def served(self, claim: str = CLAIM) -> bytes | None:
        publication = selectors.current_publication(*(selectors.split_claim(claim) or ("", "")))
        return bytes(publication.document) if publication else None


@pytest.fixture
def registry(running_world: World) -> Registry:
    zones = {country: f"trust.{country}.raspidemo" for country in ("germany", "france")}
    return {
        "manufacturers": [{"label": "acme", "title": "Acme"}, {"label": "bolt", "title": "Bolt & Sons"}],
        "suppliers": [
            {
                "label": f"supplier{number}",
                "title": f"Repairs {number}",
                "url": f"https://supplier{number}.raspidemo:9443/v1/alarms",
                "address": "Nut Street 3" if number == 1 else "",
            }
            for number in (1, 2, 3)
        ],
        "zones": [
            {
                "country": country,
                "zone": zone,
                "server": "127.0.0.1",
                "port": running_world.named_port,
                "key_file": str(running_world.key_file(f"scheme.{zone}")),
            }
            for country, zone in zones.items()
        ],
        "sensors": [
            {
                "country": "germany",
                "label": "sensor1",
                "manufacturer": "acme",
                "suppliers": ["supplier1", "supplier2"],
            },
            {"country": "germany", "label": "sensor2", "manufacturer": "bolt", "suppliers": []},
            {"country": "france", "label": "sensor1", "manufacturer": "acme", "suppliers": ["supplier2"]},
        ],
    }


@pytest.fixture
def tspa(transactional_db: None, world: World, registry: Registry) -> Tspa:
    found = Tspa(world, registry)
    found.sync()
    return found


@pytest.fixture
def enrolled(tspa: Tspa) -> Tspa:
    """`tspa` with a published list of sensor1.germany."""
    from lightest_agents.tspa.services import sensors

    sensors.register_certificate(tspa.caller(), CLAIM, make_certificate(CLAIM))
    return tspa


@pytest.fixture
def run_in_threads() -> Callable[[int, Callable[[int], object]], list[object]]:
    """Run a function in threads that start together, each with its own connection to the database."""
    from concurrent.futures import ThreadPoolExecutor
    from threading import Barrier

    from django.db import connections

    def run(count: int, function: Callable[[int], object]) -> list[object]:
        barrier = Barrier(count)

        def one(number: int) -> object:
            barrier.wait()
            try:
                return function(number)
            finally:
                connections.close_all()

        with ThreadPoolExecutor(count) as pool:
            return list(pool.map(one, range(count)))

    return run
