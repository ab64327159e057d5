"""A stream that was cut anywhere and continued elsewhere equals the stream that was never cut, in every field."""

from __future__ import annotations

import pytest
from headrace.common.v1 import turns_pb2 as common_pb
from headrace.inference.v1 import inference_pb2 as pb

from libs.testing.loop import run
from services.inference.domain.output.choice import ChoiceOutput
from tests.unit.services.inference.world import Joined, request, world

SCHEMA = '{"type":"object","properties":{"name":{"type":"string","minLength":9},"tags":{"type":"array","minItems":2}}}'
TOOL = common_pb.Tool(name="add", parameters_json='{"type":"object","properties":{"a":{"type":"integer"}}}')
NAMED = common_pb.ToolChoice(mode=common_pb.TOOL_MODE_NAMED, name="add")
REQUIRED = common_pb.ToolChoice(mode=common_pb.TOOL_MODE_REQUIRED)
CASES = {
    "plain": ({}, {}),
    "seeded": ({"seed": 77}, {}),
    "choices": ({"n": 2, "seed": 5}, {}),
    "logprobs": ({"logprobs": 3}, {}),
    "penalties": (
        {"presence_penalty": 0.9, "frequency_penalty": 0.4, "repetition_penalty": 1.3},
        {"engine": {"vocabulary_max": 6}},
    ),
    "ends": ({}, {"engine": {"eos_probability": 0.1}}),
    "stop token": ({"stop_token_ids": list(range(3, 600, 7))}, {}),
    "guided": ({}, {"guided": pb.Guided(json_schema=SCHEMA)}),
    "named tool": ({}, {"tools": [TOOL], "tool_choice": NAMED}),
    "required tool": ({}, {"tools": [TOOL], "tool_choice": REQUIRED}),
}


def pieces(case):
    sampling, rest = CASES[case]
    rest = dict(rest)
    return sampling, {"vocabulary": "all", **rest.pop("engine", {})}, rest


async def cut_everywhere(path, sampling, engine, rest, max_tokens=24):
    """[(whole answer, answer with a cut after the k-th response), …]"""
    n = sampling.get("n", 1)
    async with world(path, **engine) as here:
        whole = await here.generate(request("whole", max_tokens=max_tokens, sampling=sampling, **rest))
        found = []
        for k in range(1, len(whole)):
            joined = Joined(await here.generate(request(f"a{k}", max_tokens=max_tokens, sampling=sampling, **rest), k))
            resume = joined.resume(max_tokens, n)
            left = max_tokens if n > 1 else max_tokens - len(joined.ids[0])
            more = request(f"b{k}", max_tokens=left, sampling=sampling, resume=resume, epoch=1, **rest)
            for response in await here.generate(more):
                assert response.epoch == 1
                joined.add(response)
            found.append((Joined(whole), joined))
        return found


@pytest.mark.parametrize("case", CASES)
def test_a_cut_anywhere_does_not_show(tmp_path, case):
    sampling, engine, rest = pieces(case)
    found = run(cut_everywhere(tmp_path, sampling, engine, rest))
    assert found
    for whole, joined in found:
        assert joined.answer == whole.answer


def test_a_cut_inside_a_stop_string_does_not_show(tmp_path):
    async def scenario():
        async with world(tmp_path) as here:
            text = Joined(await here.generate(request("probe", max_tokens=24))).text[0]
        # From the middle of the text, over several tokens.
        return await cut_everywhere(tmp_path, {"stop": ["never seen", text[20:31]]}, {}, {}), text

    found, text = run(scenario())
    for whole, joined in found:
        assert joined.answer == whole.answer
        assert whole.text[0] == text[:20]
        assert whole.stop_reason[0] == text[20:31]
        assert whole.finish[0] == pb.FINISH_REASON_STOP


def test_text_that_was_lost_with_its_tokens_kept_is_sent_again(tmp_path):
    async def scenario():
        async with world(tmp_path) as here:
            whole = Joined(await here.generate(request("whole")))
            joined = Joined(await here.generate(request("cut"), 5))
            resume = joined.resume(12)
            resume.choices[0].text_sent -= 2
            joined.text[0] = joined.text[0][:-2]
            for response in await here.generate(request("more", max_tokens=7, resume=resume)):
                joined.add(response)
            return whole, joined

    whole, joined = run(scenario())
    assert joined.answer == whole.answer


@pytest.mark.parametrize("case", ["plain", "logprobs", "named tool"])
def test_without_the_replay_a_cut_shows(tmp_path, case, monkeypatch):
    monkeypatch.setattr(ChoiceOutput, "_replay", lambda _self, _resume: None)
    sampling, engine, rest = pieces(case)

    async def scenario():
        try:
            found = await cut_everywhere(tmp_path, sampling, engine, rest)
        except AssertionError:
            return False
        return all(joined.answer == whole.answer for whole, joined in found)

    assert not run(scenario())


def test_without_a_fed_grammar_a_guided_cut_shows(tmp_path):
    sampling, engine, rest = pieces("guided")
    found = run(cut_everywhere(tmp_path, sampling, {**engine, "resume_guided": False}, rest))
    assert any(joined.answer != whole.answer for whole, joined in found)


def test_penalties_count_resumed_tokens_as_output(tmp_path):
    async def scenario():
        async with world(tmp_path, vocabulary_max=4) as here:
            free = Joined(await here.generate(request("free", max_tokens=24)))
            penalised = Joined(await here.generate(request("tax", max_tokens=24, sampling={"presence_penalty": 2.0})))
            return free, penalised

    free, penalised = run(scenario())
    assert free.ids != penalised.ids


def test_a_choice_that_is_finished_gets_nothing_more(tmp_path):
    async def scenario():
        async with world(tmp_path, eos_probability=0.15) as here:
            sampling = {"n": 2, "seed": 3}
            whole = await here.generate(request("whole", max_tokens=24, sampling=sampling))
            ends = [i for i, response in enumerate(whole) if response.finish]
            assert len(ends) == 2
            assert ends[0] < len(whole) - 2, "the seed must end one choice well before the other"
            joined = Joined(whole[: ends[0] + 1])
            resume = joined.resume(24, 2)
            more = await here.generate(request("more", max_tokens=24, sampling=sampling, resume=resume))
            return Joined(whole), joined, whole[ends[0]].choice, more

    whole, joined, ended, more = run(scenario())
    assert all(response.choice != ended for response in more)
    for response in more:
        joined.add(response)
    assert joined.answer == whole.answer


def test_usage_counts_this_attempt(tmp_path):
    async def scenario():
        async with world(tmp_path) as here:
            joined = Joined(await here.generate(request("cut"), 5))
            return await here.generate(request("more", max_tokens=7, resume=joined.resume(12)))

    more = run(scenario())
    assert more[-1].usage.prompt_tokens == 40
    assert more[-1].usage.completion_tokens == 7
    assert [response.HasField("usage") for response in more] == [True, *[False] * 5, True]
