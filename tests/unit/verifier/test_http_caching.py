"""How long an answer may be used again (RFC 9111)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from lightest_agents.verifier.http_caching import seconds_fresh

DATE = "Sun, 22 Nov 2026 10:00:00 GMT"
LATER = "Sun, 22 Nov 2026 10:02:00 GMT"


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Cache-Control": "max-age=300"}, 300),
        ({"cache-control": "public, MAX-AGE=300, must-revalidate"}, 300),
        ({"Cache-Control": 'max-age="300"'}, 300),
        ({"Cache-Control": "max-age=300", "Age": "100"}, 200),
        ({"Cache-Control": "max-age=300", "Age": "400"}, 0),
        ({"Cache-Control": "max-age=300", "Expires": DATE, "Date": DATE}, 300),
        ({"Expires": LATER, "Date": DATE}, 120),
        ({"Expires": LATER, "Date": DATE, "Age": "20"}, 100),
        ({"Expires": DATE, "Date": LATER}, 0),
        ({}, 0),
        ({"Cache-Control": "public"}, 0),
        ({"Cache-Control": "no-store, max-age=300"}, 0),
        ({"Cache-Control": "no-cache, max-age=300"}, 0),
        ({"Cache-Control": 'max-age=300, no-cache="Set-Cookie"'}, 0),
        ({"Cache-Control": "max-age=300, max-age=600"}, 0),
        ({"Cache-Control": "max-age=-1"}, 0),
        ({"Cache-Control": "max-age"}, 0),
        ({"Cache-Control": "max-age=1e9"}, 0),
        ({"Cache-Control": "max-age=300", "Age": "old"}, 0),
        ({"Cache-Control": "x-max-age=300"}, 0),
        ({"Expires": "0", "Date": DATE}, 0),
        ({"Expires": LATER}, 0),
    ],
)
def test_an_answer_lasts_as_long_as_it_says(headers: dict[str, str], seconds: float) -> None:
    assert seconds_fresh(CIMultiDict(headers)) == seconds


@given(st.dictionaries(st.sampled_from(["Cache-Control", "Age", "Expires", "Date"]), st.text()))
def test_garbage_is_never_kept_and_never_fails(headers: dict[str, str]) -> None:
    assert seconds_fresh(CIMultiDict(headers)) >= 0
