"""The supplier as a service."""

from lightest_agents.dns.lookups import Resolver
from lightest_agents.service.server import serve
from lightest_agents.supplier.api import SupplierApi
from lightest_agents.supplier.control import control_socket
from lightest_agents.supplier.desk import Desk
from lightest_agents.supplier.events import Broadcast
from lightest_agents.supplier.lamp import panel
from lightest_agents.supplier.settings import SupplierSettings
from lightest_agents.supplier.store import AlarmStore

_LISTENERS = 32


async def run(settings: SupplierSettings) -> None:
    """Serve until SIGTERM; an alarm that was open at the last end blinks from the beginning.

    Raises:
        LightestError: the service cannot start; the message says what to do.
    """
    store = AlarmStore(settings.state)
    resolver = Resolver(settings.resolver, settings.resolver_port)
    events = Broadcast(_LISTENERS)
    try:
        with panel(settings.lamp) as lamp:
            desk = Desk(store, lamp, events)
            await desk.refresh()
            api = SupplierApi(settings, resolver=resolver, store=store, desk=desk, events=events)
            async with control_socket(settings.state, desk, store):
                await serve(
                    api.application(),
                    addresses=settings.addresses,
                    port=settings.port,
                    certificate=settings.state / "tls.crt",
                    key=settings.state / "tls.key",
                )
    finally:
        await resolver.close()
        store.close()
