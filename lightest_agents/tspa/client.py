"""A manufacturer's side of the API, over TLS that the DNS vouches for."""

import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

from lightest_agents.dns.errors import HttpError
from lightest_agents.dns.http import DaneClient, Response
from lightest_agents.dns.lookups import Resolver
from lightest_agents.trust import names
from lightest_agents.tspa.errors import ApiError

_TIMEOUT = 30.0


@dataclass(frozen=True, slots=True)
class TspaClient:
    """Calls the API of one TSPA under one manufacturer's token.

    Attributes:
        url: such as `https://tspa.raspidemo`.
        token: the secret.
        resolver: the validating resolver on this host.
    """

    url: str
    token: str
    resolver: Resolver

    async def register(self, claim: str, pem: bytes, suppliers: list[str] | None) -> dict[str, Any]:
        """Register a sensor's certificate and, if given, its suppliers; the TSPA's answer.

        Raises:
            NameRefusedError: the claim is no name.
            ApiError: the TSPA refuses, or cannot be reached.
        """
        answer = await self._call(
            "PUT", claim, "certificate", {"certificate": pem.decode("ascii", "replace")}
        )
        if suppliers is None:
            return answer
        chosen = await self._call("PUT", claim, "suppliers", {"suppliers": suppliers})
        return chosen | {"changed": answer["changed"] or chosen["changed"]}

    async def set_status(self, claim: str, action: str, reason: str) -> dict[str, Any]:
        """`withdraw` or `restore` a sensor; the TSPA's answer.

        Raises:
            NameRefusedError: the claim is no name.
            ApiError: the TSPA refuses, or cannot be reached.
        """
        return await self._call("POST", claim, action, {"reason": reason})

    async def _call(self, method: str, claim: str, action: str, body: Mapping[str, object]) -> dict[str, Any]:
        names.trust_domain(claim)
        client = DaneClient(self.resolver)
        try:
            response = await client.request(
                method,
                f"{self.url}/v1/sensors/{claim}/{action}",
                body=json.dumps(body).encode(),
                headers={"Content-Type": "application/json", "Authorization": f"Bearer {self.token}"},
                timeout=_TIMEOUT,
            )
        except HttpError as error:
            raise ApiError(f"{self.url}: {error}") from error
        finally:
            await client.close()
        return _read(self.url, response)


def _read(url: str, response: Response) -> dict[str, Any]:
    try:
        answer = json.loads(response.body)
    except ValueError as error:
        raise ApiError(f"{url} answered {response.status} and no JSON") from error
    if not isinstance(answer, dict):
        raise ApiError(f"{url} answered {response.status} and no JSON object")
    if response.status != HTTPStatus.OK:
        wrong = "".join(
            f"; {item.get('field')}: {item.get('message')}"
            for item in answer.get("errors", [])
            if isinstance(item, dict)
        )
        raise ApiError(f"{answer.get('reason', response.status)}: {answer.get('detail', 'refused')}{wrong}")
    return answer


def read_token(path: Path) -> str | None:
    """The token in a file, or None if there is no such file.

    Raises:
        ApiError: the file cannot be read, or is open to others.
    """
    try:
        with path.open(encoding="ascii") as file:
            if os.fstat(file.fileno()).st_mode & 0o077:
                raise ApiError(
                    f"{path} can be read by others; make a new token and keep the file at mode 0600"
                )
            return file.read(1024).strip()
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise ApiError(f"{path}: cannot be read as a token: {error}") from error


def write_token(path: Path, token: str) -> None:
    """Put a token into a file for its owner alone, in place of any other.

    Raises:
        ApiError: the file cannot be written.
    """
    try:
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(token + "\n")
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except OSError as error:
        raise ApiError(f"{path}: cannot be written: {error.strerror}") from error
