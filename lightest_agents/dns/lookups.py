"""Secure look-ups: what a validating resolver on this host says, as values.

The AD bit means something over loopback alone, so no other resolver is asked (RFC 6840, section 5.7).
"""

import asyncio
import ipaddress
import os
from collections.abc import Sequence

import dns.name
import dns.rdatatype

from lightest_agents.dns.errors import ResolverRefusedError
from lightest_agents.dns.udp import UdpClient
from lightest_agents.dns.wire import Lookup, Question, Status, is_answer, is_truncated

__all__ = ["Lookup", "Resolver", "Status"]

_REMEMBERED = 1 << 14
"""How many questions and their last answers are kept, 1 to 2 KiB each."""


class Resolver:
    """Asks a validating resolver on loopback; safe for many concurrent tasks of one event loop.

    A repeated answer is recognised by its bytes and not parsed again.
    """

    def __init__(
        self, address: str = "127.0.0.1", port: int = 53, *, timeout: float = 5.0, cache: bool = False
    ) -> None:
        """Set up without asking anything.

        Args:
            address: of the resolver, in text.
            port: of the resolver, UDP and TCP.
            timeout: of one look-up, in seconds.
            cache: use what is proved (`ANSWER`, `NODATA`, `NXDOMAIN`) until its TTL is over instead of asking
                again. What is not proved is never kept.

        Raises:
            ResolverRefusedError: the address is not on loopback.
        """
        if not _is_loopback(address):
            raise ResolverRefusedError(
                f"the resolver {address} is not on this host: its answers could be changed on the way; "
                "run a validating resolver here and use 127.0.0.1 or ::1"
            )
        self._address = address
        self._port = port
        self._timeout = timeout
        self._cache = cache
        self._udp = UdpClient(address, port, timeout)
        self._questions: dict[tuple[tuple[bytes, ...], int], Question] = {}

    async def lookup(self, name: dns.name.Name, rdtype: dns.rdatatype.RdataType) -> Lookup:
        """Look up one absolute name and type; never raises, whatever happens on the network."""
        return (await self.lookup_all(((name, rdtype),)))[0]

    async def lookup_all(
        self, questions: Sequence[tuple[dns.name.Name, dns.rdatatype.RdataType]]
    ) -> list[Lookup]:
        """Look up several at once, without a task for each; the outcomes come in the same order."""
        clock = asyncio.get_running_loop().time
        now = clock()
        known = self._questions
        # The hash of a Name is computed in Python, octet by octet; that of its labels is not.
        wanted = [
            known.get((name.labels, rdtype)) or self._question(name, rdtype) for name, rdtype in questions
        ]
        asked = [question for question in wanted if now >= question.kept_until]
        if not asked:
            return [question.last for question in wanted]
        answers = await self._udp.exchange(asked)
        now = clock()
        fresh = {}
        for question, answer in zip(asked, answers, strict=True):
            outcome = await self._outcome(question, answer)
            if self._cache:
                question.kept_until = now + outcome.ttl
            fresh[question] = outcome
        return [fresh.get(question) or question.last for question in wanted]

    async def close(self) -> None:
        """Close the sockets; look-ups on their way end as `UNAVAILABLE`."""
        self._udp.close()

    def _question(self, name: dns.name.Name, rdtype: dns.rdatatype.RdataType) -> Question:
        if len(self._questions) >= _REMEMBERED:
            del self._questions[next(iter(self._questions))]
        question = self._questions[name.labels, rdtype] = Question(name, rdtype)
        return question

    async def _outcome(self, question: Question, answer: bytes | OSError) -> Lookup:
        if isinstance(answer, bytes) and is_truncated(answer):
            answer = await self._ask_by_tcp(question)
        if isinstance(answer, bytes):
            return question.read(answer)
        return question.unavailable(self._sentence(answer))

    async def _ask_by_tcp(self, question: Question) -> bytes | OSError:
        """The answer as RFC 7766 carries it."""
        identity = os.urandom(2)
        query = identity + question.query
        try:
            async with asyncio.timeout(self._timeout):
                reader, writer = await asyncio.open_connection(self._address, self._port)
                try:
                    writer.write(len(query).to_bytes(2) + query)
                    answer = await reader.readexactly(int.from_bytes(await reader.readexactly(2)))
                finally:
                    writer.close()
        except asyncio.IncompleteReadError:
            return ConnectionResetError("it closed the connection")
        except OSError as error:
            return error
        if answer[:2] != identity or not is_answer(answer, question) or is_truncated(answer):
            return ConnectionAbortedError("it answered another question, or not in full")
        return answer

    def _sentence(self, error: OSError) -> str:
        where = f"the resolver at {self._address} port {self._port}"
        if isinstance(error, TimeoutError):
            return f"{where} did not answer within {self._timeout:g} s"
        return f"{where} cannot be asked: {error.strerror or error}"


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False
