"""The worker's account of what it sent, through the real handlers, and its bounds."""

from __future__ import annotations

import asyncio

import pytest
from headrace.inference.v1 import inference_pb2 as pb

from libs.errors import PlatformError, Reason
from libs.testing.clock import FakeClock
from libs.testing.inmem import InMemoryChannel
from libs.testing.loop import run
from services.inference.api import COUNT_SENT, GENERATE
from services.inference.domain.model import Capabilities, ModelCard
from services.inference.domain.request import Common, MessagesWork, Sampling
from services.inference.domain.sent import Sent
from services.inference.ports import MessageDelta
from services.inference.usecases.relay import RelayMessages
from services.inference.usecases.sent import SentLog
from tests.unit.services.inference.world import PROMPT, TIMEOUT, Joined, activity, request, world


async def count(here, *names, identity="gateway"):
    channel = InMemoryChannel(here.worker.api.handlers(), identity=identity, clock=here.clock)
    answer = await channel.call(COUNT_SENT, pb.CountSentRequest(request_ids=names), timeout=5)
    return {sent.request_id: sent for sent in answer.sent}


def tokens(joined, n=1):
    return [len(joined.ids.get(choice, ())) for choice in range(n)]


def test_a_whole_answer_is_counted_by_the_clients_request_and_unknown_ones_are_left_out(tmp_path):
    async def scenario():
        async with world(tmp_path) as here:
            whole = Joined(await here.generate(request("r-3", epoch=3, max_tokens=7)))
            found = await count(here, "r", "r-3", "other")
            assert list(found) == ["r"]
            return found["r"], tokens(whole)

    sent, received = run(scenario())
    assert list(sent.choice_tokens) == received == [7]
    assert (sent.prompt_tokens, sent.cached_tokens, sent.epoch, sent.running) == (len(PROMPT), 0, 3, False)


def test_the_second_call_of_a_prompt_says_what_was_cached(tmp_path):
    async def scenario():
        async with world(tmp_path, block_tokens=8) as here:
            await here.generate(request("a-0"))
            usage = Joined(await here.generate(request("b-0"))).usages[0]
            return (await count(here, "b"))["b"].cached_tokens, usage.cached_tokens

    counted, told = run(scenario())
    assert counted == told > 0


@pytest.mark.parametrize("n", [1, 3])
def test_while_it_runs_and_after_its_gateway_was_lost_the_count_is_what_was_sent(tmp_path, n):
    async def scenario():
        async with world(tmp_path) as here:
            stream = here.channel.stream(GENERATE, request("r-0", max_tokens=400, sampling={"n": n}), timeout=TIMEOUT)
            got = Joined()
            for _ in range(5 * n):
                got.add(await stream.__anext__())
            during = (await count(here, "r"))["r"]
            assert during.running
            assert all(a >= b for a, b in zip(during.choice_tokens, tokens(got, n), strict=True))
            here.channel.lose()
            await asyncio.sleep(1.0)
            after = (await count(here, "r"))["r"]
            await asyncio.sleep(10.0)
            assert (await count(here, "r"))["r"] == after, "an aborted engine sends nothing"
            return got, after

    got, after = run(scenario())
    assert not after.running
    assert all(5 <= counted < 400 for counted in after.choice_tokens)
    assert all(counted >= had for counted, had in zip(after.choice_tokens, tokens(got, n), strict=True))


def test_a_resumed_stream_counts_from_the_clients_first_token_on(tmp_path):
    async def scenario():
        async with world(tmp_path / "a") as lost, world(tmp_path / "b") as other:
            joined = Joined(await lost.generate(request("r-0", max_tokens=24), 9))
            resume = joined.resume(24)
            more = request("r-1", max_tokens=24 - 9, resume=resume, epoch=1)
            for response in await other.generate(more, 4):
                joined.add(response)
            return tokens(joined), (await count(lost, "r"))["r"], (await count(other, "r"))["r"]

    received, before, after = run(scenario())
    assert received == [13]
    assert list(before.choice_tokens) == [9]
    assert list(after.choice_tokens) == received
    assert (before.epoch, after.epoch) == (0, 1)


