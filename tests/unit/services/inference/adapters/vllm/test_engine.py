import pytest
from fake_backend import FakeBackend, Rig, output

from libs.errors import PlatformError, Reason
from libs.testing.loop import run


def test_start_generates_a_token_first_and_reports():
    async def scenario():
        async with Rig() as rig:
            assert next(iter(rig.backend.added)).startswith("warm-up")
            assert rig.capabilities.seed
            assert rig.capacity.sessions == 8
            assert rig.engine.load().healthy
            assert rig.engine.parsers is rig.backend.parsers
        assert rig.backend.closed

    run(scenario())


def test_a_configuration_that_holds_no_session_is_refused_and_closed():
    async def scenario():
        rig = Rig(FakeBackend(blocks=2))
        with pytest.raises(PlatformError, match="kv_cache_gib"):
            await rig.__aenter__()
        assert rig.backend.closed

    run(scenario())


def test_an_engine_that_makes_no_first_token_does_not_start():
    async def scenario():
        backend = FakeBackend()
        backend.warm = False
        rig = Rig(backend, start_seconds_max=5)
        with pytest.raises(TimeoutError):
            await rig.__aenter__()
        assert backend.closed

    run(scenario())


def test_before_start_work_and_parsers_are_refused():
    async def scenario():
        rig = Rig()
        async with rig:
            pass
        fresh = type(rig.engine)(rig.settings, "no/model")
        assert not fresh.load().healthy
        with pytest.raises(PlatformError) as refused:
            fresh.submit(None, None)
        assert (refused.value.reason, refused.value.started) == (Reason.ENGINE_DEAD, False)
        with pytest.raises(RuntimeError):
            _ = fresh.parsers
        fresh.abort("nothing")
        await fresh.close()

    run(scenario())


def test_the_death_of_the_engine_ends_every_stream_and_tells_the_worker():
    async def scenario():
        async with Rig() as rig:
            sinks = [rig.submit("a"), rig.submit("b")]
            rig.backend.die()
            await rig.settle()
            assert [sink.errors[0].reason for sink in sinks] == [Reason.ENGINE_DEAD] * 2
            assert len(rig.deaths) == 1
            assert not rig.engine.load().healthy
            with pytest.raises(PlatformError) as refused:
                rig.submit("c")
            assert not refused.value.started

    run(scenario())


def test_silence_while_work_runs_is_unhealthy_and_ends_with_a_step():
    async def scenario():
        async with Rig(hang_seconds=10) as rig:
            rig.clock.advance(100)
            assert rig.engine.load().healthy  # idle
            rig.submit("a")
            rig.clock.advance(9)
            assert rig.engine.load().healthy
            rig.clock.advance(2)
            assert not rig.engine.load().healthy
            rig.backend.step(output(rig.backend.ids("a")[0], [1]))
            await rig.settle()
            assert rig.engine.load().healthy

    run(scenario())


def test_load_counts_what_the_engine_has_not_seen_as_waiting():
    async def scenario():
        async with Rig() as rig:
            rig.submit("a")
            rig.submit("b")
            rig.submit("c")
            rig.backend.step(running=2, kv_use=0.25)
            await rig.settle()
            load = rig.engine.load()
            assert (load.running, load.waiting, load.kv_use) == (2, 1, 0.25)
            for name in "abc":
                rig.engine.abort(name)
            assert rig.engine.load().kv_use == 0

    run(scenario())


def test_close_ends_running_requests_with_an_error():
    async def scenario():
        async with Rig() as rig:
            sink = rig.submit("a")
        assert sink.errors[0].reason is Reason.WORKER_LOST

    run(scenario())
