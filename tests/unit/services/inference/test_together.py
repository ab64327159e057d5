"""Steps that arrive together become one delta per choice, and the answer does not show it."""

from __future__ import annotations

import asyncio

import pytest
from headrace.inference.v1 import inference_pb2 as pb

from libs.testing.loop import run
from services.inference.api import GENERATE
from tests.unit.services.inference.test_resume import CASES, pieces
from tests.unit.services.inference.world import Joined, request, world


async def answers(path, together, engine, *requests):
    """Of each request, all responses, with so many engine steps in one read."""
    async with world(path, **engine) as here:
        here.link.together = together
        return [await here.generate(one) for one in requests]


def usage(responses):
    found = responses[-1].usage
    return found.prompt_tokens, found.completion_tokens, found.cached_tokens, found.reasoning_tokens


@pytest.mark.parametrize("together", [2, 3, 1000])
@pytest.mark.parametrize("case", [*CASES, "stop string"])
def test_the_answer_is_the_same(tmp_path, case, together):
    sampling, engine, rest = ({"stop": ["ill", "he w"], "min_tokens": 3}, {}, {}) if case not in CASES else pieces(case)
    asked = request("r", max_tokens=24, sampling=sampling, **rest)
    (one_by_one,) = run(answers(tmp_path / "a", 1, engine, asked))
    (joined,) = run(answers(tmp_path / "b", together, engine, asked))
    assert Joined(joined).answer == Joined(one_by_one).answer
    assert usage(joined) == usage(one_by_one)
    assert [response.HasField("usage") for response in joined[1:-1]] == [False] * (len(joined) - 2)


def test_what_arrives_together_is_one_delta_per_choice(tmp_path):
    asked = request("r", max_tokens=12, sampling={"n": 2})
    (responses,) = run(answers(tmp_path, 4, {}, asked))
    assert [(r.choice, r.first_index, len(r.token_ids)) for r in responses] == [
        (choice, index, 4) for index in (0, 4, 8) for choice in (0, 1)
    ]
    assert [bool(r.finish) for r in responses] == [False] * 4 + [True] * 2


def test_one_step_per_read_stays_one_token_per_delta(tmp_path):
    (responses,) = run(answers(tmp_path, 1, {}, request("r", max_tokens=5)))
    assert [len(r.token_ids) for r in responses] == [1] * 5


@pytest.mark.parametrize(("kind", "tokens"), [("die", 2), ("hang", 2)])
def test_a_fault_strikes_at_its_token(tmp_path, kind, tokens):
    async def scenario():
        async with world(tmp_path, fault=f"{kind}@3") as here:
            here.link.together = 1000
            stream = here.channel.stream(GENERATE, request("r", max_tokens=8), timeout=60.0)
            found = [await anext(stream) for _ in range(tokens)]
            await asyncio.sleep(1)
            stream.cancel()
            await asyncio.sleep(0)
            return found, here.exits

    found, exits = run(scenario())
    assert sum(len(r.token_ids) for r in found) == tokens
    assert (exits[:1] == [137]) == (kind == "die")


def test_a_slow_call_is_late_and_whole(tmp_path):
    engine = {"faults_by_session": True}
    fast, slow = run(answers(tmp_path, 5, engine, request("f"), request("s", session="fault:slow@3:500")))
    assert Joined(slow).answer == Joined(fast).answer
    assert pb.FINISH_REASON_LENGTH in Joined(slow).finish.values()
