"""A supplier without a lamp, over real TLS: it takes alarms and remembers them."""

import asyncio
from types import TracebackType
from typing import Self

from aiohttp import web

from lightest_agents.trust.alarm import Alarm, AlarmError, open_alarm
from lightest_agents.trust.trust_list import Supplier
from tests.https_server import HttpsServer
from tests.world import World, free_port


class SupplierStub:
    """`<label>.raspidemo`; a real supplier also asks the DNS who the verifier's signer is.

    Attributes:
        entry: for the trust list.
        alarms: all that it took, with repetitions, in order.
        signers: the certificates (DER) that signed them.
        status: what it answers with.
        held: take alarms, but answer only when it is no longer set.
    """

    def __init__(self, world: World, label: str = "supplier1", *, available: bool = True) -> None:
        """Make a key and publish its TLSA record; `start` serves."""
        self.port = free_port()
        self.status = 202
        self.held = False
        self.alarms: list[Alarm] = []
        self.signers: list[bytes] = []
        self.entry = Supplier(
            name=label,
            title=f"{label.capitalize()} Repairs",
            url=f"https://{label}.raspidemo:{self.port}/v1/alarms",
            address="Turbine Hall 3",
            available=available,
        )
        self.identity = world.tls_server(label, self.port)
        self._server = HttpsServer(self.identity, self.port, self._take)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Listen."""
        self._server.start()

    def stop(self) -> None:
        """Be down."""
        self._server.stop()

    @property
    def fault_ids(self) -> list[str]:
        """Of the alarms that it took."""
        return [alarm.fault_id for alarm in self.alarms]

    async def _take(self, request: web.Request) -> web.Response:
        if self.status >= 300:
            return web.Response(status=self.status)
        try:
            signed = open_alarm(await request.read())
        except AlarmError as error:
            return web.Response(status=400, text=str(error))
        self.alarms.append(signed.alarm)
        self.signers.append(signed.signer)
        while self.held:
            await asyncio.sleep(0.01)
        return web.json_response({"fault_id": signed.alarm.fault_id}, status=self.status)
