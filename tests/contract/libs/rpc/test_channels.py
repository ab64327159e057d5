"""What every Channel promises, on stock gRPC, on the trunk and in memory."""

import asyncio
import time

import pytest
from headrace.inference.v1 import inference_pb2 as pb

from libs.clock import SystemClock
from libs.errors import PlatformError, Reason
from libs.rpc.api import Handler
from libs.rpc.dial import dial
from libs.rpc.server import RpcServer
from libs.rpc.settings import RpcServerSettings
from libs.rpc.trunk.gauges import Trunks
from libs.testing.channels import Served, connected
from libs.testing.loop import run_real


def ask(model="", **more):
    return pb.GenerateRequest(model=model, sampling=pb.Sampling(max_tokens=more.pop("tokens", 0)), **more)


async def failure(awaitable):
    with pytest.raises(PlatformError) as caught:
        await awaitable
    return caught.value


async def drain_stream(stream):
    return [message async for message in stream]


def test_a_call_returns_its_answer(kind, with_rig):
    async def scenario(rig):
        answer = await rig.channel.call(rig.neighbour.count, pb.CountRequest(model="four"), timeout=5)
        assert answer.tokens == 4

    with_rig(kind, scenario)


def test_an_error_crosses_with_all_its_fields(kind, with_rig):
    async def scenario(rig):
        error = await failure(rig.channel.call(rig.neighbour.count, pb.CountRequest(model="refuse"), timeout=5))
        found = (error.reason, error.message, error.retry_after_seconds, error.started, error.param)
        assert found == (Reason.OVERLOADED, "full", 1.5, False, "model")

    with_rig(kind, scenario)


def test_a_handlers_fault_is_internal_and_keeps_its_details_inside(kind, with_rig):
    async def scenario(rig):
        error = await failure(rig.channel.call(rig.neighbour.count, pb.CountRequest(model="crash"), timeout=5))
        assert error.reason is Reason.INTERNAL
        assert error.started
        assert "secret" not in error.message

    with_rig(kind, scenario)


def test_a_stream_comes_in_order_and_ends(kind, with_rig):
    async def scenario(rig):
        stream = rig.channel.stream(rig.neighbour.generate, ask("t", tokens=300), timeout=5)
        assert [m.first_index for m in await drain_stream(stream)] == list(range(300))

    with_rig(kind, scenario)


def test_batches_hold_everything_once(kind, with_rig):
    async def scenario(rig):
        stream = rig.channel.stream(rig.neighbour.generate, ask("t", tokens=300), timeout=5)
        found = []
        while batch := await stream.next_batch():
            found += [m.first_index for m in batch]
        assert found == list(range(300))
        assert await stream.next_batch() == []

    with_rig(kind, scenario)


def test_what_was_sent_before_a_fault_still_arrives(kind, with_rig):
    async def scenario(rig):
        stream = rig.channel.stream(rig.neighbour.generate, ask("t", tokens=3, session="crash"), timeout=5)
        found = [await stream.__anext__() for _ in range(3)]
        assert [m.first_index for m in found] == [0, 1, 2]
        error = await failure(stream.__anext__())
        assert error.reason is Reason.INTERNAL

    with_rig(kind, scenario)


def test_metadata_and_identity_reach_the_handler(kind, with_rig):
    async def scenario(rig):
        await rig.channel.call(rig.neighbour.count, pb.CountRequest(), timeout=5, metadata={"x-request-id": "r1"})
        info = rig.neighbour.seen[0]
        assert info.metadata["x-request-id"] == "r1"
        assert info.identity == "gateway"
        assert "contract" not in repr(info)

    with_rig(kind, scenario)


def test_a_call_past_its_deadline_ends_and_the_handler_is_cancelled(kind, with_rig):
    async def scenario(rig):
        began = time.monotonic()
        error = await failure(rig.channel.call(rig.neighbour.count, pb.CountRequest(model="hang"), timeout=0.2))
        assert error.reason is Reason.DEADLINE_EXCEEDED
        assert time.monotonic() - began < 2

    with_rig(kind, scenario)


def test_no_time_left_is_refused_unstarted(kind, with_rig):
    async def scenario(rig):
        error = await failure(rig.channel.call(rig.neighbour.count, pb.CountRequest(), timeout=0.0))
        assert error.reason is Reason.DEADLINE_EXCEEDED
        assert rig.neighbour.seen == []

    with_rig(kind, scenario)


def test_a_cancel_reaches_the_handler_at_once(kind, with_rig):
    async def scenario(rig):
        stream = rig.channel.stream(rig.neighbour.generate, ask("t", tokens=1, session="hang"), timeout=5)
        await stream.__anext__()
        began = time.monotonic()
        stream.cancel()
        await asyncio.wait_for(rig.neighbour.cancelled.wait(), 1)
        assert time.monotonic() - began < 0.1

    with_rig(kind, scenario)


