"""Delivers the outbox: one fault after the other, over TLS that the DNS vouches for (DANE)."""

import asyncio
import json
import logging
import secrets
import sqlite3
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from lightest_agents.dns.errors import HttpError
from lightest_agents.dns.http import DaneClient
from lightest_agents.sensor.outbox import Fault, FaultState, Outbox
from lightest_agents.sensor.settings import SensorSettings
from lightest_agents.sensor.trouble import Trouble

_LOG = logging.getLogger(__name__)

_PATH = "/v1/faults"
_MEDIA_TYPE = "application/jose"
_MAX_ANSWER = 65536
_MAX_WORDS = 300
# These say "not now", though they are the client's errors (RFC 9110, section 15.5.9; RFC 6585, section 4).
_LATER = {408, 429}


@dataclass(frozen=True, slots=True)
class Taken:
    """The verifier has the fault on its disk.

    Attributes:
        fault_id: its name at the verifier.
    """

    fault_id: str


@dataclass(frozen=True, slots=True)
class Refused:
    """The verifier will never take the fault."""

    reason: str


@dataclass(frozen=True, slots=True)
class NotNow:
    """The fault has to be sent again.

    Attributes:
        wait: seconds that the verifier wants to be left alone.
    """

    reason: str
    wait: float = 0.0


def judge(status: int, headers: Mapping[str, str], body: bytes) -> Taken | Refused | NotNow:
    """What the verifier's answer means for a fault."""
    answer = _json(body)
    if status == 202 and isinstance(name := answer.get("id"), str) and name.isprintable() and name:
        return Taken(name[:_MAX_WORDS])
    if 400 <= status < 500 and status not in _LATER:
        return Refused(f"{status} {_words(answer)}".rstrip())
    wait = headers.get("Retry-After", "")
    seconds = float(wait) if wait.isdecimal() and len(wait) <= 9 else 0.0
    return NotNow(f"the verifier answers {status} {_words(answer)}".rstrip(), seconds)


def pause(attempt: int, first: float, cap: float) -> float:
    """Seconds to wait after the failed attempt number `attempt`, from 0.

    "Full jitter": anything from nothing to `first` doubled with each attempt, `cap` at most, so that a
    thousand sensors do not come back at the same moment.
    """
    return secrets.SystemRandom().uniform(0, min(cap, first * 2 ** min(attempt, 64)))


class Delivery:
    """Sends what waits in the outbox."""

    def __init__(self, settings: SensorSettings, outbox: Outbox, client: DaneClient) -> None:
        """Send from `outbox` to the verifier of the settings."""
        self._settings = settings
        self._outbox = outbox
        self._client = client
        self._woken = asyncio.Event()
        self._trouble = Trouble(_LOG, "the verifier can be reached again")

    def wake(self) -> None:
        """Do not wait any longer: there is a new fault."""
        self._woken.set()

    async def run(self) -> None:
        """Send whatever waits, in order, until cancelled; what fails is tried again."""
        attempt = 0
        while True:
            self._woken.clear()
            try:
                fault = self._outbox.oldest_waiting()
                if fault is None:
                    await self._woken.wait()
                    continue
                outcome = await self._send(fault)
                self._settle(fault, outcome)
            except sqlite3.Error as error:
                outcome = NotNow(f"the outbox cannot be used: {error}")
            if isinstance(outcome, NotNow):
                self._trouble.note(outcome.reason)
                await self._rest(attempt, outcome.wait)
                attempt += 1
            else:
                self._trouble.over()
                attempt = 0

    async def _send(self, fault: Fault) -> Taken | Refused | NotNow:
        """Send one fault; the same body again is no second fault to the verifier."""
        try:
            answer = await self._client.request(
                "POST",
                f"{self._settings.verifier}{_PATH}",
                body=fault.body,
                headers={"Content-Type": _MEDIA_TYPE},
                max_bytes=_MAX_ANSWER,
            )
        except HttpError as error:
            return NotNow(f"{error.kind}: {error}")
        return judge(answer.status, answer.headers, answer.body)

    def _settle(self, fault: Fault, outcome: Taken | Refused | NotNow) -> None:
        match outcome:
            case Taken(fault_id):
                self._outbox.settle(fault, FaultState.DELIVERED, fault_id)
                _LOG.info("fault %d: the verifier has taken it as %s", fault.seq, fault_id)
            case Refused(reason):
                self._outbox.settle(fault, FaultState.REFUSED, reason)
                _LOG.error("fault %d: the verifier refuses it: %s", fault.seq, reason)

    async def _rest(self, attempt: int, at_least: float) -> None:
        settings = self._settings
        seconds = max(
            pause(attempt, settings.retry_first, settings.retry_cap), min(at_least, settings.retry_cap)
        )
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._woken.wait()


def _json(body: bytes) -> dict[str, Any]:
    with suppress(ValueError, RecursionError):
        answer = json.loads(body)
        if isinstance(answer, dict):
            return answer
    return {}


def _words(answer: Mapping[str, object]) -> str:
    """What a problem document (RFC 9457) says, as a line for the log."""
    said = (answer.get(key) for key in ("reason", "detail"))
    line = ": ".join(word for word in said if isinstance(word, str))[:_MAX_WORDS]
    return line if line.isprintable() else ascii(line)
