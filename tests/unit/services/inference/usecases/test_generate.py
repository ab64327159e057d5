"""What the pipeline over the real handlers cannot show: an engine and a caller that misbehave."""

from __future__ import annotations

import pytest

from libs.clock import SystemClock
from libs.errors import PlatformError, Reason
from libs.testing.loop import run
from services.inference.domain.model import Capabilities, ModelCard
from services.inference.domain.output.delta import Delta
from services.inference.domain.output.parser import PlainParsers
from services.inference.domain.output.tokens import Step
from services.inference.domain.request import Common, Sampling, TokenWork
from services.inference.usecases.generate import GenerateTokens
from services.inference.usecases.outputs import Outputs
from tests.unit.services.inference.world import activity


class Letters:
    def detokenizer(self, *, keep_special_tokens):
        return self

    def feed(self, token):
        return chr(token)

    def finish(self):
        return ""


class Engine:
    def __init__(self):
        self.sinks, self.aborted = [], []

    def submit(self, work, sink):
        self.sinks.append(sink)

    def abort(self, request_id):
        self.aborted.append(request_id)


class Caller:
    def __init__(self):
        self.deltas, self.ends = [], []

    def delta(self, delta):
        self.deltas.append(delta)

    def plain(self, choice, first_index, token_ids, text):
        self.deltas.append(Delta(choice, first_index, token_ids, text))

    def ended(self, error):
        self.ends.append(error)


class Gone(Caller):
    def delta(self, delta):
        raise PlatformError(Reason.SLOW_READER, "took nothing")


class GoneLater(Caller):
    def plain(self, *fields):
        raise PlatformError(Reason.SLOW_READER, "took nothing")


class Case:
    def __init__(self, caller=None, **sampling):
        self.engine, self.activity, self.caller = Engine(), activity(), caller or Caller()
        card = ModelCard("w", "b", "m", (), "d", "t", 100, "test")
        can = Capabilities(n=True)
        generate = GenerateTokens(
            self.engine, card, can, Outputs(Letters(), PlainParsers()), self.activity, SystemClock()
        )
        work = TokenWork(Common("r", Sampling(max_tokens=5, **sampling)), [1])
        self.generation = generate.start(work, self.caller)
        self.sink = self.engine.sinks[0]


def outcome(case):
    (error,) = case.caller.ends
    return error.reason


@pytest.mark.parametrize("caller", [Gone, GoneLater])
def test_a_caller_that_takes_nothing_aborts_the_engine(caller):
    async def scenario():
        case = Case(caller())
        case.sink.on_tokens(0, (65,))
        case.sink.on_tokens(0, (66,))
        case.sink.on_tokens(0, (67,))
        return case.engine.aborted, outcome(case), case.activity.running

    assert run(scenario()) == (["r"], Reason.SLOW_READER, 0)


def test_steps_after_the_end_are_dropped():
    async def scenario():
        case = Case()
        case.sink.on_step(Step(0, (65,), "length"))
        case.sink.on_step(Step(0, (66,)))
        case.sink.on_error(RuntimeError("late"))
        case.generation.cancel()
        return [d.text for d in case.caller.deltas], case.caller.ends, case.engine.aborted

    assert run(scenario()) == (["A"], [None], [])


def test_an_unknown_error_is_internal_and_keeps_its_words_inside():
    async def scenario():
        case = Case()
        case.sink.on_error(RuntimeError("secret prompt"))
        return case.caller.ends[0]

    error = run(scenario())
    assert error.reason is Reason.INTERNAL
    assert "secret" not in error.message


def test_cancelling_twice_aborts_once():
    async def scenario():
        case = Case()
        case.generation.cancel()
        case.generation.cancel()
        return case.engine.aborted, outcome(case)

    assert run(scenario()) == (["r"], Reason.CANCELLED)


def test_with_choices_a_stop_string_in_one_lets_the_others_finish():
    async def scenario():
        case = Case(n=2, stop=("B",))
        case.sink.on_step(Step(0, (66,)))
        assert case.engine.aborted == []
        case.sink.on_step(Step(0, (67,)))
        case.sink.on_step(Step(1, (65,), "length"))
        return [(d.choice, d.text, d.finish, d.usage is not None) for d in case.caller.deltas], case.engine.aborted

    deltas, aborted = run(scenario())
    assert deltas == [(0, "", "stop", True), (1, "A", "length", True)]
    assert aborted == ["r"]


@pytest.mark.parametrize("max_tokens", [100, 99])
def test_the_window_is_checked_before_the_engine_hears_of_it(max_tokens):
    async def scenario():
        case = Case()
        generate = GenerateTokens(
            case.engine,
            ModelCard("w", "b", "m", (), "d", "t", 100, "test"),
            Capabilities(),
            Outputs(Letters(), PlainParsers()),
            case.activity,
            SystemClock(),
        )
        try:
            generate.start(TokenWork(Common("x", Sampling(max_tokens=max_tokens)), [1]), case.caller)
        except PlatformError:
            return len(case.engine.sinks) - 1
        return len(case.engine.sinks) - 1

    assert run(scenario()) == (0 if max_tokens == 100 else 1)


def test_tokens_alone_take_the_plain_way_once_the_first_have_gone_out():
    class Telling(Caller):
        def plain(self, choice, first_index, token_ids, text):
            self.deltas.append((choice, first_index, list(token_ids), text))

    async def scenario():
        case = Case(Telling())
        for token_ids in ((65,), (66,), (67, 68)):
            case.sink.on_tokens(0, token_ids)
        case.sink.on_step(Step(0, (69,), "length"))
        case.sink.on_tokens(0, (70,))
        return case.caller.deltas, case.activity.steps

    (first, *plain, last), steps = run(scenario())
    assert (first.text, first.usage.prompt_tokens) == ("A", 1)
    assert plain == [(0, 1, [66], "B"), (0, 2, [67, 68], "CD")]
    assert (last.text, last.first_index, last.usage.completion_tokens) == ("E", 4, 5)
    assert steps == 4


@pytest.mark.parametrize("sampling", [{}, {"stop": ("C",)}, {"n": 2}])
def test_tokens_alone_are_as_a_step_with_tokens_alone(sampling):
    def told(caller):
        return [(d.choice, d.first_index, list(d.token_ids), d.text, d.finish) for d in caller.deltas]

    async def scenario():
        steps, tokens = Case(**sampling), Case(**sampling)
        for token in (65, 66, 67, 68):
            steps.sink.on_step(Step(0, (token,)))
            tokens.sink.on_tokens(0, (token,))
        assert told(steps.caller) == told(tokens.caller)
        assert len(steps.caller.ends) == len(tokens.caller.ends)
        assert steps.engine.aborted == tokens.engine.aborted

    run(scenario())
