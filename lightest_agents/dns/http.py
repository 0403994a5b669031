"""HTTPS to servers that are known by their TLSA records alone."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Hashable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus

import aiohttp
import dns.exception
import dns.name
from aiohttp.abc import AbstractResolver, ResolveResult
from dns.rdatatype import AAAA, TLSA, A
from dns.rdtypes.tlsabase import TLSABase
from yarl import URL

from lightest_agents.dns.dane import DaneContext, DaneMismatchError
from lightest_agents.dns.errors import HttpError, HttpFailure
from lightest_agents.dns.lookups import Lookup, Resolver, Status
from lightest_agents.dns.tlsa import is_usable
from lightest_agents.trust.urls import HttpsUrl, UrlRefusedError, parse_https_url

_MAX_SERVERS = 256
"""How many servers' TLS settings and addresses are remembered."""
_MAX_CONNECTIONS = 16
"""At the same time to one server; further requests wait, as servers refuse clients that open too many."""
_CHUNK = 1 << 16
_PROVED_ABSENT = (Status.NODATA, Status.NXDOMAIN)
_TLSA_FAILURES = {
    Status.NODATA: HttpFailure.TLSA_MISSING,
    Status.NXDOMAIN: HttpFailure.TLSA_MISSING,
    Status.INSECURE: HttpFailure.TLSA_INSECURE,
    Status.BOGUS: HttpFailure.TLSA_BOGUS,
    Status.UNAVAILABLE: HttpFailure.TLSA_UNAVAILABLE,
}


@dataclass(frozen=True, slots=True)
class Response:
    """What the server answered, whole.

    Attributes:
        status: the HTTP status code; never one of a redirect.
        headers: by their names in any case.
        body: as it was sent; nothing is unpacked.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes


class DaneClient:
    """An HTTP/1.1 client that talks to nobody but the server the DNS describes.

    For every request the TLSA and address records are looked up, so that a `Resolver` with a cache keeps to
    their TTLs. A kept connection is used again only while the TLSA records are those it was checked against.

    Used concurrently by the tasks of one event loop.
    """

    def __init__(self, resolver: Resolver, *, roots: Sequence[bytes] = (), max_idle: float = 15.0) -> None:
        """Set up without connecting.

        Args:
            resolver: stays the caller's to close.
            roots: DER certificates of trust anchors for TLSA records of the usages PKIX-TA(0) and PKIX-EE(1).
            max_idle: for how many seconds an unused connection is kept.
        """
        self._resolver = resolver
        self._roots = tuple(roots)
        self._max_idle = max_idle
        self._addresses = _Addresses()
        self._contexts: dict[Hashable, DaneContext] = {}
        self._session: aiohttp.ClientSession | None = None

    async def request(
        self,
        method: str,
        url: str,
        *,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        max_bytes: int = 1 << 20,
        timeout: float = 10.0,
    ) -> Response:
        """Make one request; a redirect is never followed.

        Args:
            method: such as `GET`.
            url: https, with a DNS name; see `parse_https_url`.
            body: of the request.
            headers: of the request.
            max_bytes: of the response's body.
            timeout: in seconds, for the whole of it from the first look-up to the last byte.

        Raises:
            HttpError: there is no complete response of an authenticated server; `kind` says why.
        """
        target = _parse(url)
        try:
            async with asyncio.timeout(timeout):
                context = await self._context(target)
                async with self._send(method, target, context, body, headers or {}, timeout) as response:
                    return await _read(response, target, max_bytes)
        except TimeoutError as error:
            raise HttpError(HttpFailure.TIMEOUT, f"{target.host} took longer than {timeout:g} s") from error

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _context(self, url: HttpsUrl) -> DaneContext:
        """A TLS context that lets nobody pass but the server the DNS describes now."""
        name = url.name
        tlsa, *addresses = await self._resolver.lookup_all(
            ((_tlsa_name(url, name), TLSA), (name, A), (name, AAAA))
        )
        canonical = next((found.canonical for found in addresses if found.status is Status.ANSWER), name)
        names = [url.host]
        if canonical != name:
            # The TLSA records of the host that an alias stands for come first (RFC 7671, section 7).
            expanded = await self._resolver.lookup(_tlsa_name(url, canonical), TLSA)
            if expanded.status not in (*_PROVED_ABSENT, Status.INSECURE):
                tlsa = expanded
                names.insert(0, canonical.to_text(omit_final_dot=True))
        records = _require_records(url, tlsa)
        self._addresses.remember(url.host, _require_addresses(url, addresses))
        # aiohttp keeps connections by their context: other records, another context, no old connection.
        key = (url.host, url.port, tuple(names), frozenset(records))
        context = self._contexts.pop(key, None) or DaneContext(records, names, self._roots)
        self._contexts[key] = context
        if len(self._contexts) > _MAX_SERVERS:
            del self._contexts[next(iter(self._contexts))]
        return context

    @asynccontextmanager
    async def _send(
        self,
        method: str,
        url: HttpsUrl,
        context: DaneContext,
        body: bytes,
        headers: Mapping[str, str],
        timeout: float,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """The response when its headers are there; the failures of aiohttp as those of this module."""
        if self._session is None:
            self._session = self._open()
        try:
            async with self._session.request(
                method,
                URL(url.text, encoded=True),
                data=body or None,
                headers=headers,
                ssl=context,
                allow_redirects=False,
                # An address that swallows packets must leave time for the next one.
                timeout=aiohttp.ClientTimeout(sock_connect=timeout / 2),
            ) as response:
                yield response
        except aiohttp.ClientConnectorCertificateError as error:
            raise HttpError(HttpFailure.TLSA_MISMATCH, f"{url.host}: {_reason(error)}") from error
        except aiohttp.ClientSSLError as error:
            raise HttpError(
                HttpFailure.PROTOCOL, f"{url.host}: no TLS connection: {_reason(error)}"
            ) from error
        except (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError) as error:
            raise HttpError(HttpFailure.UNREACHABLE, f"{url.host}: {_reason(error)}") from error
        except aiohttp.ClientError as error:
            raise HttpError(HttpFailure.PROTOCOL, f"{url.host} does not speak HTTP/1.1: {error}") from error

    def _open(self) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(
            resolver=self._addresses,
            use_dns_cache=False,
            keepalive_timeout=self._max_idle,
            limit_per_host=_MAX_CONNECTIONS,
        )
        return aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            headers={"Accept-Encoding": "identity", "User-Agent": "lightest"},
        )


class _Addresses(AbstractResolver):
    """Gives aiohttp the addresses that were proved, and no others."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[str, ...]] = {}

    def remember(self, host: str, addresses: tuple[str, ...]) -> None:
        self._known.pop(host, None)
        self._known[host] = addresses
        if len(self._known) > _MAX_SERVERS:
            del self._known[next(iter(self._known))]

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        if host not in self._known:
            raise OSError(f"no address of {host} was proved")
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=kind,
                proto=socket.IPPROTO_TCP,
                flags=socket.AI_NUMERICHOST,
            )
            for address in self._known[host]
            if family in (kind := _family(address), socket.AF_UNSPEC)
        ]

    async def close(self) -> None:
        self._known.clear()


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def _parse(text: str) -> HttpsUrl:
    try:
        url = parse_https_url(text)
        _tlsa_name(url, url.name)
    except UrlRefusedError as error:
        raise HttpError(HttpFailure.URL_REFUSED, str(error)) from error
    except dns.exception.DNSException as error:
        detail = f"{text[:60]}… is too long for a server with TLSA records"
        raise HttpError(HttpFailure.URL_REFUSED, detail) from error
    return url


