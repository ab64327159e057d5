import pytest
from fake_backend import FakeSandbox

from libs.errors import PlatformError, Reason
from services.inference.adapters.vllm.grammar import Grammars
from services.inference.domain.request import Guided


def _schema(number):
    return Guided(json_schema=f'{{"const": {number}}}')


def test_any_object_needs_no_trial():
    assert Grammars(FakeSandbox(), 100).known(Guided(json_object=True))


def test_what_is_too_long_is_refused_before_anything_reads_it():
    sandbox = FakeSandbox()
    with pytest.raises(PlatformError) as refused:
        Grammars(sandbox, 10).known(Guided(regex="é" * 6))
    assert refused.value.reason is Reason.INVALID_SCHEMA
    assert sandbox.asked == []


def test_verdicts_are_remembered_by_kind_and_forgotten_by_age():
    grammars = Grammars(FakeSandbox(), 100)
    grammars.learn(Guided(regex="a"), None)
    assert grammars.known(Guided(regex="a"))
    assert not grammars.known(Guided(json_schema="a"))
    for number in range(1024):
        grammars.learn(_schema(number), None)
        if number:
            assert grammars.known(_schema(0))
    assert grammars.known(_schema(1023))
    assert not grammars.known(Guided(regex="a"))


def test_a_refusal_is_raised_when_learnt_and_every_time_after():
    grammars = Grammars(FakeSandbox(), 100)
    with pytest.raises(PlatformError, match="bad"):
        grammars.learn(_schema(1), "bad")
    with pytest.raises(PlatformError, match="bad"):
        grammars.known(_schema(1))
