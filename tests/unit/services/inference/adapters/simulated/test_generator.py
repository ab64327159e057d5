from __future__ import annotations

import pytest

from libs.chat_template import pack
from services.inference.adapters.simulated.generator import Writer, choice_seed
from services.inference.adapters.simulated.protocol import Add

WORDS = list(range(100, 200))
EOS = 7


def add(output=(), **fields):
    given = {
        "key": 1, "prompt": pack([1, 2, 3]), "output": pack(output), "salt": "", "seed": 0, "max_tokens": 50,
        "min_tokens": 0, "ignore_eos": False, "stop_ids": [], "presence": 0.0, "frequency": 0.0, "repetition": 1.0,
        "bias": {}, "logprobs": -1, "script": None, "script_at": 0,
    }  # fmt: skip
    return Add(**{**given, **fields})


def write(eos_probability=0.0, words=WORDS, **fields):
    writer, outs = Writer(add(**fields), words, EOS, eos_probability), []
    while not outs or outs[-1].finish is None:
        outs.append(writer.next())
    return outs


def ids(outs):
    return [out.token for out in outs]


def test_tokens_are_a_function_of_prompt_output_and_seed():
    whole = ids(write())
    assert ids(write()) == whole
    assert ids(write(output=whole[:20], max_tokens=30)) == whole[20:]
    assert ids(write(prompt=pack([1, 2, 4]))) != whole
    assert ids(write(seed=1)) != whole


def test_a_wrong_token_before_changes_everything_after():
    whole = ids(write())
    assert ids(write(output=[*whole[:19], whole[19] + 1], max_tokens=30))[0] != whole[20]


def test_it_ends_at_max_tokens_or_at_eos():
    assert write(max_tokens=5)[-1].finish == "length"
    outs = write(eos_probability=0.2, max_tokens=500)
    assert (outs[-1].token, outs[-1].finish) == (EOS, "stop")
    assert len(outs) < 100


def test_ignore_eos_and_min_tokens_keep_it_going():
    assert len(write(eos_probability=1.0, ignore_eos=True, max_tokens=9)) == 9
    assert len(write(eos_probability=1.0, min_tokens=4)) == 5


def test_a_stop_token_ends_it_and_is_named():
    whole = ids(write())
    outs = write(stop_ids=[whole[6]])
    first = whole.index(whole[6])
    assert ids(outs) == whole[: first + 1]
    assert (outs[-1].finish, outs[-1].stop_token) == ("stop", whole[6])


def test_logprobs_are_deterministic_chosen_first_and_leave_the_tokens_alone():
    outs = write(logprobs=3)
    assert ids(outs) == ids(write())
    for out in outs:
        (token, value), *best = out.logprobs
        assert token == out.token
        assert len(best) == 3
        assert best == sorted(best, key=lambda pair: -pair[1])
        assert value == best[0][1] <= 0


def test_bias_forces_and_bans():
    assert set(ids(write(bias={42: 100.0}))) == {42}
    banned = ids(write())[0]
    assert ids(write(bias={banned: -100.0}))[0] != banned


@pytest.mark.parametrize("penalty", [{"presence": 5.0}, {"frequency": 5.0}, {"repetition": 9.0}])
def test_penalties_keep_few_words_from_repeating(penalty):
    few = WORDS[:6]
    plain, penalised = ids(write(words=few, max_tokens=6)), ids(write(words=few, max_tokens=6, **penalty))
    assert len(set(penalised)) > len(set(plain))


def test_a_script_is_written_and_then_ended():
    outs = write(script=[5, 6], logprobs=1)
    assert ids(outs) == [5, 6, EOS]
    assert outs[-1].finish == "stop"
    assert ids(write(script=[5, 6], script_at=1, output=[5])) == [6, EOS]


def test_choices_have_seeds_of_their_own():
    assert choice_seed(5, 0) == 5
    assert len({choice_seed(5, choice) for choice in range(9)}) == 9
