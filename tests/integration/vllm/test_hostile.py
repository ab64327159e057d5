"""No single request may take the engine down: each ends in words or in tokens, and the next one is answered."""

import json
import math

import pytest
from harness import STORY, resumed

from libs.errors import PlatformError, Reason
from services.inference.domain.request import Guided

VOCAB = 49152
BAD = Reason.INVALID_REQUEST

REFUSED = {
    "bias out of vocabulary": ({"logit_bias": {VOCAB: 1.0}}, BAD),
    "bias far out": ({"logit_bias": {2**31 - 1: 1.0}}, BAD),
    "bias not a number": ({"logit_bias": {5: math.nan}}, BAD),
    "bias infinite": ({"logit_bias": {5: math.inf}}, BAD),
    "stop token out of vocabulary": ({"stop_token_ids": (VOCAB,)}, BAD),
    "huge logprobs": ({"logprobs": 100_000}, BAD),
    "huge n": ({"n": 1_000_000}, BAD),
    "temperature nan": ({"temperature": math.nan}, BAD),
    "temperature infinite": ({"temperature": math.inf}, BAD),
    "temperature negative": ({"temperature": -1.0}, BAD),
    "top_p zero": ({"top_p": 0.0}, BAD),
    "top_p nan": ({"top_p": math.nan}, BAD),
    "min_p above one": ({"min_p": 1.5}, BAD),
    "top_k below": ({"top_k": -5}, BAD),
    "min_tokens above max_tokens": ({"min_tokens": 20, "max_tokens": 10}, BAD),
    "no tokens": ({"max_tokens": 0}, BAD),
    "penalty nan": ({"presence_penalty": math.nan}, BAD),
    "repetition infinite": ({"repetition_penalty": math.inf}, BAD),
    "repetition zero": ({"repetition_penalty": 0.0}, BAD),
    "empty prompt": ({"prompt": []}, BAD),
    "prompt token out of vocabulary": ({"prompt": [1, VOCAB]}, BAD),
    "prompt token negative": ({"prompt": [1, -1]}, BAD),
    "prompt over the window": ({"prompt": [1] * 2048}, Reason.CONTEXT_LENGTH_EXCEEDED),
    "resume over the window": ({"prompt": [1] * 1024, "resume": [resumed([5] * 1024)]}, Reason.CONTEXT_LENGTH_EXCEEDED),
    "resume out of vocabulary": ({"resume": [resumed([VOCAB])]}, BAD),
    "unknown adapter": ({"adapter": "../../etc"}, Reason.MODEL_NOT_FOUND),
    "grammar with min_tokens": ({"guided": Guided(regex="a"), "min_tokens": 5}, Reason.UNSUPPORTED_PARAMETER),
}

ANSWERED = {
    "extreme top_k": {"top_k": 2**31 - 1},
    "temperature tiny": {"temperature": 1e-30},
    "temperature largest": {"temperature": 2.0, "min_p": 1.0},
    "all penalties": {"presence_penalty": 2.0, "frequency_penalty": -2.0, "repetition_penalty": 10.0},
    "biases at their ends": {"logit_bias": {i: -100.0 if i % 2 else 100.0 for i in range(1000)}},
    "seed lowest": {"seed": -(2**63)},
    "seed highest": {"seed": 2**63 - 1},
    "every logprob allowed": {"logprobs": 20},
    "stop on many": {"stop_token_ids": tuple(range(256))},
    "prompt of one token repeated": {"prompt": [0] * 2047, "max_tokens": 100},
    "end forbidden": {"min_tokens": 16, "max_tokens": 16, "logit_bias": {2: 100.0}},
    "grammar and bias against it": {"guided": Guided(regex="(yes|no)"), "logit_bias": {2: -100.0}},
    "grammar and its brace as a stop token": {"guided": Guided(json_object=True), "stop_token_ids": (107, 7, 92)},
    "empty regex": {"guided": Guided(regex="")},
    "resumed after the end of its grammar": {"guided": Guided(regex="a"), "resume": [resumed([81])]},
}


def _deep(levels):
    return '{"a":' * levels + '{"type":"string"}' + "}" * levels


UNCOMPILABLE = {
    "not JSON": "{",
    "not an object": "[1]",
    "unknown type": '{"type": "banana"}',
    "nothing allowed": '{"enum": []}',
    "unsatisfiable": '{"type": "integer", "minimum": 5, "maximum": 3}',
    "out of int64": '{"type": "integer", "minimum": -1e40}',
    "cannot be guaranteed": '{"type": "integer", "multipleOf": 3}',
    "too deep": _deep(200),
    "deeper than Python": _deep(5000),
    "lookbehind": json.dumps({"type": "string", "pattern": "(?<=x)y"}),
    "unclosed": json.dumps({"type": "string", "pattern": "["}),
    "explodes": json.dumps({"type": "string", "pattern": ".*" * 2000}),
    "too long": json.dumps({"enum": [f"value {i}" for i in range(10_000)]}),
}


def _still_answers(engine):
    assert engine.ask(temperature=0.0, max_tokens=2).finish() == "length"
    assert engine.engine.load().healthy


@pytest.mark.parametrize("name", REFUSED)
def test_refused_with_words_before_the_engine_sees_it(engine, name):
    arguments, reason = REFUSED[name]
    with pytest.raises(PlatformError) as refused:
        engine.ask(**arguments)
    assert (refused.value.reason, refused.value.started) == (reason, False)
    assert refused.value.param
    assert engine.engine.load().running + engine.engine.load().waiting == 0


@pytest.mark.parametrize("name", ANSWERED)
def test_odd_but_allowed(engine, name):
    sink = engine.ask(**ANSWERED[name])
    assert sink.error is None or isinstance(sink.error, PlatformError)
    assert sink.error or sink.finish()
    _still_answers(engine)


@pytest.mark.parametrize("name", UNCOMPILABLE)
def test_a_schema_that_cannot_compile_is_refused_and_kills_nothing(engine, name):
    for _ in range(2):  # the second time the verdict is remembered
        try:
            error = engine.ask(guided=Guided(json_schema=UNCOMPILABLE[name])).error
        except PlatformError as raised:
            error = raised
        assert isinstance(error, PlatformError)
        assert error.reason is Reason.INVALID_SCHEMA
        assert "/project/" not in error.message
    _still_answers(engine)


def test_a_resume_that_does_not_fit_its_grammar_fails_alone(engine):
    sink = engine.ask(guided=Guided(regex="(yes|no)"), resume=[resumed(STORY)])
    assert isinstance(sink.error, PlatformError)
    _still_answers(engine)


def test_a_request_id_in_use_is_refused(engine):
    from harness import Sink, work

    async def scenario():
        engine.engine.submit(work(request_id="twice", max_tokens=200, ignore_eos=True), Sink())
        with pytest.raises(PlatformError):
            engine.engine.submit(work(request_id="twice"), Sink())
        engine.engine.abort("twice")
        engine.engine.abort("twice")
        engine.engine.abort("never there")

    engine.run(scenario())
    _still_answers(engine)
