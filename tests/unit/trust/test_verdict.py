"""Links, outcomes and reason codes."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightest_agents.trust.verdict import (
    Link,
    LinkState,
    Outcome,
    Reason,
    Refusal,
    Step,
    Trace,
    TraceError,
)

TRACES = st.tuples(
    *(
        st.builds(
            Link,
            st.just(step),
            st.sampled_from(LinkState),
            st.none() | st.floats(min_value=0, allow_infinity=False),
            st.text(),
            st.none() | st.sampled_from(Reason),
        )
        for step in Step
    )
).map(Trace)


def test_the_chain_has_seven_links_in_this_order() -> None:
    assert [step.word for step in Step] == [
        "sensor",
        "claim",
        "pointer",
        "scheme",
        "list",
        "signature",
        "supplier",
    ]


@pytest.mark.parametrize("reason", Reason)
def test_a_reason_says_where_it_is_what_follows_and_what_to_do(reason: Reason) -> None:
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", reason)
    assert reason.outcome in (Outcome.REJECTED, Outcome.DEFERRED)
    assert re.fullmatch(r"[A-Z][^\n]{30,}\.", reason.meaning)
    assert ". " not in reason.meaning
    assert (Refusal(reason, "").step, Refusal(reason, "").outcome) == (reason.step, reason.outcome)


def test_no_two_reasons_mean_the_same() -> None:
    assert len({reason.meaning for reason in Reason}) == len(Reason)


def test_a_reason_named_after_a_link_belongs_to_it() -> None:
    words = {step.word: step for step in Step}
    for reason in Reason:
        step = words.get(reason.partition("-")[0])
        if reason is not Reason.SENSOR_WITHDRAWN:
            assert step in (None, reason.step)


@pytest.mark.parametrize(
    "reason",
    [
        reason
        for reason in Reason
        if reason.endswith(("-bogus", "-unavailable", "-unreachable", "-mismatch", "-expired"))
    ],
)
def test_who_disturbs_the_network_cannot_suppress_an_alarm_for_good(reason: Reason) -> None:
    assert reason.outcome is Outcome.DEFERRED


@pytest.mark.parametrize(
    "reason",
    [
        Reason.CLAIM_INSECURE,
        Reason.CLAIM_UNKNOWN,
        Reason.LIST_SIGNER,
        Reason.LIST_ROLLBACK,
        Reason.SIGNATURE_INVALID,
        Reason.SENSOR_WITHDRAWN,
        Reason.REPLAYED,
        Reason.STALE,
    ],
)
def test_what_authentic_data_deny_is_rejected(reason: Reason) -> None:
    assert reason.outcome is Outcome.REJECTED


@given(TRACES)
def test_a_trace_survives_json(trace: Trace) -> None:
    assert Trace.from_json(json.loads(json.dumps(trace.to_json()))) == trace


def test_a_trace_in_json() -> None:
    links = [Link(step, LinkState.HELD, 1.5, "", None) for step in Step]
    links[4] = Link(Step.LIST, LinkState.BROKEN, 2.5, "sequence 3 after 4", Reason.LIST_ROLLBACK)
    links[5] = Link(Step.SIGNATURE, LinkState.WAITING, None, "", None)
    links[6] = Link(Step.SUPPLIER, LinkState.NOT_REACHED, None, "", None)
    trace = Trace(tuple(links))
    assert trace.signs == "● ● ● ● ○ ◌ ·"
    assert trace.to_json()[4] == {
        "step": 5,
        "link": "list",
        "state": "broken",
        "milliseconds": 2.5,
        "detail": "sequence 3 after 4",
        "reason": "list-rollback",
    }


def test_a_trace_has_all_links_in_order() -> None:
    with pytest.raises(ValueError, match="seven links"):
        Trace(tuple(Link(step, LinkState.HELD, None, "", None) for step in reversed(Step)))


@pytest.mark.parametrize(
    "change", [{"step": True}, {"step": 8}, {"state": "fine"}, {"reason": "none"}, {"milliseconds": "1"}]
)
def test_what_is_no_trace_is_refused(change: dict[str, object]) -> None:
    items = Trace(tuple(Link(step, LinkState.HELD, None, "", None) for step in Step)).to_json()
    items[0].update(change)
    with pytest.raises(TraceError):
        Trace.from_json(items)
    with pytest.raises(TraceError):
        Trace.from_json([{}])
