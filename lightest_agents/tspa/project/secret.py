"""The secret of a Django installation, made on its host."""

import os
import secrets
import tempfile
from contextlib import suppress
from pathlib import Path

from lightest_agents.tspa.errors import InstallationError

_BYTES = 48


def read_secret(path: Path) -> str:
    """The secret in the file at `path`; it is made, for its owner alone, if there is none yet.

    Raises:
        InstallationError: the file can neither be read nor made.
    """
    try:
        if not path.exists():
            _make(path)
        return path.read_text(encoding="ascii").strip()
    except OSError as error:
        raise InstallationError(f"{path} cannot be read or made: {error.strerror}") from error


def _make(path: Path) -> None:
    """Put a whole file in place at once: whoever comes second takes what the first one made."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    new = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(secrets.token_urlsafe(_BYTES))
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            path.hardlink_to(new)
    finally:
        new.unlink()
