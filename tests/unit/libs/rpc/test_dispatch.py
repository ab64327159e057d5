"""Who may call, until when, and what hooks hear of it."""

import asyncio
from contextvars import ContextVar

import pytest
from headrace.inference.v1 import inference_pb2 as pb
from structlog.testing import capture_logs

from libs.errors import PlatformError, Reason
from libs.rpc.api import Handler
from libs.rpc.dispatch import Dispatcher
from libs.rpc.method import method
from libs.testing.clock import FakeClock
from libs.testing.loop import run

SERVICE = pb.DESCRIPTOR.services_by_name["InferenceService"]
COUNT = method(SERVICE, "Count", pb.CountRequest, pb.CountResponse)
DRAIN = method(SERVICE, "Drain", pb.DrainRequest, pb.DrainResponse)


async def serve(request, info):
    return pb.CountResponse()


class Hook:
    def __init__(self):
        self.heard = []

    def started(self, info):
        self.heard.append("started")
        return "mark"

    def finished(self, mark, info, error, seconds):
        self.heard.append((mark, error and error.reason, seconds))


def dispatcher(**more):
    handlers = [Handler(COUNT, serve), Handler(DRAIN, serve, frozenset({"operator"}))]
    settings = {"token": "t", "clock": FakeClock(), "margin_seconds": 0.01, "default_seconds": None, **more}
    return Dispatcher(handlers, **settings)


def refusal(found, path=COUNT.path, identity="gateway", timeout=5.0):
    with pytest.raises(PlatformError) as caught:
        found.admit(path, identity, timeout, {})
    assert not caught.value.started
    return caught.value.reason


def test_only_the_token_is_let_in():
    assert dispatcher().authentic("t")
    assert not dispatcher().authentic("")
    assert not dispatcher().authentic("tt")
    assert not dispatcher().authentic("ü")


def test_an_identity_counts_only_beside_the_token():
    assert dispatcher().identify("gateway") == "gateway"
    assert dispatcher(token="").identify("gateway") == ""


def test_methods_are_for_those_they_name():
    assert refusal(dispatcher(), DRAIN.path) is Reason.PERMISSION_DENIED
    assert dispatcher().admit(DRAIN.path, "operator", 5.0, {}).identity == "operator"


def test_an_unknown_method_is_unimplemented():
    assert refusal(dispatcher(), "/no/Such") is Reason.UNIMPLEMENTED


def test_every_call_has_a_deadline_and_the_margin_comes_off():
    assert refusal(dispatcher(), timeout=None) is Reason.INVALID_REQUEST
    assert refusal(dispatcher(), timeout=0.01) is Reason.DEADLINE_EXCEEDED
    clock = FakeClock()
    info = dispatcher(clock=clock).admit(COUNT.path, "", 5.0, {})
    assert info.deadline == pytest.approx(clock.monotonic() + 4.99)


def test_a_public_port_gives_calls_without_a_deadline_its_own():
    clock = FakeClock()
    info = dispatcher(clock=clock, default_seconds=60.0).admit(COUNT.path, "", None, {})
    assert info.deadline == pytest.approx(clock.monotonic() + 59.99)


def outcome(work, timeout=5.0, **more):
    """The error of a run, and what the hook heard."""

    async def scenario():
        hook = Hook()
        found = dispatcher(hooks=[hook])
        info = found.admit(COUNT.path, "gateway", timeout, {})
        try:
            await found.run(info, work, **more)
        except PlatformError as error:
            return error, hook.heard
        except asyncio.CancelledError:
            return "cancelled", hook.heard
        return None, hook.heard

    return run(scenario())


def test_hooks_hear_the_begin_and_the_end():
    async def work():
        await asyncio.sleep(2)

    error, heard = outcome(work)
    assert error is None
    assert heard == ["started", ("mark", None, pytest.approx(2.0))]


