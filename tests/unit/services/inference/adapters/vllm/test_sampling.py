import math

import pytest
from fake_backend import resumed, work

from libs.errors import PlatformError, Reason
from services.inference.adapters.vllm.sampling import Limits, arguments, check, check_prompt, seed_of
from services.inference.domain.request import Guided, Sampling

LIMITS = Limits(vocab=1000, window=256, logprobs_max=20)


@pytest.mark.parametrize(
    ("param", "value"),
    [
        ("temperature", math.nan),
        ("temperature", 2.1),
        ("top_p", 0.0),
        ("min_p", -0.1),
        ("top_k", -2),
        ("presence_penalty", 3.0),
        ("frequency_penalty", -math.inf),
        ("repetition_penalty", 0.0),
        ("max_tokens", 0),
        ("min_tokens", 9),
        ("n", 0),
        ("logprobs", 21),
        ("logit_bias", {1: 101.0}),
        ("logit_bias", {1000: 1.0}),
        ("logit_bias", {-1: 1.0}),
        ("logit_bias", dict.fromkeys(range(1025), 1.0)),
        ("stop_token_ids", (1000,)),
        ("stop_token_ids", tuple(range(257))),
    ],
)
def test_each_field_has_its_bounds(param, value):
    limits = Limits(vocab=2000 if isinstance(value, dict) and len(value) > 1 else 1000, window=256, logprobs_max=20)
    with pytest.raises(PlatformError) as refused:
        check(work(**{param: value}).common, limits)
    assert (refused.value.reason, refused.value.param, refused.value.started) == (Reason.INVALID_REQUEST, param, False)


def test_the_ends_of_the_bounds_are_allowed():
    check(
        work(
            temperature=2.0, top_p=1.0, min_p=0.0, top_k=-1, min_tokens=8, logprobs=20, logit_bias={999: -100.0}
        ).common,
        LIMITS,
    )


@pytest.mark.parametrize("param", ["min_tokens", "ignore_eos"])
def test_a_grammar_decides_on_its_own_where_it_ends(param):
    with pytest.raises(PlatformError) as refused:
        check(work(guided=Guided(regex="a"), **{param: 1}).common, LIMITS)
    assert (refused.value.reason, refused.value.param) == (Reason.UNSUPPORTED_PARAMETER, param)


@pytest.mark.parametrize(
    ("prompt", "resumed_tokens", "reason"),
    [
        ([], 0, Reason.INVALID_REQUEST),
        ([1, 1000], 0, Reason.INVALID_REQUEST),
        ([-1], 0, Reason.INVALID_REQUEST),
        ([1] * 256, 0, Reason.CONTEXT_LENGTH_EXCEEDED),
        ([1] * 200, 56, Reason.CONTEXT_LENGTH_EXCEEDED),
    ],
)
def test_prompts_that_cannot_be_answered(prompt, resumed_tokens, reason):
    with pytest.raises(PlatformError) as refused:
        check_prompt(prompt, resumed_tokens, LIMITS)
    assert refused.value.reason is reason


def test_the_last_token_of_the_window_may_be_used():
    check_prompt([1] * 255, 0, LIMITS)


def _arguments(sampling, choice=0, room=100, resume=None, defaults=None):
    return arguments(sampling, defaults or {}, LIMITS, choice=choice, room=room, resume=resume)


def test_the_models_defaults_hold_where_nothing_is_said():
    defaults = {"temperature": 0.6, "top_k": 50, "max_tokens": 5, "unknown": 1}
    given = _arguments(Sampling(max_tokens=8, temperature=0.0), defaults=defaults)
    assert (given["temperature"], given["top_k"], given["max_tokens"]) == (0.0, 50, 8)
    assert "unknown" not in given


def test_tokens_are_bounded_by_the_request_the_resume_and_the_window():
    sampling = Sampling(max_tokens=80, min_tokens=60)
    assert _arguments(sampling)["max_tokens"] == 80
    assert _arguments(sampling, room=50)["max_tokens"] == 50
    cut = _arguments(sampling, resume=resumed([1], max_tokens=7))
    assert (cut["max_tokens"], cut["min_tokens"]) == (7, 7)


@pytest.mark.parametrize(("asked", "given"), [(-1, 0), (0, 0), (5, 5), (1000, 0), (2**31 - 1, 0)])
def test_top_k_of_the_whole_vocabulary_is_none(asked, given):
    assert _arguments(Sampling(max_tokens=1, top_k=asked))["top_k"] == given


def test_seeds_fit_the_engine_differ_by_choice_and_never_repeat_after_a_resume():
    assert seed_of(-1, 0, 0) >= 0  # -1 means "no seed" to vLLM
    assert seed_of(2**63 - 1, 1, 0) >= 0
    assert seed_of(5, 0, 0) != seed_of(5, 1, 0)
    assert len({seed_of(5, 0, 0), seed_of(5, 0, 3), seed_of(5, 0, 4), seed_of(5, 1, 3)}) == 4
    assert seed_of(5, 0, 3) == seed_of(5, 0, 3) < 2**63
