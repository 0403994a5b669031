"""The manufacturers' keys to the API."""

import secrets
from datetime import datetime
from hashlib import sha256

from django.db import transaction

from lightest_agents.tspa import selectors
from lightest_agents.tspa.models import ApiToken
from lightest_agents.tspa.services import audit

_BYTES = 32


def issue(label: str, now: datetime, *, expires: datetime | None = None) -> str:
    """A new token of a manufacturer; this is the only time it can be seen.

    Raises:
        UnknownNameError: the registry has no such manufacturer.
    """
    manufacturer = selectors.manufacturer(label)
    token = secrets.token_urlsafe(_BYTES)
    with transaction.atomic():
        ApiToken.objects.create(manufacturer=manufacturer, digest=digest(token), created=now, expires=expires)
        audit.record(audit.OPERATOR, "token", label)
    return token


def is_valid(token: str | None, label: str, now: datetime) -> bool:
    """Whether this is a token of that manufacturer which the API takes."""
    found = selectors.valid_token(digest(token), now) if token else None
    return found is not None and found.manufacturer.label == label


def revoke_all(label: str, now: datetime) -> int:
    """Make all tokens of a manufacturer worthless; how many there were.

    Raises:
        UnknownNameError: the registry has no such manufacturer.
    """
    manufacturer = selectors.manufacturer(label)
    with transaction.atomic():
        revoked = manufacturer.tokens.filter(revoked__isnull=True).update(revoked=now)
        if revoked:
            audit.record(audit.OPERATOR, "revoke", label)
    return revoked


def digest(token: str) -> str:
    """What is kept of a token: as it is random, its SHA-256 tells nothing of it."""
    return sha256(token.encode()).hexdigest()
