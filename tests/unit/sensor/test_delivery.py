"""What the verifier's answers mean, and how long to wait."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightest_agents.sensor.delivery import NotNow, Refused, Taken, judge, pause

PROBLEM = json.dumps({"title": "x", "reason": "name-refused", "detail": "no label"}).encode()


@pytest.mark.parametrize(
    ("status", "headers", "body", "outcome"),
    [
        (202, {}, b'{"id": "3a1f", "status": "received"}', Taken("3a1f")),
        (200, {}, b'{"id": "3a1f"}', NotNow("the verifier answers 200")),
        (202, {}, b'{"id": 7}', NotNow("the verifier answers 202")),
        (202, {}, b'{"id": "a\\nb"}', NotNow("the verifier answers 202")),
        (202, {}, b'{"id": ""}', NotNow("the verifier answers 202")),
        (202, {}, b"", NotNow("the verifier answers 202")),
        (400, {}, PROBLEM, Refused("400 name-refused: no label")),
        (413, {}, b"<html>", Refused("413")),
        (404, {}, b'{"detail": "one\\ntwo"}', Refused("404 'one\\ntwo'")),
        (408, {}, b"", NotNow("the verifier answers 408")),
        (429, {"Retry-After": "20"}, PROBLEM, NotNow("the verifier answers 429 name-refused: no label", 20)),
        (503, {"Retry-After": "Thu, 01 Jan 2026 00:00:00 GMT"}, b"", NotNow("the verifier answers 503")),
        (500, {"Retry-After": "-1"}, b"", NotNow("the verifier answers 500")),
        (101, {}, b"", NotNow("the verifier answers 101")),
    ],
)
def test_an_answer_is_taken_refused_or_not_now(
    status: int, headers: dict[str, str], body: bytes, outcome: Taken | Refused | NotNow
) -> None:
    assert judge(status, headers, body) == outcome


@given(
    st.integers(100, 599),
    st.dictionaries(st.just("Retry-After"), st.text() | st.integers().map(str)),
    st.binary()
    | st.recursive(
        st.none() | st.text() | st.integers(),
        lambda inner: st.dictionaries(st.sampled_from(["id", "reason", "detail"]), inner) | st.lists(inner),
    ).map(lambda value: json.dumps(value).encode()),
)
def test_any_answer_has_a_meaning_and_only_202_with_an_id_is_taken(
    status: int, headers: dict[str, str], body: bytes
) -> None:
    outcome = judge(status, headers, body)
    if isinstance(outcome, Taken):
        assert status == 202
        assert outcome.fault_id == json.loads(body)["id"][:300]
    else:
        assert outcome.reason.isprintable()
        assert isinstance(outcome, Refused) == (400 <= status < 500 and status not in (408, 429))


@given(st.integers(0, 100_000))
def test_pauses_grow_from_one_second_to_five_minutes(attempt: int) -> None:
    longest = min(300.0, 2.0 ** min(attempt, 20))
    assert 0 <= pause(attempt, 1.0, 300.0) <= longest
    assert max(pause(attempt, 1.0, 300.0) for _ in range(60)) > longest / 4