def _tlsa_name(url: HttpsUrl, base: dns.name.Name) -> dns.name.Name:
    """Where the TLSA records of the URL's port of `base` are (RFC 6698, section 3)."""
    return dns.name.Name((b"_%d" % url.port, b"_tcp", *base.labels))


def _require_records(url: HttpsUrl, tlsa: Lookup) -> list[TLSABase]:
    """The TLSA records that can be used; a server with none is nobody this client may talk to."""
    if tlsa.rrset is None:
        raise HttpError(_TLSA_FAILURES[tlsa.status], tlsa.detail)
    records = [record for record in tlsa.rrset if isinstance(record, TLSABase) and is_usable(record)]
    if not records:
        raise HttpError(
            HttpFailure.TLSA_MISSING,
            f"{url.host} port {url.port} has TLSA records, but none that can be used",
        )
    return records


def _require_addresses(url: HttpsUrl, found: Sequence[Lookup]) -> tuple[str, ...]:
    addresses = tuple(record.address for lookup in found if lookup.rrset for record in lookup.rrset)
    if addresses:
        return addresses
    for status, kind in (
        (Status.INSECURE, HttpFailure.TLSA_INSECURE),
        (Status.BOGUS, HttpFailure.TLSA_BOGUS),
        (Status.UNAVAILABLE, HttpFailure.ADDRESS_UNAVAILABLE),
    ):
        for lookup in found:
            if lookup.status is status:
                raise HttpError(kind, lookup.detail)
    raise HttpError(HttpFailure.ADDRESS_UNAVAILABLE, f"{url.host} has no address, proved")


async def _read(response: aiohttp.ClientResponse, url: HttpsUrl, max_bytes: int) -> Response:
    if 300 <= response.status < 400 and response.status != HTTPStatus.NOT_MODIFIED:
        scheme = response.headers.get("Location", "").partition(":")[0].lower()
        response.close()
        where = f"an {scheme} URL" if scheme in ("http", "https") else "another URL"
        raise HttpError(
            HttpFailure.REDIRECT,
            f"{url.host} answered {response.status}, a redirect to {where}, which is not followed",
        )
    body = bytearray()
    async for chunk in response.content.iter_chunked(_CHUNK):
        body += chunk
        if len(body) > max_bytes:
            response.close()
            raise HttpError(HttpFailure.TOO_LARGE, f"{url.host} sends more than {max_bytes} bytes")
    return Response(response.status, response.headers, bytes(body))


def _reason(error: Exception) -> str:
    """The innermost error's own words; aiohttp's add the address and much else."""
    cause = error.__cause__ or error
    if isinstance(cause, DaneMismatchError):
        return cause.outcome.detail
    if isinstance(cause, ssl.SSLError):
        return (cause.reason or str(cause)).replace("_", " ").lower()
    if isinstance(cause, OSError) and cause.strerror:
        return cause.strerror
    return str(cause) or type(cause).__name__
