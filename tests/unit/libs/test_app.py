import asyncio
import io

import pytest

from libs.app import EXIT_FAILED, EXIT_SETTINGS, App
from libs.errors import PlatformError, Reason
from libs.settings import DrainSettings, LogSettings, ServiceSettings, SettingsError
from libs.telemetry import setup
from libs.testing.clock import FakeClock
from libs.testing.loop import run

DRAIN = DrainSettings(endpoints_seconds=5, grace_seconds=20, close_seconds=3)


class Recorder:
    """A server and adapters that note what happens to them, and when."""

    def __init__(self, clock):
        self.clock, self.notes = clock, []
        self.began = clock.monotonic()
        self.drain_seconds = 0.0

    def note(self, what):
        self.notes.append((what, round(self.clock.monotonic() - self.began)))

    async def set_serving(self, *, serving):
        self.note("serving" if serving else "not serving")

    async def drain(self, grace_seconds, *, hand_over=False):
        self.note(f"drain {grace_seconds:.0f} {hand_over}")
        await self.clock.sleep(self.drain_seconds)

    async def stop(self):
        self.note("server stopped")


def life(build, *, drain=DRAIN):
    """Runs a whole life on virtual time; returns the exit code, what happened when, and the log."""

    async def scenario():
        log = io.StringIO()
        settings = ServiceSettings(drain=drain, log=LogSettings(format="json"))
        telemetry = setup(settings, "demo", stream=log)
        clock = FakeClock()
        recorder = Recorder(clock)
        app = App(settings, telemetry, clock)
        try:
            code = await app.run(lambda stack, app: build(stack, app, recorder))
        finally:
            telemetry.close()
        return code, recorder.notes, log.getvalue()

    return run(scenario())


async def ordinary(stack, app, recorder):
    stack.callback(recorder.note, "first adapter closed")
    stack.callback(recorder.note, "second adapter closed")
    app.serve(recorder, hand_over=True)

    async def stop_accepting():
        recorder.note("stop accepting")

    app.on_stop_accepting(stop_accepting)
    asyncio.get_running_loop().call_later(60, app.stop, "test")


def test_the_order_of_a_life():
    code, notes, _ = life(ordinary)
    assert code == 0
    assert notes == [
        ("serving", 0),
        ("not serving", 60),
        ("stop accepting", 65),
        ("drain 20 True", 65),
        ("server stopped", 65),
        ("second adapter closed", 65),
        ("first adapter closed", 65),
    ]


def test_ready_is_true_only_between_warm_up_and_stop():
    async def build(stack, app, recorder):
        recorder.note(app.ready)

        async def serving(*, serving):
            recorder.note((serving, app.ready))

        app.on_serving(serving)
        asyncio.get_running_loop().call_later(1, app.stop, "test")

    _, notes, _ = life(build)
    assert [what for what, _ in notes] == [False, (True, True), (False, False)]


def test_a_drain_ends_when_the_streams_have_ended():
    async def build(stack, app, recorder):
        recorder.drain_seconds = 7
        await ordinary(stack, app, recorder)

    assert ("server stopped", 72) in life(build)[1]


def test_a_drain_that_hangs_is_cut_after_the_grace():
    async def build(stack, app, recorder):
        recorder.drain_seconds = 10_000
        await ordinary(stack, app, recorder)

    _, notes, log = life(build)
    assert ("server stopped", 65 + 20 + 3) in notes
    assert "step took too long" in log


def test_a_hook_that_fails_keeps_no_other_from_its_part():
    async def build(stack, app, recorder):
        async def broken(*, serving):
            raise ValueError("broken hook")

        app.on_serving(broken)
        await ordinary(stack, app, recorder)

    _, notes, log = life(build)
    assert ("not serving", 60) in notes
    assert "broken hook" in log


def test_an_adapter_that_hangs_at_the_end_is_left_behind():
    async def build(stack, app, recorder):
        stack.callback(recorder.note, "outer adapter closed")
        stack.push_async_callback(asyncio.sleep, 10_000)
        app.stop("test")

    code, notes, log = life(build)
    assert (code, notes) == (0, [("outer adapter closed", 3)])
    assert "did not close in time" in log


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (SettingsError(["model.path: is empty"]), EXIT_SETTINGS),
        (PlatformError(Reason.INVALID_REQUEST, "the port is taken"), EXIT_FAILED),
        (ValueError("unforeseen"), EXIT_FAILED),
    ],
)
def test_a_start_that_fails_closes_what_was_opened(error, code):
    async def build(stack, app, recorder):
        stack.callback(recorder.note, "closed")
        raise error

    found, notes, log = life(build)
    assert found == code
    assert notes == [("closed", 0)]
    assert "cannot start" in log


def test_a_stop_during_warm_up_gives_the_warm_up_up():
    async def build(stack, app, recorder):
        stack.callback(recorder.note, "closed")
        asyncio.get_running_loop().call_later(2, app.stop, "test")
        await asyncio.sleep(10_000)

    assert life(build)[:2] == (0, [("closed", 2)])


def test_a_background_task_that_fails_stops_the_service_with_a_failure():
    async def build(stack, app, recorder):
        async def work():
            await asyncio.sleep(9)
            raise ValueError("engine lost")

        app.serve(recorder)
        app.spawn(work(), "engine watch")

    code, notes, log = life(build)
    assert code == EXIT_FAILED
    assert ("not serving", 9) in notes
    assert "engine watch" in log


def test_background_tasks_end_with_the_stack():
    async def build(stack, app, recorder):
        app.spawn(asyncio.sleep(10_000), "forever")
        app.stop("test")

    assert life(build)[0] == 0


def test_no_grace_cuts_at_once():
    drain = DrainSettings(grace_seconds=0)

    async def build(stack, app, recorder):
        recorder.drain_seconds = 10_000
        await ordinary(stack, app, recorder)

    assert ("server stopped", 60 + 5) in life(build, drain=drain)[1]
