import asyncio

import pytest
import uvloop
from redis.exceptions import OutOfMemoryError, ReadOnlyError, ResponseError

from libs.errors import PlatformError, Reason
from libs.testing.loop import run_real
from libs.testing.valkey import ValkeyProcess
from libs.valkey import FunctionLibrary, Valkey, is_command_error

ECHO = FunctionLibrary("echo", "server.register_function('@library@_say', function(keys, args) return args[1] end)")


@pytest.fixture
def server():
    with ValkeyProcess() as process:
        yield process


async def until(condition, limit=5.0):
    async with asyncio.timeout(limit):
        while not condition():
            await asyncio.sleep(0.002)


async def refused(valkey):
    """Seconds until a command is refused with STORE_UNAVAILABLE."""
    loop = asyncio.get_running_loop()
    start = loop.time()
    with pytest.raises(PlatformError) as caught:
        async with asyncio.timeout(5):
            await valkey.command("GET", "k")
    assert (caught.value.reason, caught.value.started) == (Reason.STORE_UNAVAILABLE, False)
    return loop.time() - start


def test_commands_of_one_tick_travel_as_one_pipeline_and_each_gets_its_reply(server):
    async def scenario():
        valkey = Valkey(server.settings(op_timeout_ms=2000))
        await valkey.ready()
        replies = await asyncio.gather(*(valkey.command("ECHO", str(n)) for n in range(200)))
        assert replies == [str(n).encode() for n in range(200)]
        assert (await valkey.command("INFO", "clients"))["connected_clients"] == 1
        await valkey.close()

    run_real(scenario())


def test_a_wrong_command_fails_alone_and_the_store_stays_up(server):
    async def scenario():
        valkey = Valkey(server.settings(op_timeout_ms=2000))
        await valkey.command("SET", "k", "v")
        good, bad, other = await asyncio.gather(
            valkey.command("GET", "k"),
            valkey.command("HGET", "k", "f"),
            valkey.command("GET", "k"),
            return_exceptions=True,
        )
        assert (good, other) == (b"v", b"v")
        assert isinstance(bad, ResponseError)
        assert valkey.up
        await valkey.close()

    run_real(scenario())


def test_a_library_is_loaded_once_needed_and_again_when_the_store_has_lost_it(server):
    async def scenario():
        one, two = Valkey(server.settings(op_timeout_ms=2000)), Valkey(server.settings(op_timeout_ms=2000))
        assert await asyncio.gather(one.call(ECHO, "say", ["k"], ["a"]), two.call(ECHO, "say", ["k"], ["b"])) == [
            b"a",
            b"b",
        ]
        await one.command("FUNCTION", "FLUSH")
        assert await two.call(ECHO, "say", ["k"], ["c"]) == b"c"
        await one.close()
        await two.close()

    run_real(scenario())


def test_a_changed_library_has_another_name():
    assert FunctionLibrary("echo", ECHO.source + " ").versioned != ECHO.versioned


def test_a_frozen_store_costs_one_timeout_then_nothing_and_is_back_by_itself(server):
    async def scenario():
        valkey = Valkey(server.settings(op_timeout_ms=50))
        assert await valkey.ready()
        server.freeze()
        assert 0.04 < await refused(valkey) < 0.5
        assert await refused(valkey) < 0.02
        server.thaw()
        await until(lambda: valkey.up)
        assert await valkey.command("GET", "k") is None
        await valkey.close()

    run_real(scenario())


def test_what_waits_behind_a_frozen_pipeline_fails_with_it(server):
    async def scenario():
        valkey = Valkey(server.settings(op_timeout_ms=50))
        await valkey.ready()
        server.freeze()
        first = asyncio.create_task(refused(valkey))
        await asyncio.sleep(0.03)
        assert await refused(valkey) < 0.045
        await first
        server.thaw()
        await valkey.close()

    run_real(scenario())


def test_a_killed_store_is_used_again_once_it_runs(server):
    async def scenario():
        valkey = Valkey(server.settings(op_timeout_ms=500))
        await valkey.ready()
        server.kill()
        await refused(valkey)
        assert await valkey.ready() is False
        server.start()
        await until(lambda: valkey.up)
        assert await valkey.command("GET", "k") is None
        await valkey.close()

    run_real(scenario())


def test_a_caller_that_goes_away_takes_no_other_callers_reply(server):
    async def scenario():
        valkey = Valkey(server.settings(op_timeout_ms=2000))
        await valkey.ready()
        gone = asyncio.create_task(valkey.command("ECHO", "gone"))
        stays = asyncio.create_task(valkey.command("ECHO", "stays"))
        await asyncio.sleep(0)
        gone.cancel()
        assert await stays == b"stays"
        assert await valkey.command("ECHO", "next") == b"next"
        await asyncio.gather(gone, return_exceptions=True)
        await valkey.close()

    run_real(scenario())


def test_it_works_on_the_loop_that_services_run_on(server):
    async def scenario():
        valkey = Valkey(server.settings(op_timeout_ms=2000))
        assert await valkey.ready()
        assert await valkey.call_all(ECHO, "say", [("k", ["a"]), ("k", ["b"])]) == [b"a", b"b"]
        await valkey.close()

    uvloop.run(scenario())


def test_each_call_of_an_exchange_fails_on_its_own_when_the_store_is_lost(server):
    async def scenario():
        valkey = Valkey(server.settings(op_timeout_ms=50))
        await valkey.call(ECHO, "say", ["k"], ["loaded"])
        server.freeze()
        lost = await valkey.call_all(ECHO, "say", [("k", ["a"]), ("k", ["b"])])
        assert [error.reason for error in lost] == [Reason.STORE_UNAVAILABLE] * 2
        server.thaw()
        await valkey.close()

    run_real(scenario())


def test_the_reply_of_a_command_that_was_given_up_goes_to_no_other(server):
    async def scenario():
        valkey = Valkey(server.settings(op_timeout_ms=50))
        await valkey.ready()
        server.freeze()
        await refused(valkey)
        server.thaw()
        await until(lambda: valkey.up)
        assert await valkey.command("ECHO", "mine") == b"mine"
        await valkey.close()

    run_real(scenario())


def test_closing_fails_what_waits(server):
    async def scenario():
        valkey = Valkey(server.settings(op_timeout_ms=2000))
        await valkey.ready()
        server.freeze()
        waiting = asyncio.create_task(refused(valkey))
        await asyncio.sleep(0.01)
        await valkey.close()
        await waiting
        server.thaw()
        await valkey.close()

    run_real(scenario())


@pytest.mark.parametrize("error", [ReadOnlyError("x"), OutOfMemoryError("x"), ResponseError("MISCONF disk"), OSError()])
def test_a_store_that_cannot_serve_is_no_wrong_command(error):
    assert not is_command_error(error)


def test_a_wrong_command_is_told_from_a_store_in_trouble():
    assert is_command_error(ResponseError("WRONGTYPE Operation against a key"))


def test_a_command_on_a_connection_that_is_lost_fails_at_once_and_never_waits_for_ever(server):
    async def scenario():
        valkey = Valkey(server.settings(op_timeout_ms=2000))
        await valkey.ready()
        link = valkey._link
        link.close("a test says so")
        with pytest.raises(ConnectionError):
            async with asyncio.timeout(1):
                await link.submit(("PING",))
        await valkey.close()

    run_real(scenario())