def test_cancelling_the_waiting_task_cancels_the_call(kind, with_rig):
    async def scenario(rig):
        stream = rig.channel.stream(rig.neighbour.generate, ask("t", session="hang"), timeout=5)
        waiting = asyncio.ensure_future(stream.next_batch())
        await rig.neighbour.started.wait()
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        stream.cancel()
        await asyncio.wait_for(rig.neighbour.cancelled.wait(), 1)

    with_rig(kind, scenario)


def test_closing_the_channel_cancels_what_runs(wire, with_rig):
    async def scenario(rig):
        stream = rig.channel.stream(rig.neighbour.generate, ask("t", session="hang"), timeout=5)
        waiting = asyncio.ensure_future(stream.next_batch())
        await rig.neighbour.started.wait()
        await rig.channel.close()
        assert (await failure(waiting)).reason is Reason.CANCELLED
        await asyncio.wait_for(rig.neighbour.cancelled.wait(), 1)

    with_rig(wire, scenario)


def test_a_stream_given_up_says_so(kind, with_rig):
    async def scenario(rig):
        stream = rig.channel.stream(rig.neighbour.generate, ask("t", session="hang"), timeout=5)
        stream.cancel()
        stream.cancel()
        assert (await failure(stream.next_batch())).reason is Reason.CANCELLED

    with_rig(kind, scenario)


def test_a_streams_deadline_aborts_the_work(kind, with_rig):
    async def scenario(rig):
        stream = rig.channel.stream(rig.neighbour.generate, ask("t", tokens=1, session="hang"), timeout=0.3)
        await stream.__anext__()
        assert (await failure(stream.__anext__())).reason is Reason.DEADLINE_EXCEEDED
        await asyncio.wait_for(rig.neighbour.cancelled.wait(), 1)

    with_rig(kind, scenario)


def test_a_method_for_others_is_denied(kind, with_rig):
    async def scenario(rig):
        error = await failure(rig.channel.call(rig.neighbour.drain, pb.DrainRequest(), timeout=5))
        assert error.reason is Reason.PERMISSION_DENIED
        assert not error.started

    with_rig(kind, scenario)


def test_a_big_request_and_a_big_answer_pass(kind, with_rig):
    async def scenario(rig):
        big = "x" * 3_000_000
        assert (await rig.channel.call(rig.neighbour.count, pb.CountRequest(model=big), timeout=10)).tokens == len(big)
        stream = rig.channel.stream(rig.neighbour.generate, ask(big[:1_000_000], tokens=2), timeout=10)
        assert [len(m.text) for m in await drain_stream(stream)] == [1_000_000, 1_000_000]

    with_rig(kind, scenario)


def test_the_wrong_token_opens_nothing(wire, with_rig):
    async def scenario(rig):
        stranger = rig.served.dial(rig.kind, token="wrong")
        error = await failure(stranger.call(rig.neighbour.count, pb.CountRequest(), timeout=3))
        assert not error.started
        assert rig.neighbour.seen == []
        await stranger.close()

    with_rig(wire, scenario)


def test_nobody_there_is_a_loss_that_started_nothing(wire, with_rig):
    async def scenario(rig):
        await rig.server.stop()
        error = await failure(rig.channel.call(rig.neighbour.count, pb.CountRequest(), timeout=3))
        assert error.reason is Reason.WORKER_LOST
        assert not error.started

    with_rig(wire, scenario)


def test_a_peer_lost_in_mid_stream_is_a_loss_that_started(wire, with_rig):
    async def scenario(rig):
        stream = rig.channel.stream(rig.neighbour.generate, ask("t", tokens=1, session="hang"), timeout=5)
        await stream.__anext__()
        await rig.server.stop()
        error = await failure(stream.__anext__())
        assert error.reason is Reason.WORKER_LOST
        assert error.started

    with_rig(wire, scenario)


def test_the_channel_connects_again(wire, with_rig):
    async def scenario(rig):
        await rig.channel.call(rig.neighbour.count, pb.CountRequest(), timeout=5)
        await rig.server.stop()
        await rig.restart()
        until = time.monotonic() + 10
        while True:
            try:
                await rig.channel.call(rig.neighbour.count, pb.CountRequest(), timeout=5)
                return
            except PlatformError:
                assert time.monotonic() < until
                await asyncio.sleep(0.05)

    with_rig(wire, scenario)


def test_a_drain_lets_running_calls_finish_and_refuses_new_ones(wire, with_rig):
    async def scenario(rig):
        stream = rig.channel.stream(rig.neighbour.generate, ask("t", tokens=1, session="hang"), timeout=10)
        await stream.__anext__()
        draining = asyncio.ensure_future(rig.server.drain(0.5))
        await asyncio.sleep(0.1)
        error = await failure(rig.channel.call(rig.neighbour.count, pb.CountRequest(), timeout=3))
        assert not error.started
        assert not rig.neighbour.cancelled.is_set()
        await draining
        stream.cancel()

    with_rig(wire, scenario)


