from __future__ import annotations

import asyncio
import json

import pytest
from headrace.common.v1 import turns_pb2 as common_pb
from headrace.inference.v1 import inference_pb2 as pb

from libs.block_hash import block_hashes, unpacked
from libs.chat_template import pack
from libs.errors import PlatformError, Reason
from libs.testing.loop import run
from services.inference.api import COUNT, DESCRIBE_MODEL, DRAIN, FETCH_TOKENIZER, GENERATE, RENDER, WATCH_STATE
from tests.unit.services.inference.world import PROMPT, TIMEOUT, Joined, request, tokenizer, world

TURNS = [common_pb.Turn(role=common_pb.ROLE_USER, text="hello")]


def scenario_of(path, work, **engine):
    async def scenario():
        async with world(path, **engine) as here:
            return await work(here)

    return run(scenario())


def refusal(path, asked, **engine):
    with pytest.raises(PlatformError) as caught:
        scenario_of(path, lambda here: here.generate(asked), **engine)
    return caught.value


def test_text_is_the_detokenised_ids_always(tmp_path):
    responses = scenario_of(tmp_path, lambda here: here.generate(request(max_tokens=200)), vocabulary="all")
    joined = Joined(responses)
    assert len(joined.ids[0]) == 200
    assert joined.text[0] == tokenizer().decode(joined.ids[0])
    assert any(not response.text for response in responses), "characters must have been cut for this test to count"


def test_packed_prompts_mean_the_same(tmp_path):
    async def both(here):
        packed = request("b")
        packed.tokens.CopyFrom(pb.TokenPrompt(packed=pack(PROMPT)))
        return Joined(await here.generate(request("a"))), Joined(await here.generate(packed))

    plain, packed = scenario_of(tmp_path, both)
    assert plain.answer == packed.answer


def test_usage_is_partial_first_and_whole_last(tmp_path):
    async def twice(here):
        await here.generate(request("a"))
        return await here.generate(request("b"))

    usages = Joined(scenario_of(tmp_path, twice, block_tokens=16)).usages
    assert [(u.prompt_tokens, u.completion_tokens, u.cached_tokens) for u in usages] == [(40, 0, 32), (40, 12, 32)]


def test_choices_differ_and_usage_comes_once(tmp_path):
    joined = Joined(scenario_of(tmp_path, lambda here: here.generate(request(sampling={"n": 3}))))
    assert len({tuple(ids) for ids in joined.ids.values()}) == 3
    assert joined.usages[-1].completion_tokens == 36
    assert len(joined.usages) == 2


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"model": "gpt-9"}, Reason.MODEL_NOT_FOUND),
        ({"model_digest": "other"}, Reason.WRONG_DIGEST),
        ({"prompt": [1] * 510}, Reason.CONTEXT_LENGTH_EXCEEDED),
        ({"prompt": [10**6]}, Reason.INVALID_REQUEST),
        ({"prompt": []}, Reason.INVALID_REQUEST),
        ({"request_id": ""}, Reason.INVALID_REQUEST),
        ({"max_tokens": 0}, Reason.INVALID_REQUEST),
        ({"adapter": "lora"}, Reason.UNSUPPORTED_PARAMETER),
        ({"sampling": {"logprobs": 99}}, Reason.UNSUPPORTED_PARAMETER),
        ({"sampling": {"logit_bias": {10**6: 1.0}}}, Reason.INVALID_REQUEST),
        ({"guided": pb.Guided(json_schema="{")}, Reason.INVALID_SCHEMA),
        ({"guided": pb.Guided(regex="a+")}, Reason.INVALID_SCHEMA),
    ],
)
def test_refusals_say_that_nothing_began(tmp_path, fields, reason):
    error = refusal(tmp_path, request(**fields))
    assert (error.reason, error.started) == (reason, False)


def test_turns_are_refused_by_a_token_engine(tmp_path):
    asked = request()
    asked.messages.turns.extend(TURNS)
    assert refusal(tmp_path, asked).param == "prompt"


