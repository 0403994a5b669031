"""The service's local socket, by which the command line talks to it: for its own user and root alone."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from lightest_agents.errors import LightestError
from lightest_agents.supplier.desk import Desk
from lightest_agents.supplier.store import AlarmStore, StoreError

_SOCKET = "control.sock"
_SECONDS = 10.0
_BY = "command line"


class ControlError(LightestError):
    """The running service cannot be asked, or refuses."""

    reason = "service-unavailable"


@asynccontextmanager
async def control_socket(folder: Path, desk: Desk, store: AlarmStore) -> AsyncIterator[None]:
    """Listen in the state folder while the block runs.

    Raises:
        ControlError: the socket cannot be made.
    """

    async def show_lamp(_request: web.Request) -> web.Response:
        return web.json_response(asdict(desk.lamp))

    async def list_alarms(request: web.Request) -> web.Response:
        try:
            found = await asyncio.to_thread(store.open_alarms)
            found += await asyncio.to_thread(store.acknowledged_alarms, int(request.query["acknowledged"]))
        except StoreError as error:
            return web.json_response({"detail": str(error)}, status=503)
        return web.json_response([asdict(alarm) for alarm in found])

    async def acknowledge(request: web.Request) -> web.Response:
        fault_id = request.query.get("fault_id")
        try:
            if fault_id is not None and await asyncio.to_thread(store.get, fault_id) is None:
                return web.json_response({"detail": f"there is no alarm {fault_id}"}, status=404)
            return web.json_response(await desk.acknowledge(fault_id, _BY))
        except StoreError as error:
            return web.json_response({"detail": str(error)}, status=503)

    app = web.Application()
    app.add_routes(
        [web.get("/lamp", show_lamp), web.get("/alarms", list_alarms), web.post("/acknowledge", acknowledge)]
    )
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        path = folder / _SOCKET
        try:
            await web.UnixSite(runner, path).start()
            path.chmod(0o600)
        except OSError as error:
            raise ControlError(f"{path} cannot be made: {error.strerror or error}") from error
        yield
    finally:
        await runner.cleanup()


async def ask(folder: Path, method: str, path: str, **query: str) -> Any:
    """The answer of the service whose state is in `folder`, as JSON values.

    Raises:
        ControlError: it does not run, this user may not ask it, or it refuses.
    """
    socket = folder / _SOCKET
    try:
        async with (
            aiohttp.ClientSession(
                connector=aiohttp.UnixConnector(str(socket)),
                timeout=aiohttp.ClientTimeout(total=_SECONDS),
            ) as session,
            session.request(method, f"http://supplier{path}", params=query) as response,
        ):
            answer = await response.json()
            if response.status != 200:
                raise ControlError(answer["detail"])
            return answer
    except PermissionError as error:
        raise ControlError(f"{socket} is not for this user; ask as root") from error
    except (OSError, aiohttp.ClientError, TimeoutError) as error:
        raise ControlError(
            f"the supplier's service does not answer at {socket}; see `systemctl status lightest-supplier`"
        ) from error
