"""What a walk leaves behind: the seven links."""

from lightest_agents.trust.verdict import LinkState, Reason, Refusal, Step
from lightest_agents.verifier.progress import Progress, trace_before_walk


def states(progress: Progress, refusal: Refusal | None = None, **options: bool) -> str:
    return progress.trace(refusal, **options).signs


def walked(until: Step) -> Progress:
    progress = Progress()
    for step in Step:
        if step <= until:
            with progress.timing(step):
                progress.held(step, f"{step.word} held")
    return progress


def test_all_links_held() -> None:
    trace = walked(Step.SUPPLIER).trace()
    assert trace.signs == "● ● ● ● ● ● ●"
    assert [link.detail for link in trace.links] == [f"{step.word} held" for step in Step]
    assert all(link.milliseconds is not None and link.milliseconds >= 0 for link in trace.links)


def test_a_rejection_breaks_its_link() -> None:
    refusal = Refusal(Reason.LIST_ROLLBACK, "sequence 3 after 4 was seen")
    trace = walked(Step.SCHEME).trace(refusal)
    assert trace.signs == "● ● ● ● ○ · ·"
    assert (trace.links[4].reason, trace.links[4].detail) == (refusal.reason, refusal.detail)


def test_a_deferral_waits_until_it_is_given_up() -> None:
    refusal = Refusal(Reason.SUPPLIER_UNREACHABLE, "nobody there")
    assert states(walked(Step.SIGNATURE), refusal) == "● ● ● ● ● ● ◌"
    assert states(walked(Step.SIGNATURE), refusal, given_up=True) == "● ● ● ● ● ● ○"


def test_what_was_seen_beyond_the_broken_link_is_not_shown() -> None:
    assert states(walked(Step.LIST), Refusal(Reason.POINTER_OUTSIDE, "")) == "● ● ○ · · · ·"


def test_a_walk_without_the_last_link() -> None:
    assert states(walked(Step.SIGNATURE)) == "● ● ● ● ● ● ·"


def test_branches_keep_their_own_details_and_share_the_time() -> None:
    trunk = walked(Step.POINTER)
    branch = trunk.branch()
    with branch.timing(Step.SCHEME):
        branch.held(Step.SCHEME, "by the second pointer")
    assert branch.trace().signs == "● ● ● ● · · ·"
    assert trunk.trace().signs == "● ● ● · · · ·"
    refused = trunk.trace(Refusal(Reason.SCHEME_MISSING, ""))
    assert refused.links[3].milliseconds == branch.trace().links[3].milliseconds


def test_before_the_walk_the_claim_is_what_waits() -> None:
    trace = trace_before_walk()
    assert trace.links[1].state is LinkState.WAITING
    assert trace.signs == "● ◌ · · · · ·"