def test_a_full_queue_refuses_with_a_time_to_come_back(tmp_path):
    async def work(here):
        streams = [here.channel.stream(GENERATE, request(f"r{i}"), timeout=TIMEOUT) for i in range(3)]
        results = await asyncio.gather(*(anext(s) for s in streams), return_exceptions=True)
        for stream in streams:
            stream.cancel()
        await asyncio.sleep(1)
        return results, here.engine.load()

    results, load = scenario_of(tmp_path, work, running_max=1, waiting_max=1, inter_token_ms=20)
    errors = [r for r in results if isinstance(r, PlatformError) and r.reason is Reason.OVERLOADED]
    assert len(errors) == 1
    assert errors[0].retry_after_seconds == 1.0
    assert not errors[0].started
    assert (load.running, load.waiting) == (0, 0)


def test_a_caller_that_leaves_frees_the_engine_within_the_tick(tmp_path):
    async def work(here):
        await here.generate(request(max_tokens=400), limit=3)
        return here.engine.load(), here.worker.activity.running

    load, running = scenario_of(tmp_path, work, inter_token_ms=20)
    assert (load.running, load.waiting, running) == (0, 0, 0)


def test_a_caller_that_leaves_before_the_first_token_does_too(tmp_path):
    async def work(here):
        stream = here.channel.stream(GENERATE, request(), timeout=TIMEOUT)
        await asyncio.sleep(0.1)
        before = here.engine.load()
        stream.cancel()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return before, here.engine.load()

    before, after = scenario_of(tmp_path, work, ttft_ms=5000)
    assert before.running + before.waiting == 1
    assert after.running + after.waiting == 0


def test_a_stop_string_aborts_the_engines_work(tmp_path):
    async def work(here):
        text = Joined(await here.generate(request("probe"))).text[0]
        responses = await here.generate(request("stop", max_tokens=400, sampling={"stop": [text[5:12]]}))
        return text, Joined(responses), here.engine.load()

    text, joined, load = scenario_of(tmp_path, work, inter_token_ms=20)
    assert joined.text[0] == text[:5]
    assert load.running == 0


def test_describe_model_says_what_is_served(tmp_path):
    described = scenario_of(tmp_path, lambda here: here.call(DESCRIBE_MODEL, pb.DescribeModelRequest()))
    assert (described.model, list(described.pools), described.engine) == ("tiny", ["small", "large"], "simulated")
    assert described.window_tokens == 512
    assert described.capabilities.resume == pb.RESUME_FORM_EXACT
    assert described.capabilities.logprobs_max == 20
    assert described.prefix_stability == pb.PREFIX_STABILITY_FULL
    assert len(described.model_digest) == len(described.tokenizer_digest) == 64


def test_tokenizer_files_come_in_order_and_whole(tmp_path):
    async def work(here):
        digest = (await here.call(DESCRIBE_MODEL, pb.DescribeModelRequest())).tokenizer_digest
        return await here.stream(FETCH_TOKENIZER, pb.FetchTokenizerRequest(tokenizer_digest=digest))

    files = {}
    for part in scenario_of(tmp_path, work):
        files[part.file] = files.get(part.file, b"") + part.part
        total = part.total_bytes
        assert len(part.part) <= 256 * 1024
    assert total == len(files["generation_config.json"])
    assert files["tokenizer.json"] == (tmp_path / "tokenizer.json").read_bytes()


def test_an_unknown_tokenizer_is_not_found(tmp_path):
    asked = pb.FetchTokenizerRequest(tokenizer_digest="other")
    with pytest.raises(PlatformError) as caught:
        scenario_of(tmp_path, lambda here: here.stream(FETCH_TOKENIZER, asked))
    assert caught.value.reason is Reason.NOT_FOUND