def test_two_attempts_on_one_worker_are_one_account(tmp_path):
    async def scenario():
        async with world(tmp_path, block_tokens=8) as here:
            joined = Joined(await here.generate(request("r-0", max_tokens=24), 9))
            more = request("r-1", max_tokens=15, resume=joined.resume(24), epoch=1)
            await here.generate(more)
            return (await count(here, "r"))["r"]

    sent = run(scenario())
    assert list(sent.choice_tokens) == [24]
    # The prompt is charged as its first attempt found it: that the second one found it cached is nobody's saving.
    assert (sent.epoch, sent.cached_tokens) == (0, 0)


def test_only_gateways_may_ask_and_not_for_too_much(tmp_path):
    async def scenario():
        async with world(tmp_path) as here:
            with pytest.raises(PlatformError) as stranger:
                await count(here, "r", identity="router")
            with pytest.raises(PlatformError) as greedy:
                await count(here, *["r"] * 4097)
            return stranger.value.reason, greedy.value.reason, await count(here, *["r"] * 4096)

    assert run(scenario()) == (Reason.PERMISSION_DENIED, Reason.INVALID_REQUEST, {})


class Call:
    def __init__(self, name, sent):
        self.counted_as, self._sent = name, sent

    def sent(self):
        return self._sent


def ended(log, name, *counts):
    call = Call(name, Sent(5, list(counts)))
    log.opened(call)
    log.closed(call)


def test_it_keeps_so_many_requests_for_so_long_and_says_how_far_back_it_is_whole():
    clock = FakeClock()
    log = SentLog(clock, entries_max=2, seconds=60.0)
    clock.advance(10)
    assert log.covers_seconds == 10
    ended(log, "a", 1)
    clock.advance(10)
    ended(log, "b", 2)
    ended(log, "c", 3)
    assert list(log.of("abc")) == ["b", "c"]
    # "a" was there until ten seconds ago: of what began before, nothing is certain.
    assert log.covers_seconds == 10
    clock.advance(61)
    assert log.of("abc") == {}
    assert log.covers_seconds == 61


def test_a_running_attempt_and_an_ended_one_are_joined():
    log = SentLog(FakeClock(), entries_max=9, seconds=60.0)
    ended(log, "a", 4, 9)
    log.opened(Call("a", Sent(5, [7], cached_tokens=3, epoch=2)))
    assert log.of(["a"]) == {"a": Sent(5, [7, 9], 3, 2, running=True)}


class Endpoint:
    """A message engine: ten bytes of text per delta, usage with the end."""

    async def generate(self, _work):
        for _ in range(4):
            yield MessageDelta(text="ten bytes.")
        yield MessageDelta(finish="stop", prompt_tokens=5, completion_tokens=12, cached_tokens=2, has_usage=True)


def test_a_relayed_answer_is_estimated_by_its_length_until_its_endpoint_says_what_it_used():
    async def scenario():
        running = activity()
        card = ModelCard("w", "b", "m", (), "", "", 100, "upstream")
        relay = RelayMessages(Endpoint(), card, Capabilities(), running, FakeClock())
        seen = []

        async def ready():
            seen.append(running.sent.of(["r"])["r"])

        common = Common("r-1", Sampling(max_tokens=50), epoch=1)
        await relay.run(MessagesWork(common, [{"role": "user", "content": "?"}]), lambda _delta: None, ready)
        return seen, running.sent.of(["r"])["r"]

    seen, end = run(scenario())
    assert [sent.choice_tokens for sent in seen] == [[2], [5], [7], [10], [12]]
    assert [sent.estimated for sent in seen] == [True] * 4 + [False]
    assert seen[0].running
    assert end == Sent(5, [12], cached_tokens=2, epoch=1)
