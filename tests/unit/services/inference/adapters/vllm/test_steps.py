from types import SimpleNamespace

import numpy as np
import pytest
from fake_backend import output

from libs.errors import PlatformError
from services.inference.adapters.vllm.steps import joined, logprobs_of, only_tokens, queue_seconds, step_of
from services.inference.domain.output.tokens import Step, TokenLogprobs


def _name(token):
    return b"t%d" % token


@pytest.mark.parametrize(("reason", "finish"), [(None, None), (0, "stop"), (1, "length"), (4, "stop")])
def test_finish_reasons(reason, finish):
    assert step_of(output("x", [5], finish=reason), 2, _name).finish == finish


@pytest.mark.parametrize("reason", [2, 3])
def test_an_engine_that_gives_up_is_an_error_and_no_finish(reason):
    with pytest.raises(PlatformError):
        step_of(output("x", [], finish=reason), 0, _name)


def test_what_a_step_carries():
    step = step_of(output("x", [5, 6], finish=0, cached=32, stop_reason=6), 1, _name)
    assert (step.choice, step.token_ids, step.cached_tokens, step.stop_token) == (1, [5, 6], 32, 6)
    assert step_of(output("x", [5], finish=0, stop_reason="text"), 0, _name).stop_token is None


def test_queue_time_is_between_two_events_of_the_engine():
    event = SimpleNamespace
    events = [event(type=1, timestamp=10.0), event(type=2, timestamp=10.5), event(type=3, timestamp=11.0)]
    assert queue_seconds(events) == 0.5
    assert queue_seconds([*events, event(type=2, timestamp=12.0)]) == 0.5  # scheduled again after a preemption
    assert queue_seconds(events[:1]) is None


def test_logprobs_are_finite_and_as_many_as_tokens():
    lists = SimpleNamespace(
        logprob_token_ids=np.array([[5, 5, 7], [6, 8, 6], [0, 0, 0]]),
        logprobs=np.array([[-0.5, -0.5, -1.0], [-np.inf, -0.1, -np.inf], [0, 0, 0]]),
    )
    first, second = logprobs_of(lists, 2, _name)
    assert first.top == [(5, b"t5", -0.5), (5, b"t5", -0.5), (7, b"t7", -1.0)]
    assert second.top[0] == (6, b"t6", -9999.0)


@pytest.mark.parametrize(
    "more", [{"finish": 0}, {"cached": 0}, {"stop_reason": 5}, {"events": ["queued"]}, {"new_logprobs": []}]
)
def test_only_tokens_are_what_leaves_the_rest_of_a_step_empty(more):
    fields = {name: more[name] for name in more if name in {"finish", "cached", "stop_reason"}}
    found = output("x", [5, 6], **fields)
    vars(found).update(more)
    assert not only_tokens(found)
    plain = output("x", [5, 6])
    assert only_tokens(plain)
    assert step_of(plain, 1, _name) == Step(1, [5, 6])


def test_joined_steps_keep_everything_in_order():
    marks = [TokenLogprobs([(token, b"", -1.0)]) for token in (1, 2, 3)]
    steps = [Step(1, [1], None, marks[:1], 32, 0.5), Step(1, [2, 3], "stop", marks[1:], stop_token=3)]
    assert joined(steps) == Step(1, [1, 2, 3], "stop", marks, 32, 0.5, 3)
    assert joined(steps[:1]) is steps[0]
