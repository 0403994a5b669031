"""The verifier as a service."""

import asyncio
import time
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from lightest_agents.dns.http import DaneClient
from lightest_agents.dns.lookups import Resolver
from lightest_agents.service.config import ConfigError
from lightest_agents.service.server import serve
from lightest_agents.trust.names import trust_domain
from lightest_agents.verifier.alarms import Alarms, Signer
from lightest_agents.verifier.api import VerifierApi
from lightest_agents.verifier.claims import Claims
from lightest_agents.verifier.lists import ListCache, Sequences
from lightest_agents.verifier.settings import VerifierSettings
from lightest_agents.verifier.store import Store
from lightest_agents.verifier.walk import ChainWalk
from lightest_agents.verifier.worker import Worker


async def run(settings: VerifierSettings) -> None:
    """Serve until SIGTERM; faults that an earlier process left without a verdict are taken up.

    Raises:
        LightestError: the service cannot start; the message says what to do.
    """
    signer = Signer.read(settings.state)
    roots = read_roots(settings.roots)
    async with AsyncExitStack() as stack:
        store = Store(settings.state)
        stack.push_async_callback(store.close)
        resolver, client = await stack.enter_async_context(connections(settings, roots))
        alarms = Alarms(client, signer, issuer=settings.name, origin=settings.origin)
        claims = make_claims(settings)
        walk = make_walk(settings, resolver, client, roots, store, claims)
        worker = Worker(settings, store, walk, alarms)
        await worker.resume()
        # What is kept from earlier does not show that the resolver works now.
        asking = Resolver(settings.resolver, settings.resolver_port)
        stack.push_async_callback(asking.close)
        api = VerifierApi(settings, claims=claims, resolver=asking, store=store, worker=worker)
        serving = serve(
            api.application(),
            addresses=settings.addresses,
            port=settings.port,
            certificate=settings.state / "tls.crt",
            key=settings.state / "tls.key",
        )
        await _until_first_ends(serving, worker.run())


@asynccontextmanager
async def connections(
    settings: VerifierSettings, roots: Sequence[bytes]
) -> AsyncIterator[tuple[Resolver, DaneClient]]:
    """The resolver, which keeps answers for their TTL, and an HTTP client; both are closed in the end."""
    resolver = Resolver(settings.resolver, settings.resolver_port, cache=True)
    client = DaneClient(resolver, roots=roots)
    try:
        yield resolver, client
    finally:
        await client.close()
        await resolver.close()


def make_walk(
    settings: VerifierSettings,
    resolver: Resolver,
    client: DaneClient,
    roots: Sequence[bytes],
    sequences: Sequences,
    claims: Claims,
) -> ChainWalk:
    """The walk as the settings have it."""
    return ChainWalk(
        resolver,
        ListCache(client, sequences, roots=roots),
        claims,
        max_age=timedelta(seconds=settings.max_age),
        max_ahead=timedelta(seconds=settings.max_ahead),
        clock=time.time,
    )


def make_claims(settings: VerifierSettings) -> Claims:
    """The claims in the settings' trust domain."""
    return Claims(trust_domain(settings.domain), [trust_domain(zone) for zone in settings.scheme_zones])


def read_roots(path: Path | None) -> tuple[bytes, ...]:
    """The certificates (DER) in a PEM file; none without a file.

    Raises:
        ConfigError: the file cannot be read or has no certificate.
    """
    if path is None:
        return ()
    try:
        found = x509.load_pem_x509_certificates(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}; correct `roots`") from error
    except ValueError as error:
        raise ConfigError(f"{path}: has no certificates in PEM form; correct `roots`") from error
    return tuple(certificate.public_bytes(Encoding.DER) for certificate in found)


async def _until_first_ends(*works: Coroutine[None, None, None]) -> None:
    """Run all at the same time; when one ends, for good or with an error, the others are cancelled."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()
