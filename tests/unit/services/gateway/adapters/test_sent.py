from __future__ import annotations

import asyncio

from headrace.inference.v1 import inference_pb2 as pb

from libs.rpc.api import Handler
from libs.testing.clock import FakeClock
from libs.testing.inmem import InMemoryChannel
from libs.testing.loop import run
from services.gateway.adapters.sent import COUNT_SENT, RpcSentCounts
from services.gateway.adapters.workers import Channels
from services.gateway.domain.models import ModelInfo
from services.gateway.domain.sent import Sent, SentAnswer
from tests.unit.services.inference.world import Joined, request, world


class Catalog:
    def __init__(self, *addresses, connected=True):
        self._models = [ModelInfo("m", "m", "d", "t", 9, addresses=addresses)]
        self._models.append(ModelInfo("pool", "m", "d", "t", 9, pool=True, addresses=addresses[:1]))
        self._connected = connected

    def models(self):
        return self._models

    def connected(self):
        return self._connected


class Scripted:
    """A worker that gives one answer, or none at all."""

    def __init__(self, answer=None):
        self.answer, self.asked = answer, []

    async def count(self, given, _info):
        self.asked.append(list(given.request_ids))
        if self.answer is None:
            await asyncio.sleep(3600)
        return self.answer

    def channel(self, clock):
        return InMemoryChannel([Handler(COUNT_SENT, self.count)], identity="gateway", clock=clock)


def counts_of(workers, *, connected=True):
    clock = FakeClock()
    channels = Channels(lambda address: workers[address].channel(clock), clock)
    return RpcSentCounts(Catalog(*workers, connected=connected), channels, timeout_seconds=1.0)


def answer(covers_ms=60_000, **sent):
    return pb.CountSentResponse(sent=[pb.Sent(request_id=name, **fields) for name, fields in sent.items()],
                                covers_ms=covers_ms)  # fmt: skip


def test_the_highest_count_of_each_choice_and_the_first_attempts_cached_tokens():
    async def scenario():
        first = answer(r={"prompt_tokens": 9, "cached_tokens": 4, "choice_tokens": [5, 8], "epoch": 0})
        second = answer(
            30_000, r={"prompt_tokens": 9, "cached_tokens": 9, "choice_tokens": [7, 2, 1], "epoch": 1, "running": True}
        )
        return await counts_of({"a": Scripted(first), "b": Scripted(second)}).ask(["r", "unknown"])

    joined = Sent(9, (7, 8, 1), 4, 0, running=True)
    assert run(scenario()) == SentAnswer({"r": joined}, complete=True, covers_seconds=30.0)
    assert joined.completion_tokens == 16


def test_a_silent_worker_makes_it_incomplete_and_costs_its_time_limit_only():
    async def scenario():
        counts = counts_of({"a": Scripted(), "b": Scripted(answer(r={"choice_tokens": [3]}))})
        found = await counts.ask(["r"])
        return found, asyncio.get_running_loop().time()

    found, seconds = run(scenario())
    assert (found.complete, found.sent) == (False, {"r": Sent(0, (3,))})
    assert seconds <= 1.1


def test_a_dead_worker_an_old_catalog_and_no_worker_at_all_make_it_incomplete():
    async def scenario():
        here, gone = Scripted(answer()), Scripted(answer())
        clock = FakeClock()
        lines = {"a": here.channel(clock), "b": gone.channel(clock)}
        lines["b"].lose()
        dead = RpcSentCounts(Catalog("a", "b"), Channels(lines.get, clock))
        return [
            (await one.ask(["r"])).complete
            for one in (dead, counts_of({"a": here}, connected=False), counts_of({}), counts_of({"a": here}))
        ]

    assert run(scenario()) == [False, False, False, True]


def test_many_requests_are_asked_for_in_parts():
    async def scenario():
        worker = Scripted(answer())
        found = await counts_of({"a": worker}).ask([str(number) for number in range(5000)])
        return found.complete, [len(asked) for asked in worker.asked]

    assert run(scenario()) == (True, [4096, 904])


def test_two_real_workers_one_of_which_was_lost_to_the_stream(tmp_path):
    async def scenario():
        async with world(tmp_path / "a") as lost, world(tmp_path / "b") as other:
            joined = Joined(await lost.generate(request("r-0", max_tokens=24), 9))
            more = request("r-1", max_tokens=15, resume=joined.resume(24), epoch=1)
            for response in await other.generate(more, 4):
                joined.add(response)
            lines = {
                name: InMemoryChannel(here.worker.api.handlers(), identity="gateway", clock=here.clock)
                for name, here in (("a", lost), ("b", other))
            }
            counts = RpcSentCounts(Catalog("a", "b"), Channels(lines.get, lost.clock))
            return await counts.ask(["r"]), len(joined.ids[0])

    found, received = run(scenario())
    assert found.complete
    assert found.sent["r"].choice_tokens == (received,)
