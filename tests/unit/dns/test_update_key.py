from base64 import b64encode
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lightest_agents.dns.errors import UpdateKeyError
from lightest_agents.dns.updates import UpdateKey

SECRET = b64encode(b"secret secret secret secret 1234").decode()
STATEMENT = f'key "scheme.trust.germany.raspidemo" {{\n\talgorithm hmac-sha256;\n\tsecret "{SECRET}";\n}};\n'


def read(folder: Path, text: str) -> UpdateKey:
    path = folder / "update.key"
    path.write_text(text, "utf-8")
    return UpdateKey.read(path)


@pytest.mark.parametrize(
    "text",
    [
        STATEMENT,
        STATEMENT.replace("\n", " ").replace("\t", ""),
        f"key scheme.trust.germany.raspidemo {{ secret {SECRET}; algorithm HMAC-SHA256; }};",
    ],
)
def test_a_key_statement_is_read(tmp_path: Path, text: str) -> None:
    key = read(tmp_path, text)
    assert key.tsig.name.to_text() == "scheme.trust.germany.raspidemo."
    assert key.tsig.secret == b"secret secret secret secret 1234"


def test_the_secret_is_not_shown(tmp_path: Path) -> None:
    assert repr(read(tmp_path, STATEMENT)) == "UpdateKey()"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "not a key",
        STATEMENT * 2,
        STATEMENT.replace("};", "}"),
        STATEMENT.replace("sha256", "md5"),
        STATEMENT.replace("algorithm hmac-sha256;", ""),
        STATEMENT.replace(SECRET, "c2Vj*mV0"),
        STATEMENT.replace(SECRET, "c2VjcmV0I"),
        STATEMENT.replace("scheme.", f"{'a' * 64}."),
        STATEMENT.replace("scheme", "schäme"),
    ],
)
def test_anything_else_is_refused_without_showing_it(tmp_path: Path, text: str) -> None:
    with pytest.raises(UpdateKeyError) as refused:
        read(tmp_path, text)
    assert str(tmp_path / "update.key") in str(refused.value)
    assert "c2Vj" not in str(refused.value)
    assert refused.value.__cause__ is None or "c2Vj" not in str(refused.value.__cause__)


def test_a_missing_file_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(UpdateKeyError, match="No such file"):
        UpdateKey.read(tmp_path / "missing.key")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.text(st.characters(codec="utf-8")) | st.text(st.sampled_from('key {}";algorithm hmac-sha256 secret='))
)
def test_garbage_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(UpdateKeyError):
        read(tmp_path, text)
