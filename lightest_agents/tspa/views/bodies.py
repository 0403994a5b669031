"""What clients of the API send, and how it is read."""

from http import HTTPStatus
from typing import Annotated, TypeVar

from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest, UnreadablePostError
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from lightest_agents.errors import LightestError
from lightest_agents.service.config import LabelText
from lightest_agents.trust import strict_json
from lightest_agents.trust.strict_json import MalformedError

ModelT = TypeVar("ModelT", bound=BaseModel)

JSON = "application/json"
PEM = frozenset({"application/x-pem-file", "application/pem-certificate-chain"})


class BodyError(LightestError):
    """A request's body is not what it has to be.

    Attributes:
        status: the HTTP status that says so.
        errors: field and message of each field that is wrong.
    """

    reason = "request-malformed"

    def __init__(self, status: HTTPStatus, message: str, errors: tuple[dict[str, str], ...] = ()) -> None:
        """Carry the status along."""
        super().__init__(message)
        self.status = status
        self.errors = errors


def _once(labels: list[str]) -> list[str]:
    if len(set(labels)) != len(labels):
        raise ValueError("a supplier is listed twice")
    return labels


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("must be one line of printable characters")
    return text


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class CertificateBody(_Body):
    """`PUT …/certificate`, unless the certificate is sent as PEM."""

    certificate: str


class SuppliersBody(_Body):
    """`PUT …/suppliers`: the preferred one first."""

    suppliers: Annotated[list[LabelText], Field(min_length=1, max_length=100), AfterValidator(_once)]


class ReasonBody(_Body):
    """`POST …/withdraw` and `…/restore`: why, for the audit."""

    reason: Annotated[
        str,
        StringConstraints(strip_whitespace=True, min_length=1, max_length=500),
        AfterValidator(_printable),
    ]


def read_certificate(request: HttpRequest) -> bytes:
    """The PEM text in a request, sent as it is or as JSON.

    Raises:
        BodyError: it has another type, is too large or malformed.
    """
    if request.content_type in PEM:
        return _bytes(request)
    if request.content_type != JSON:
        raise BodyError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"send {JSON} or {min(PEM)}, not {request.content_type!r}"
        )
    return read_json(request, CertificateBody).certificate.encode()


def read_json(request: HttpRequest, model: type[ModelT]) -> ModelT:
    """The JSON object in a request.

    Raises:
        BodyError: it has another type, is too large or malformed, or fields are missing, unknown or wrong.
    """
    if request.content_type != JSON:
        raise BodyError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"send {JSON}, not {request.content_type!r}")
    try:
        return model.model_validate(strict_json.load(_bytes(request)))
    except MalformedError as error:
        raise BodyError(HTTPStatus.BAD_REQUEST, str(error)) from error
    except ValidationError as error:
        errors = tuple(
            {"field": ".".join(map(str, detail["loc"])), "message": detail["msg"]}
            for detail in error.errors(include_url=False, include_context=False, include_input=False)
        )
        fields = ", ".join(sorted({item["field"] for item in errors if item["field"]}))
        raise BodyError(
            HTTPStatus.UNPROCESSABLE_ENTITY, f"wrong: {fields}" if fields else "send a JSON object", errors
        ) from error


def _bytes(request: HttpRequest) -> bytes:
    try:
        return request.body
    except RequestDataTooBig as error:
        raise BodyError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "at most 64 KiB are taken") from error
    except UnreadablePostError as error:
        raise BodyError(HTTPStatus.BAD_REQUEST, "the body did not arrive as a whole") from error
