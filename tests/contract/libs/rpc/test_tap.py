"""What a tap promises: responses in the tick in which they come, each once, in order, on every transport."""

import asyncio

import pytest
from headrace.inference.v1 import inference_pb2 as pb

from libs.errors import PlatformError, Reason


def ask(model="", tokens=0, **more):
    return pb.GenerateRequest(model=model, sampling=pb.Sampling(max_tokens=tokens), **more)


@pytest.mark.parametrize("refuses", [None, 2, 0])
def test_a_tap_and_batches_together_see_every_response_once_and_in_order(kind, with_rig, refuses):
    async def scenario(rig):
        stream = rig.channel.stream(rig.neighbour.generate, ask("t", tokens=300), timeout=5)
        found, tapped = [], []

        def take(message):
            if refuses is not None and message.first_index % 3 == refuses:
                return False
            tapped.append(message.first_index)
            found.append(message.first_index)
            return True

        stream.tap(take)
        while batch := await stream.next_batch():
            found += [m.first_index for m in batch]
        assert found == list(range(300))
        # The trunk pushes, or the tap would be of no use; behind a refused first one, all may come in the same tick.
        assert tapped or kind != "trunk" or refuses == 0

    with_rig(kind, scenario)


def test_what_a_tap_takes_gives_its_credit_back(with_rig):
    async def scenario(rig):
        stream = rig.channel.stream(rig.neighbour.generate, ask(session="flood"), timeout=10)
        taken = 0

        def take(message):
            nonlocal taken
            taken += len(message.text)
            return taken < 8 << 20  # many windows

        stream.tap(take)
        assert await stream.next_batch()
        assert taken >= 8 << 20
        stream.cancel()

    with_rig("trunk", scenario)


def test_a_tap_that_fails_ends_its_call_alone(with_rig):
    async def scenario(rig):
        def take(_):
            raise ValueError("a secret detail")

        stream = rig.channel.stream(rig.neighbour.generate, ask("t", tokens=3, session="hang"), timeout=5)
        stream.tap(take)
        with pytest.raises(PlatformError) as caught:
            await stream.next_batch()
        assert caught.value.reason is Reason.INTERNAL
        assert "secret" not in caught.value.message
        await asyncio.wait_for(rig.neighbour.cancelled.wait(), 1)
        assert (await rig.channel.call(rig.neighbour.count, pb.CountRequest(model="four"), timeout=5)).tokens == 4

    with_rig("trunk", scenario)