def test_render_and_count_agree(tmp_path):
    async def work(here):
        return await here.call(RENDER, pb.RenderRequest(turns=TURNS)), await here.call(
            COUNT, pb.CountRequest(turns=TURNS)
        )

    rendered, counted = scenario_of(tmp_path, work)
    assert rendered.text == "<|im_start|>user\nhello<|im_end|>\n<|im_start|>assistant\n"
    assert len(rendered.token_ids) == counted.tokens
    assert not counted.estimated


def test_tools_are_rendered_too(tmp_path):
    asked = pb.RenderRequest(turns=TURNS, tools=[common_pb.Tool(name="add", parameters_json="{}")])
    assert '"name": "add"' in scenario_of(tmp_path, lambda here: here.call(RENDER, asked)).text


def test_watchers_get_a_snapshot_and_then_a_beat(tmp_path):
    async def work(here):
        return await here.stream(WATCH_STATE, pb.WatchStateRequest(), limit=5), asyncio.get_running_loop().time()

    states, seconds = scenario_of(tmp_path, work)
    assert [s.snapshot for s in states] == [True, False, False, False, False]
    assert [s.sequence - states[0].sequence for s in states] == [0, 1, 2, 3, 4]
    assert all(s.healthy and not s.draining and s.boot_id == "b00t" for s in states)
    assert seconds <= 4 * 0.25


def blocks_after(states):
    """What a watcher knows after these messages, as a router takes them."""
    known = set()
    for state in states:
        known = set() if state.snapshot or state.cleared else known
        known -= set(unpacked(state.dropped).tolist())
        known |= set(unpacked(state.stored).tolist())
        assert len(known) == state.blocks_held
    return known


def test_watchers_hear_of_blocks_as_they_come_and_those_who_come_later_of_all(tmp_path):
    async def work(here):
        early = asyncio.create_task(here.stream(WATCH_STATE, pb.WatchStateRequest(), limit=8))
        await asyncio.sleep(0.05)
        joined = [Joined(await here.generate(request(f"r{salt}", cache_salt=salt))) for salt in ("a", "b")]
        late = await here.stream(WATCH_STATE, pb.WatchStateRequest(), limit=2)
        return await early, late, joined

    early, late, joined = scenario_of(tmp_path, work, block_tokens=8, inter_token_ms=20)
    expected = {
        key
        for salt, answer in zip("ab", joined, strict=True)
        for key in block_hashes(pack([*PROMPT, *answer.ids[0][:-1]]), 8, salt).tolist()
    }
    assert len(expected) == 12
    assert blocks_after(early) == blocks_after(late) == expected
    assert late[0].snapshot
    assert not late[1].stored


def test_a_dead_engine_holds_nothing(tmp_path):
    async def work(here):
        await here.generate(request(cache_salt="a"))
        before = await here.stream(WATCH_STATE, pb.WatchStateRequest(), limit=1)
        watch = asyncio.create_task(here.stream(WATCH_STATE, pb.WatchStateRequest(), limit=3))
        await asyncio.sleep(0.05)
        here.link.lose()
        return before, await watch

    before, after = scenario_of(tmp_path, work, block_tokens=8)
    assert blocks_after(before)
    assert not blocks_after(after)
    assert any(state.cleared for state in after)


def test_watchers_hear_how_long_calls_waited(tmp_path):
    async def work(here):
        calls = [asyncio.create_task(here.generate(request(f"r{number}"))) for number in range(3)]
        await asyncio.gather(*calls)
        return await here.stream(WATCH_STATE, pb.WatchStateRequest(), limit=1)

    (state,) = scenario_of(tmp_path, work, running_max=1, inter_token_ms=100)
    assert 1000 < state.queue_ms < 1400, "the waits were 0, 1.2 and 2.4 s"


def test_a_watcher_that_missed_nothing_gets_no_snapshot(tmp_path):
    async def work(here):
        await asyncio.sleep(0)
        known = here.worker.board.state.sequence
        asked = pb.WatchStateRequest(after_sequence=known, boot_id="b00t")
        return known, await here.stream(WATCH_STATE, asked, limit=1)

    known, (first,) = scenario_of(tmp_path, work)
    assert (first.sequence, first.snapshot) == (known + 1, False)


