from __future__ import annotations

import pytest

from libs.errors import PlatformError, Reason
from services.inference.domain.admission import (
    check_address,
    check_capabilities,
    check_sampling,
    check_window,
    with_forced_tools,
)
from services.inference.domain.model import Capabilities, ModelCard, ResumeForm
from services.inference.domain.request import Common, Guided, ResumeChoice, Sampling, TokenWork, Tool, ToolChoice

CARD = ModelCard("w", "b", "tiny", ("small",), "digest", "tok", 100, "simulated", adapters=("lora",))
ALL = Capabilities(
    guided=True, logprobs_max=5, n=True, seed=True, lora=True, resume=ResumeForm.EXACT, tools=True, penalties=True,
    logit_bias=True,
)  # fmt: skip
TOOL = Tool("f", "", "{}")


def refused(call, *args, **kwargs):
    with pytest.raises(PlatformError) as caught:
        call(*args, **kwargs)
    assert not caught.value.started, "nothing has begun"
    return caught.value


@pytest.mark.parametrize("name", ["", "tiny", "small", "lora"])
def test_names_it_serves_pass(name):
    check_address(CARD, name, "digest")
    check_address(CARD, name, "")


def test_another_model_and_another_digest_are_refused():
    assert refused(check_address, CARD, "large", "").reason is Reason.MODEL_NOT_FOUND
    assert refused(check_address, CARD, "tiny", "other").reason is Reason.WRONG_DIGEST


def common(choice=None, tools=(), guided=None, adapter="", **sampling):
    return Common("r", Sampling(max_tokens=5, **sampling), guided, tools, choice or ToolChoice(), adapter)


WANTED = [
    (common(guided=Guided(json_object=True)), "response_format"),
    (common(ToolChoice("auto"), (TOOL,)), "tools"),
    (common(ToolChoice("required"), (TOOL,)), "tool_choice"),
    (common(n=2), "n"),
    (common(seed=1), "seed"),
    (common(logit_bias={1: 1.0}), "logit_bias"),
    (common(presence_penalty=0.1), "presence_penalty"),
    (common(frequency_penalty=0.1), "presence_penalty"),
    (common(repetition_penalty=1.1), "presence_penalty"),
    (common(adapter="lora"), "model"),
    (common(logprobs=0), "logprobs"),
]


@pytest.mark.parametrize(("wanted", "param"), WANTED)
def test_what_the_engine_lacks_is_refused_by_name_and_what_it_has_passes(wanted, param):
    error = refused(check_capabilities, wanted, Capabilities(), resumes=False)
    assert (error.reason, error.param) == (Reason.UNSUPPORTED_PARAMETER, param)
    check_capabilities(wanted, ALL, resumes=True)


def test_too_many_logprobs_and_resume_without_the_means_are_refused():
    assert refused(check_capabilities, common(logprobs=6), ALL, resumes=False).param == "top_logprobs"
    assert refused(check_capabilities, common(), Capabilities(), resumes=True).param == "resume"


@pytest.mark.parametrize("bad", [{"max_tokens": 0}, {"n": 129}, {"min_tokens": 6}])
def test_senseless_bounds_are_refused(bad):
    assert refused(check_sampling, Sampling(**{"max_tokens": 5, **bad})).reason is Reason.INVALID_REQUEST


def work(prompt, max_tokens=10, resume=(), n=1):
    return TokenWork(Common("r", Sampling(max_tokens=max_tokens, n=n)), [1] * prompt, resume=resume)


def test_prompt_and_answer_must_fit_the_window():
    check_window(work(90), 100)
    assert refused(check_window, work(91), 100).reason is Reason.CONTEXT_LENGTH_EXCEEDED
    assert refused(check_window, work(0), 100).reason is Reason.INVALID_REQUEST


def test_resumed_tokens_count_unless_their_choice_is_finished():
    resume = ResumeChoice(0, (1,) * 20, 0, 0)
    assert refused(check_window, work(75, resume=(resume,)), 100).reason is Reason.CONTEXT_LENGTH_EXCEEDED
    check_window(work(75, resume=(ResumeChoice(0, (1,) * 20, 0, 0, max_tokens=5),)), 100)
    check_window(work(75, resume=(ResumeChoice(0, (1,) * 20, 0, 0, finished=True),)), 100)


def test_forced_tools_become_a_grammar():
    forced = with_forced_tools(common(ToolChoice("named", "f"), (TOOL,)))
    assert forced.guided is not None
    assert with_forced_tools(common()).guided is None
    assert refused(with_forced_tools, common(ToolChoice("named", "g"), (TOOL,))).param == "tool_choice"