def test_a_reader_that_takes_nothing_is_cut(with_rig):
    async def scenario(rig):
        stream = rig.channel.stream(rig.neighbour.generate, ask("t", session="flood"), timeout=10)
        await asyncio.wait_for(rig.neighbour.cancelled.wait(), 5)
        with pytest.raises(PlatformError) as caught:
            while True:
                await stream.next_batch()
        assert caught.value.reason is Reason.SLOW_READER

    with_rig("trunk", scenario)


def test_a_reader_that_takes_what_comes_is_not_cut(with_rig):
    async def scenario(rig):
        stream = rig.channel.stream(rig.neighbour.generate, ask("t", session="flood"), timeout=10)
        taken = 0
        while taken < 4_000_000:  # many windows
            taken += sum(len(m.text) for m in await stream.next_batch())
        assert not rig.neighbour.cancelled.is_set()
        stream.cancel()

    with_rig("trunk", scenario)


def test_too_many_calls_are_refused_unstarted_and_the_others_live(with_rig):
    async def scenario(rig):
        running = [
            rig.channel.stream(rig.neighbour.generate, ask("t", tokens=1, session="hang"), timeout=10)
            for _ in range(50)
        ]
        for stream in running:
            await stream.__anext__()
        error = await failure(rig.channel.call(rig.neighbour.count, pb.CountRequest(), timeout=3))
        assert error.reason is Reason.OVERLOADED
        assert not error.started
        running.pop().cancel()
        await asyncio.sleep(0.05)
        await rig.channel.call(rig.neighbour.count, pb.CountRequest(), timeout=3)
        for stream in running:
            stream.cancel()

    with_rig("trunk", scenario)


def test_a_drain_that_hands_over_ends_streams_for_another_worker(with_rig):
    async def scenario(rig):
        stream = rig.channel.stream(rig.neighbour.generate, ask("t", tokens=1, session="hang"), timeout=10)
        await stream.__anext__()
        draining = asyncio.ensure_future(rig.server.drain(2, hand_over=True))
        error = await failure(stream.__anext__())
        assert error.reason is Reason.DRAINING
        assert error.started
        await draining

    with_rig("trunk", scenario)


def test_a_payload_over_the_limit_fails_its_call_alone(with_rig):
    async def scenario(rig):
        huge = pb.CountRequest(model="x" * (8 * 1024 * 1024 + 1))
        error = await failure(rig.channel.call(rig.neighbour.count, huge, timeout=5))
        assert error.reason is Reason.PAYLOAD_TOO_LARGE
        assert (await rig.channel.call(rig.neighbour.count, pb.CountRequest(model="ok"), timeout=5)).tokens == 2

    with_rig("trunk", scenario)


def test_both_sides_of_a_trunk_are_listed_while_it_lives(neighbour):
    async def scenario():
        trunks = Trunks()
        settings = RpcServerSettings()
        server = RpcServer("peer", neighbour.handlers(), settings, clock=SystemClock(), token="t", trunks=trunks)
        await server.start()
        channel = dial(f"127.0.0.1:{server.port}", "trunk", identity="gateway", token="t", trunks=trunks)
        stream = channel.stream(neighbour.generate, ask("t", tokens=1, session="hang"), timeout=10)
        await stream.__anext__()
        for side in ("dialling", "accepting"):
            (moment,) = trunks.moments(side)
            assert (moment.connected, moment.open_calls) == (True, 1)
        await channel.close()
        await Served(server).stop()
        assert trunks.moments("dialling") == trunks.moments("accepting") == []

    run_real(scenario())


def test_a_port_without_a_token_takes_no_trunk(neighbour):
    async def scenario():
        server = RpcServer("peer", neighbour.handlers(), RpcServerSettings(), clock=SystemClock())
        await server.start()
        address = f"127.0.0.1:{server.port}"
        stock, trunk = (dial(address, kind, identity="operator", token="") for kind in ("grpc", "trunk"))
        await stock.call(neighbour.count, pb.CountRequest(), timeout=3)
        denied = await failure(stock.call(neighbour.drain, pb.DrainRequest(), timeout=3))
        assert denied.reason is Reason.PERMISSION_DENIED, "anybody can claim to be the operator"
        assert not (await failure(trunk.call(neighbour.count, pb.CountRequest(), timeout=3))).started
        await stock.close()
        await trunk.close()
        await Served(server).stop()

    run_real(scenario())


def test_a_quick_answer_is_as_good_as_an_ordinary_one(neighbour):
    def quick(request, info):
        if request.model == "refuse":
            raise PlatformError(Reason.OVERLOADED, "full", started=False)
        return pb.CountResponse(tokens=100) if request.model == "quick" else None

    async def scenario():
        async with connected("trunk", [Handler(neighbour.count, neighbour.on_count, quick=quick)]) as channel:

            async def count(model):
                return (await channel.call(neighbour.count, pb.CountRequest(model=model), timeout=5)).tokens

            assert await count("quick") == 100
            assert await count("four") == 4
            assert len(neighbour.seen) == 1, "the handler is asked when there is no quick answer, and only then"
            assert (await failure(count("refuse"))).reason is Reason.OVERLOADED

    run_real(scenario())