def test_a_drain_refuses_new_work_tells_watchers_at_once_and_lets_streams_finish(tmp_path):
    async def work(here):
        loop = asyncio.get_running_loop()
        running = asyncio.create_task(here.generate(request("runs")))
        watch = asyncio.create_task(here.stream(WATCH_STATE, pb.WatchStateRequest(), limit=4))
        await asyncio.sleep(0.41)
        began = loop.time()
        answer = await here.call(DRAIN, pb.DrainRequest(grace_ms=60_000))
        with pytest.raises(PlatformError) as caught:
            await here.generate(request("late"))
        states = await watch
        told = loop.time() - began
        return answer, caught.value, states, told, Joined(await running)

    answer, error, states, told, joined = scenario_of(tmp_path, work, inter_token_ms=100)
    assert answer.running == 1
    assert (error.reason, error.started) == (Reason.DRAINING, False)
    assert states[-1].draining
    assert told < 0.05, "not only with the next beat"
    assert len(joined.ids[0]) == 12


def test_a_silent_engine_is_unhealthy_until_it_moves(tmp_path):
    async def work(here):
        stream = here.channel.stream(GENERATE, request(max_tokens=400), timeout=TIMEOUT)
        await anext(stream)
        here.link.frozen = True
        await asyncio.sleep(4.0)
        still = here.worker.board.healthy
        await asyncio.sleep(2.0)
        silent = here.worker.board.healthy
        here.link.frozen = False
        await asyncio.sleep(0.5)
        back = here.worker.board.healthy
        stream.cancel()
        await asyncio.sleep(0)
        return still, silent, back

    assert scenario_of(tmp_path, work, inter_token_ms=100, stall_seconds=5.0) == (True, False, True)


def test_a_dead_engine_ends_streams_refuses_work_and_is_told(tmp_path):
    async def work(here):
        stream = here.channel.stream(GENERATE, request(max_tokens=400), timeout=TIMEOUT)
        await anext(stream)
        here.link.lose()
        with pytest.raises(PlatformError) as running:
            while True:
                await anext(stream)
        with pytest.raises(PlatformError) as fresh:
            await here.generate(request("late"))
        return running.value, fresh.value, here.deaths

    running, fresh, deaths = scenario_of(tmp_path, work, inter_token_ms=100)
    assert (running.reason, running.started) == (Reason.ENGINE_DEAD, True)
    assert (fresh.reason, fresh.started) == (Reason.ENGINE_DEAD, False)
    assert len(deaths) == 1


@pytest.mark.parametrize("mode", [common_pb.TOOL_MODE_REQUIRED, common_pb.TOOL_MODE_NAMED])
def test_a_forced_call_without_tools_is_refused(tmp_path, mode):
    error = refusal(tmp_path, request(tool_choice=common_pb.ToolChoice(mode=mode, name="f")))
    assert (error.reason, error.param) == (Reason.INVALID_REQUEST, "tool_choice")


def test_a_forced_call_streams_one_call_with_a_stable_id(tmp_path):
    tool = common_pb.Tool(name="add", parameters_json='{"type":"object","properties":{"a":{"type":"integer"}}}')
    asked = {"tools": [tool], "tool_choice": common_pb.ToolChoice(mode=common_pb.TOOL_MODE_NAMED, name="add")}

    async def twice(here):
        first = await here.generate(request("a", max_tokens=99, **asked))
        return Joined(first), Joined(await here.generate(request("b", max_tokens=99, **asked)))

    one, two = scenario_of(tmp_path, twice)
    call_id, name, arguments = one.arguments[0][0]
    assert (name, one.finish[0]) == ("add", pb.FINISH_REASON_TOOL_CALLS)
    assert json.loads(arguments).keys() == {"a"}
    assert two.arguments[0][0][0] == call_id, "derived from call_seed, which both attempts share"
