"""The sensor's agent as a service: measure, sign, store, deliver."""

import asyncio
import logging

from lightest_agents.dns.http import DaneClient
from lightest_agents.dns.lookups import Resolver
from lightest_agents.sensor.delivery import Delivery
from lightest_agents.sensor.enrolment import read_key
from lightest_agents.sensor.outbox import Outbox
from lightest_agents.sensor.settings import SensorSettings
from lightest_agents.sensor.thermometers import make_thermometer
from lightest_agents.sensor.watch import Watch
from lightest_agents.service import systemd

_LOG = logging.getLogger(__name__)


async def run(settings: SensorSettings) -> None:
    """Work until SIGTERM or SIGINT. What waits in the outbox then is delivered after the next start.

    Raises:
        EnrolmentError: the sensor has no usable key.
        OutboxError: the outbox cannot be used.
        ResolverRefusedError: the resolver is not on this host.
    """
    key = read_key(settings.state)
    resolver = Resolver(settings.resolver, settings.resolver_port)
    client = DaneClient(resolver)
    try:
        with Outbox(settings.outbox) as outbox:
            delivery = Delivery(settings, outbox, client)
            watch = Watch(settings, key, make_thermometer(settings), outbox, delivery.wake)
            async with systemd.running() as stop:
                _LOG.info("%s is watched; faults go to %s", settings.claim_text, settings.verifier)
                await _until(stop, asyncio.create_task(watch.run()), asyncio.create_task(delivery.run()))
    finally:
        await client.close()
        await resolver.close()


async def _until(stop: asyncio.Event, *work: "asyncio.Task[None]") -> None:
    """Let the work go on until `stop` is set; a defect in it is raised, so that systemd starts anew."""
    stopping = asyncio.create_task(stop.wait())
    try:
        done, _ = await asyncio.wait({stopping, *work}, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        stopping.cancel()
        for unfinished in work:
            unfinished.cancel()
        await asyncio.gather(stopping, *work, return_exceptions=True)
