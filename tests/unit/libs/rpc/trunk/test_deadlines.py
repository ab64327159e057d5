"""One timer expires every call on time, whatever the order in which calls open and end."""

import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st

from libs.rpc.trunk.deadlines import Deadlines
from libs.testing.loop import run


class Call:
    def __init__(self, live, expires_at):
        self.live, self.expires_at, self.expired_at = live, expires_at, None
        live.append(self)

    def expire(self):
        self.expired_at = asyncio.get_running_loop().time()
        self.live.remove(self)


@given(st.lists(st.tuples(st.floats(0, 5), st.floats(0.01, 5), st.booleans()), max_size=20))
@settings(deadline=None)
def test_each_call_expires_at_its_time_unless_it_ended(plan):
    async def scenario():
        loop, live = asyncio.get_running_loop(), []
        deadlines, calls = Deadlines(lambda: list(live)), []
        for pause, timeout, ends in plan:
            await asyncio.sleep(pause)
            call = Call(live, loop.time() + timeout)
            deadlines.add(call.expires_at)
            calls.append((call, ends))
            if ends:
                live.remove(call)
        await asyncio.sleep(10)
        for call, ends in calls:
            if ends:
                assert call.expired_at is None
            else:
                assert abs(call.expired_at - call.expires_at) < 0.002
        deadlines.close()

    run(scenario())


def test_a_closed_one_expires_nothing():
    async def scenario():
        live = []
        deadlines = Deadlines(lambda: list(live))
        call = Call(live, 1.0)
        deadlines.add(1.0)
        deadlines.close()
        await asyncio.sleep(5)
        assert call.expired_at is None

    run(scenario())


def test_a_call_that_outlives_others_is_not_forgotten():
    async def scenario():
        live = []
        deadlines = Deadlines(lambda: list(live))
        calls = [Call(live, at) for at in (3.0, 1.0, 2.0)]
        for call in calls:
            deadlines.add(call.expires_at)
        await asyncio.sleep(10)
        assert [round(call.expired_at) for call in calls] == [3, 1, 2]

    run(scenario())
