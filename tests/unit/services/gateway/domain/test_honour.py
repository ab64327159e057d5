from __future__ import annotations

import pytest

from libs.errors import PlatformError
from services.gateway.domain.honour import check_capabilities, resumable
from services.gateway.domain.models import Capabilities, ModelInfo
from services.gateway.domain.turns import ChatRequest, Guided, Sampling, Tool, ToolChoice

FULL = Capabilities(
    guided=True, logprobs_max=5, n=True, seed=True, resume=True, resume_guided=True, resume_penalties=True, tools=True,
    penalties=True, logit_bias=True,
)  # fmt: skip
TOOL = (Tool("f", "", ""),)


def refused(request, capabilities):
    info = ModelInfo("m", "m", "d", "t", 100, capabilities=capabilities)
    try:
        check_capabilities(request, info)
    except PlatformError as error:
        return error.param
    return None


def ask(**fields):
    sampling = Sampling(**{key: fields.pop(key) for key in list(fields) if key in Sampling.__slots__})
    return ChatRequest("m", (), sampling=sampling, **fields)


@pytest.mark.parametrize(
    ("request_", "capabilities", "param"),
    [
        (ask(logprobs=6), FULL, "top_logprobs"),
        (ask(logprobs=5), FULL, None),
        (ask(logprobs=0), Capabilities(), "logprobs"),
        (ask(tools=TOOL, tool_choice=ToolChoice("required")), Capabilities(), "tool_choice"),
        (ask(tools=TOOL, tool_choice=ToolChoice("required")), Capabilities(guided=True), None),
        (ask(tools=TOOL, tool_choice=ToolChoice("auto")), Capabilities(), "tools"),
        (ask(tools=TOOL, tool_choice=ToolChoice("none")), Capabilities(), None),
        (ask(tool_choice=ToolChoice("auto")), Capabilities(), None),
        (ask(repetition_penalty=1.0), Capabilities(), None),
        (ask(repetition_penalty=1.1), Capabilities(), "repetition_penalty"),
        (ask(seed=0), Capabilities(), "seed"),
        (ask(), Capabilities(), None),
    ],
)
def test_what_cannot_be_honoured_is_named(request_, capabilities, param):
    assert refused(request_, capabilities) == param


@pytest.mark.parametrize(
    ("request_", "lacking"),
    [
        (ask(), "resume"),
        (ask(), "tokens_in"),
        (ask(guided=Guided(json_object=True)), "resume_guided"),
        (ask(tools=TOOL, tool_choice=ToolChoice("named", "f")), "resume_guided"),
        (ask(presence_penalty=0.1), "resume_penalties"),
        (ask(guided=Guided(json_object=True), presence_penalty=0.1), "resume_penalties"),
    ],
)
def test_resumable_only_with_what_it_takes(request_, lacking):
    values = {name: getattr(FULL, name) for name in Capabilities.__slots__}
    assert resumable(request_, FULL)
    assert not resumable(request_, Capabilities(**values | {lacking: False}))


def test_min_tokens_can_be_rebuilt_for_one_choice_without_stop_strings():
    assert resumable(ask(min_tokens=3), FULL)
    assert resumable(ask(n=2, stop=("x",)), FULL)
    assert not resumable(ask(min_tokens=3, n=2), FULL)
    assert not resumable(ask(min_tokens=3, stop=("x",)), FULL)
