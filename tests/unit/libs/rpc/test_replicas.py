"""Failover between equal replicas: who is asked, who is passed by, and for how long."""

import asyncio
from types import SimpleNamespace

import pytest

from libs.errors import PlatformError, Reason
from libs.rpc.replicas import ReplicaRule, ReplicatedChannel
from libs.testing.clock import FakeClock
from libs.testing.loop import run

METHOD = SimpleNamespace(name="Place")
RULE = ReplicaRule(patience_seconds=0.25, pause_seconds=0.25, pause_seconds_max=1.0)


class Peer:
    """A replica that answers with its name, fails, or is silent."""

    def __init__(self, address, clock):
        self.address, self.clock, self.asked, self.closed = address, clock, 0, False
        self.fails, self.silent = None, False

    async def call(self, method, request, *, timeout, metadata=None):
        self.asked += 1
        await asyncio.sleep(0)
        if self.silent:
            await self.clock.sleep(timeout)
            raise PlatformError(Reason.DEADLINE_EXCEEDED, "late")
        if self.fails:
            raise PlatformError(self.fails, "failed", started=False)
        return self.address

    def stream(self, method, request, *, timeout, metadata=None):
        self.asked += 1
        return PeerStream(self)

    async def close(self):
        self.closed = True


class PeerStream:
    def __init__(self, peer):
        self.peer = peer
        self.cancel = self.tap = lambda *_: None

    async def next_batch(self):
        if self.peer.fails:
            raise PlatformError(self.peer.fails, "broken")
        return [self.peer.address]

    async def __anext__(self):
        return (await self.next_batch())[0]


def channel(count=3, random=lambda: 0.0):
    clock = FakeClock()
    peers = [Peer(f"r{index}", clock) for index in range(count)]
    return ReplicatedChannel(peers, clock, RULE, random=random), peers, clock


def ask(replicas, key="", timeout=2.0):
    return replicas.keyed(key, METHOD, None, timeout=timeout)


def test_a_key_has_one_replica_and_keys_are_spread():
    async def main():
        replicas, _, _ = channel()
        answers = {key: {await ask(replicas, key) for _ in range(3)} for key in map(str, range(60))}
        assert all(len(found) == 1 for found in answers.values())
        assert {found.pop() for found in answers.values()} == {"r0", "r1", "r2"}

    run(main())


@pytest.mark.parametrize("reason", [Reason.WORKER_LOST, Reason.DRAINING, Reason.CANCELLED])
def test_a_lost_replica_costs_one_failed_call_and_its_keys_go_to_their_next(reason):
    async def main():
        replicas, peers, _ = channel()
        home = await ask(replicas, "k")
        lost = next(peer for peer in peers if peer.address == home)
        lost.fails, asked = reason, lost.asked
        others = {await ask(replicas, "k") for _ in range(20)}
        assert len(others) == 1
        assert home not in others
        assert lost.asked == asked + 1

    run(main())


def test_a_replica_that_is_back_gets_its_keys_back_after_a_pause():
    async def main():
        replicas, peers, clock = channel()
        home = await ask(replicas, "k")
        lost = next(peer for peer in peers if peer.address == home)
        lost.fails = Reason.WORKER_LOST
        await ask(replicas, "k")
        lost.fails = None
        assert await ask(replicas, "k") != home
        clock.advance(RULE.pause_seconds)
        assert await ask(replicas, "k") == home

    run(main())


def test_trials_of_a_lost_one_get_rarer_and_one_call_makes_each():
    async def main():
        replicas, peers, clock = channel(random=lambda: 1.0)
        home = await ask(replicas, "k")
        lost = next(peer for peer in peers if peer.address == home)
        lost.fails = Reason.WORKER_LOST
        before, trials = lost.asked, []
        for _ in range(100):
            await asyncio.gather(*[ask(replicas, "k") for _ in range(5)])
            trials.append(lost.asked - before)
            clock.advance(0.1)
        # All five of the first moment ask it; then pauses of 0.25, 0.5, 1, 1, … seconds with one trial after each.
        assert trials[0] == 5
        assert 9 <= trials[-1] - 5 <= 12

    run(main())


def test_a_frozen_replica_delays_one_call_by_the_patience_and_then_nobody():
    async def main():
        replicas, peers, clock = channel()
        home = await ask(replicas, "k")
        frozen = next(peer for peer in peers if peer.address == home)
        frozen.silent = True
        begun = clock.monotonic()
        assert await ask(replicas, "k") != home
        assert clock.monotonic() - begun == pytest.approx(RULE.patience_seconds)
        assert await ask(replicas, "k") != home
        assert clock.monotonic() - begun == pytest.approx(RULE.patience_seconds)

    run(main())


def test_a_caller_without_time_proves_nothing_about_the_replica():
    async def main():
        replicas, peers, _ = channel()
        home = await ask(replicas, "k")
        slow = next(peer for peer in peers if peer.address == home)
        slow.silent = True
        with pytest.raises(PlatformError):
            await ask(replicas, "k", timeout=0.01)
        slow.silent = False
        assert await ask(replicas, "k") == home

    run(main())


def test_what_the_call_itself_caused_is_told_and_harms_no_replica():
    async def main():
        replicas, peers, _ = channel()
        home = await ask(replicas, "k")
        peer = next(peer for peer in peers if peer.address == home)
        peer.fails = Reason.MODEL_NOT_FOUND
        with pytest.raises(PlatformError) as caught:
            await ask(replicas, "k")
        assert caught.value.reason is Reason.MODEL_NOT_FOUND
        assert sum(peer.asked for peer in peers) == 2
        peer.fails = None
        assert await ask(replicas, "k") == home

    run(main())


def test_when_all_are_lost_the_last_error_is_told_and_all_are_tried_again():
    async def main():
        replicas, peers, _ = channel()
        for peer in peers:
            peer.fails = Reason.WORKER_LOST
        with pytest.raises(PlatformError) as caught:
            await ask(replicas, "k")
        assert caught.value.reason is Reason.WORKER_LOST
        assert [peer.asked for peer in peers] == [1, 1, 1]
        peers[0].fails = None
        assert await ask(replicas, "k") == "r0"

    run(main())


def test_a_broken_stream_is_followed_by_one_from_another_replica():
    async def main():
        replicas, peers, _ = channel()
        stream = replicas.stream(METHOD, None, timeout=10.0)
        first = (await stream.next_batch())[0]
        next(peer for peer in peers if peer.address == first).fails = Reason.WORKER_LOST
        with pytest.raises(PlatformError):
            await anext(stream)
        again = replicas.stream(METHOD, None, timeout=10.0)
        assert (await again.next_batch())[0] != first

    run(main())


def test_a_single_replica_is_called_as_it_is():
    async def main():
        replicas, peers, _ = channel(1)
        peers[0].fails = Reason.WORKER_LOST
        for _ in range(3):
            with pytest.raises(PlatformError):
                await ask(replicas, "k")
        assert peers[0].asked == 3
        peers[0].fails = None
        assert await replicas.call(METHOD, None, timeout=1.0) == "r0"
        await replicas.close()
        assert peers[0].closed

    run(main())
