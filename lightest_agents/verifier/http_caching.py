"""How long an answer may be used again without asking: RFC 9111 for a private cache."""

import re
from collections.abc import Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime

_DIRECTIVE = re.compile(r'([!#$%&\'*+.^_`|~0-9A-Za-z-]+)(?:=(?:"((?:[^"\\]|\\.)*)"|([^",\s]+)))?')
_SECONDS = re.compile(r"[0-9]{1,10}")


def seconds_fresh(headers: Mapping[str, str]) -> float:
    """Seconds for which a new answer may be used again; 0 if it has to be asked for each time.

    `Cache-Control` (`no-store`, `no-cache`, `max-age`), else `Expires` against `Date`, less `Age`: RFC 9111,
    sections 4.2.1 and 5.2.2. An answer that does not say how long it lasts is not guessed to last, and what
    cannot be understood makes it stale, as section 4.2.1 advises.

    Args:
        headers: of the answer, found whatever the case of their names.
    """
    age = _number(headers.get("Age", "0"))
    lifetime = _lifetime(headers)
    if age is None or lifetime is None:
        return 0.0
    return max(lifetime - age, 0.0)


def _lifetime(headers: Mapping[str, str]) -> float | None:
    directives = [
        (name.lower(), quoted or token)
        for name, quoted, token in _DIRECTIVE.findall(headers.get("Cache-Control", ""))
    ]
    names = [name for name, _ in directives]
    if "no-store" in names or "no-cache" in names:
        return None
    if "max-age" in names:
        values = {value for name, value in directives if name == "max-age"}
        return _number(values.pop()) if len(values) == 1 else None
    expires, date = _date(headers.get("Expires")), _date(headers.get("Date"))
    if expires is None or date is None:
        return None
    return (expires - date).total_seconds()


def _number(text: str) -> float | None:
    return float(text) if _SECONDS.fullmatch(text.strip()) else None


def _date(text: str | None) -> datetime | None:
    try:
        found = None if text is None else parsedate_to_datetime(text)
    except ValueError:
        return None
    return found if found is not None and found.tzinfo is not None else None