def test_the_deadline_ends_the_work_and_hooks_hear_why():
    async def work():
        await asyncio.sleep(3600)

    error, heard = outcome(work)
    assert error.reason is Reason.DEADLINE_EXCEEDED
    assert heard[1][1] is Reason.DEADLINE_EXCEEDED


def test_a_handlers_own_timeout_is_a_fault_and_no_deadline():
    async def work():
        raise TimeoutError

    assert outcome(work)[0].reason is Reason.INTERNAL


def test_a_fault_is_internal_and_its_words_stay_out_of_reply_and_log():
    async def work():
        raise ValueError("the user's prompt")

    with capture_logs() as logs:
        error, heard = outcome(work)
    assert error.reason is Reason.INTERNAL
    assert heard[1][1] is Reason.INTERNAL
    assert "prompt" not in str(error)
    assert "prompt" not in str(logs)
    assert any("test_dispatch.py" in frame for frame in logs[0]["frames"])


def test_a_transport_that_cancels_says_why():
    async def work():
        raise asyncio.CancelledError

    error, heard = outcome(work, why=lambda: PlatformError(Reason.SLOW_READER, "cut"))
    assert error == "cancelled"
    assert heard[1][1] is Reason.SLOW_READER


def test_a_quick_answer_is_heard_of_and_none_is_not():
    hook = Hook()
    found = dispatcher(hooks=[hook])
    info = found.admit(COUNT.path, "", 5.0, {})
    assert found.run_quick(info, lambda: None) is None
    assert hook.heard == []
    assert found.run_quick(info, lambda: 7) == 7
    assert hook.heard == ["started", ("mark", None, 0.0)]


def test_a_quick_fault_is_translated_and_heard_of():
    def work():
        raise KeyError("x")

    hook = Hook()
    found = dispatcher(hooks=[hook])
    with pytest.raises(PlatformError) as caught:
        found.run_quick(found.admit(COUNT.path, "", 5.0, {}), work)
    assert caught.value.reason is Reason.INTERNAL
    assert hook.heard[1][1] is Reason.INTERNAL


CURRENT = ContextVar("CURRENT", default="nothing")


class Entering(Hook):
    """Sets and resets a variable, as a span does that is current until the call ends."""

    def started(self, info):
        self.heard.append("started")
        return CURRENT.set("this call")

    def finished(self, mark, info, error, seconds):
        CURRENT.reset(mark)
        super().finished("mark", info, error, seconds)


def test_what_was_started_is_between_the_hooks_until_it_has_ended():
    async def scenario():
        hook, clock, seen = Entering(), FakeClock(), []
        found = dispatcher(hooks=(hook,), clock=clock)
        info = found.admit(COUNT.path, "gateway", 5.0, {})
        ended = found.start(info, lambda: seen.append(CURRENT.get()))
        other = found.start(info, lambda: seen.append(CURRENT.get()))
        assert hook.heard == ["started", "started"]
        assert CURRENT.get() == "nothing", "the next call of the trunk is nobody's child"
        clock.advance(2)
        ended(None)
        other(PlatformError(Reason.CANCELLED, "gone"))
        assert seen == ["this call", "this call"]
        return hook.heard[2:]

    assert run(scenario()) == [("mark", None, 2), ("mark", Reason.CANCELLED, 2)]


@pytest.mark.parametrize(
    ("fault", "reason"),
    [(PlatformError(Reason.OVERLOADED, "full"), Reason.OVERLOADED), (ValueError("secret"), Reason.INTERNAL)],
)
@pytest.mark.parametrize("hooks", [0, 1])
def test_a_start_that_fails_is_over_at_once(fault, reason, hooks):
    def fail():
        raise fault

    hook = Entering()
    found = dispatcher(hooks=(hook,) * hooks)
    with pytest.raises(PlatformError) as caught:
        found.start(found.admit(COUNT.path, "gateway", 5.0, {}), fail)
    assert caught.value.reason is reason
    assert "secret" not in caught.value.message
    assert hook.heard == ["started", ("mark", reason, 0)] * hooks
