from __future__ import annotations

import pytest

from libs.errors import PlatformError, Reason
from libs.testing.loop import run
from services.inference.domain.output.tokens import Step
from services.inference.usecases.warmup import warm_up


class Engine:
    def __init__(self, tell):
        self._tell = tell

    def submit(self, work, sink):
        assert work.common.sampling.max_tokens == 1
        self._tell(sink)


def test_ready_means_that_a_token_came():
    run(warm_up(Engine(lambda sink: sink.on_step(Step(0, (5,), "length"))), 1.0))


def test_a_token_and_nothing_else_is_one_too():
    run(warm_up(Engine(lambda sink: sink.on_tokens(0, (5,))), 1.0))


def test_no_token_in_time_is_a_dead_engine():
    with pytest.raises(PlatformError) as caught:
        run(warm_up(Engine(lambda _sink: None), 30.0))
    assert caught.value.reason is Reason.ENGINE_DEAD


def test_the_engines_own_error_comes_through():
    with pytest.raises(PlatformError, match="no memory"):
        run(warm_up(Engine(lambda sink: sink.on_error(PlatformError(Reason.INTERNAL, "no memory"))), 1.0))
