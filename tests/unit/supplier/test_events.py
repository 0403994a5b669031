import asyncio

import pytest

from lightest_agents.supplier.events import Broadcast, CrowdedError, encode


async def test_each_listener_gets_what_happens_while_it_listens() -> None:
    events = Broadcast(2)
    with events.listen() as first:
        events.publish("lamp", {"lit": True})
        with events.listen() as second:
            events.publish("lamp", {"lit": False})
    events.publish("lamp", {"lit": True})
    on, off = encode("lamp", {"lit": True}), encode("lamp", {"lit": False})
    assert [first.get_nowait(), first.get_nowait(), second.get_nowait()] == [on, off, off]
    assert first.empty()
    assert second.empty()


async def test_one_listener_too_many_is_refused_until_another_goes() -> None:
    events = Broadcast(1)
    with events.listen(), pytest.raises(CrowdedError), events.listen():
        pass
    with events.listen():
        pass


async def test_a_listener_that_does_not_keep_up_is_cut_off_and_the_others_are_not() -> None:
    events = Broadcast(2)
    with events.listen() as slow, events.listen() as quick:
        for number in range(100):
            events.publish("lamp", number)
            assert quick.get_nowait() == encode("lamp", number)
        rest = [slow.get_nowait() for _ in range(slow.qsize())]
        assert rest[-1] is None
        assert None not in rest[:-1]


async def test_closing_ends_every_stream() -> None:
    events = Broadcast(2)
    with events.listen() as stream:
        events.close()
        async with asyncio.timeout(1):
            assert await stream.get() is None


def test_text_cannot_break_out_of_its_event() -> None:
    assert encode("lamp", "a\n\nevent: forged") == b'event: lamp\ndata: "a\\n\\nevent: forged"\n\n'
