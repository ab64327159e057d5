from __future__ import annotations

from libs.chat_template import pack
from services.inference.adapters.simulated.protocol import Add, Start
from services.inference.adapters.simulated.scheduler import Scheduler


def engine(**fields):
    given = {
        "words": b"", "eos": 1, "eos_probability": 0.0, "ttft": 0.0, "inter_token": 0.0, "prefill_per_token": 0.0,
        "block_tokens": 4, "blocks": 100, "running_max": 8,
    }  # fmt: skip
    return Scheduler(Start(**{**given, **fields}), list(range(50, 90)))


def add(key, tokens=9, max_tokens=4, salt="", first=0):
    prompt = pack(range(first, first + tokens))
    return Add(key, prompt, b"", salt, 0, max_tokens, 0, False, [], 0.0, 0.0, 1.0, {}, -1, None, 0)  # noqa: FBT003


def drive(scheduler, now=0.0):
    """All outs by key, until nothing runs."""
    outs = {}
    while scheduler.busy:
        for out in scheduler.step(now).outs:
            outs.setdefault(out.key, []).append(out)
        now += 1.0
    return outs


def test_a_step_brings_a_token_for_every_running_request():
    scheduler = engine()
    scheduler.add(add(1), 0.0)
    scheduler.add(add(2), 0.0)
    assert [out.key for out in scheduler.step(0.0).outs] == [1, 2]


def test_first_tokens_come_first():
    scheduler = engine()
    scheduler.add(add(1), 0.0)
    scheduler.step(0.0)
    scheduler.add(add(2), 0.0)
    assert [out.key for out in scheduler.step(1.0).outs] == [2, 1]
    assert [out.key for out in scheduler.step(2.0).outs] == [1, 2]


def test_the_prefix_is_found_in_full_blocks_and_never_the_last_token():
    scheduler = engine()
    scheduler.add(add(1, tokens=9), 0.0)
    first = drive(scheduler)[1][0].cached
    scheduler.add(add(2, tokens=9), 0.0)
    second = drive(scheduler)[2][0].cached
    scheduler.add(add(3, tokens=8), 0.0)
    third = drive(scheduler)[3][0].cached
    assert (first, second, third) == (0, 8, 4)


def test_answers_are_found_too_by_the_next_turn():
    scheduler = engine()
    scheduler.add(add(1, tokens=8, max_tokens=5), 0.0)
    tokens = [out.token for out in drive(scheduler)[1]]
    following = add(2)
    following.prompt = pack([*range(8), *tokens, 3])
    scheduler.add(following, 0.0)
    assert drive(scheduler)[2][0].cached == 12


def test_tenants_do_not_share():
    scheduler = engine()
    scheduler.add(add(1, salt="a"), 0.0)
    drive(scheduler)
    scheduler.add(add(2, salt="b"), 0.0)
    assert drive(scheduler)[2][0].cached == 0


def test_cached_tokens_cost_no_prefill():
    scheduler = engine(prefill_per_token=1.0, ttft=0.5)
    scheduler.add(add(1), 0.0)
    assert scheduler.step(0.0).outs == []
    assert scheduler.due(0.0) == 9.5
    assert scheduler.step(9.5).outs
    scheduler.abort(1)
    scheduler.add(add(2), 10.0)
    scheduler.step(10.0)
    assert scheduler.due(10.0) == 11.5


def test_beyond_running_max_requests_wait_and_say_how_long():
    scheduler = engine(running_max=1)
    scheduler.add(add(1), 0.0)
    scheduler.add(add(2), 0.0)
    step = scheduler.step(0.0)
    assert (step.running, step.waiting) == (1, 1)
    outs = drive(scheduler, now=1.0)
    assert outs[2][0].queue_seconds > 0
    assert [o.queue_seconds for o in outs[2][1:]] == [0.0] * 3


def test_when_blocks_run_out_the_youngest_gives_way_and_still_writes_the_same():
    alone = engine()
    alone.add(add(2, first=40, max_tokens=30), 0.0)
    expected = [out.token for out in drive(alone)[2]]
    tight = engine(blocks=12)
    tight.add(add(1, max_tokens=30), 0.0)
    tight.add(add(2, first=40, max_tokens=30), 0.0)
    outs = drive(tight)
    assert len(outs[1]) == 30
    assert [out.token for out in outs[2]] == expected
    assert sum(out.cached >= 0 for out in outs[2]) == 1


def test_an_abort_frees_blocks_wherever_the_request_is():
    scheduler = engine(running_max=1)
    scheduler.add(add(1), 0.0)
    scheduler.add(add(2), 0.0)
    scheduler.step(0.0)
    for key in (1, 2, 3):
        scheduler.abort(key)
    assert not scheduler.busy
    assert scheduler.step(1.0).kv_use == 0.0
