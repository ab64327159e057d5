from __future__ import annotations

import math
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.router.domain.classifier import Classifier, Judgement, TurnFacts
from services.router.domain.classifier.adjust import ADJUSTMENT_MAX

EASY = (
    "What is the capital of France?",
    "thanks, that worked",
    "Translate 'good night' into Italian.",
    "Read the file and tell me the version.",
)
HARD = (
    (
        "Our payment service loses one message in ten thousand when a broker restarts. Compare the timelines of the "
        "three logs, find the race, and propose a fix that keeps exactly-once semantics without halving the throughput."
    ),
    (
        "Prove that the algorithm terminates for every input and derive a tight bound on its amortised running time, "
        "then construct an adversarial sequence that shows that the bound cannot be improved."
    ),
    (
        "Design the migration of a bank's ledger to another database without downtime; weigh three strategies, state "
        "the assumptions of each, and say which failure each of them does not survive."
    ),
)


@cache
def bundled() -> Classifier:
    return Classifier.load()


def judge(text: str, **facts: object) -> Judgement:
    return bundled().judge(TurnFacts(text=text, **facts))


@pytest.mark.parametrize("text", EASY)
def test_easy_turns_are_the_small_tiers(text: str):
    judged = judge(text)
    assert not judged.unsure
    assert judged.score < 0.5
    assert judged.small_probability > 0.75


@pytest.mark.parametrize("text", HARD)
def test_hard_turns_are_the_large_tiers_and_say_why(text: str):
    judged = judge(text)
    assert not judged.unsure
    assert judged.score > 0.5
    assert judged.small_probability < 0.65
    assert any(pull > 0 for _, pull in judged.features)


@pytest.mark.parametrize(
    "text", ["", "   \n", "你好请问法国的首都是哪里", "<system-reminder>do it</system-reminder>", "?!… 🙂"]
)
def test_where_nothing_speaks_it_is_unsure_and_not_small(text: str):
    judged = judge(text)
    assert judged.unsure
    assert judged.small_probability is None
    assert judged.score == 0.5


@pytest.mark.parametrize(
    "text",
    [
        "aGVsbG8gd29ybGQgdGhpcyBpcyBiYXNlNjQ= d2hhdCBkbyB5b3UgdGhpbms=",
        "3 + 4 = ? 7 - 2 = ? 8 * 9 = ? 1 / 3 = ? () [] {} ;; :: -- ++ == // ## $$ %% ^^ && ** ((( )))",
    ],
)
def test_text_that_is_hardly_english_is_unsure(text: str):
    assert judge(text).unsure


def test_a_text_that_is_usual_in_every_respect_is_unsure():
    # A word problem close to the mean of those it learned from.
    text = (
        "A train leaves at 60 mph and another one, twice as fast, leaves two hours later; if they are 500 miles apart, "
    )
    judged = judge(text + "when do they meet and how far from the middle?")
    assert judged.unsure
    assert judged.small_probability is not None


def test_what_a_harness_wraps_around_a_request_changes_nothing():
    wrapped = f"<system-reminder>\nProve everything. {HARD[0]}\n</system-reminder>\n{EASY[0]}"
    assert judge(wrapped) == judge(EASY[0])


@pytest.mark.parametrize(
    ("facts", "name"),
    [
        ({"tools": 3, "tool_depth": 4, "tool_errors": 2}, "tool errors"),
        ({"tools": 3, "tool_depth": 4, "repeats": 3}, "repeated calls"),
        ({"context_characters": 400_000}, "context"),
        ({"tools": 40}, "tools on offer"),
    ],
)
def test_facts_of_the_turn_speak_for_the_large_tier_by_name(facts: dict, name: str):
    plain, judged = judge(EASY[0]), judge(EASY[0], **facts)
    assert judged.score > plain.score
    assert judged.small_probability < plain.small_probability
    assert dict(judged.features)[name] > 0


def test_a_schema_speaks_for_the_small_tier():
    assert judge(HARD[0], structured=True).score < judge(HARD[0]).score


def test_facts_never_outweigh_a_text_by_more_than_their_bound():
    worst = {"tools": 10_000, "tool_depth": 10_000, "tool_errors": 99, "repeats": 99, "context_characters": 10**9}

    def logit(score: float) -> float:
        return math.log(score / (1 - score))

    assert logit(judge(EASY[0], **worst).score) - logit(judge(EASY[0]).score) == pytest.approx(ADJUSTMENT_MAX, abs=1e-5)


def test_facts_alone_lean_a_turn_without_text():
    judged = judge("", tools=5, tool_depth=6, tool_errors=3, repeats=3)
    assert judged.unsure
    assert judged.score > 0.8


def test_score_is_that_of_the_text_alone():
    assert all(bundled().score(text) == judge(text).score for text in (*EASY, *HARD))


def test_scores_of_different_texts_differ():
    scores = {bundled().score(f"What is the capital of {name}?") for name in ("France", "Peru", "Chad", "Oman", "Fiji")}
    assert len(scores) == 5


def test_features_are_named_without_a_word_of_the_text():
    text = "zebra xylophone quokka " * 10
    names = {name for name, _ in judge(text).features}
    assert names
    assert not any(word in name for name in names for word in text.split())


@settings(max_examples=200)
@given(st.text(max_size=400))
def test_any_text_is_judged_within_bounds(text: str):
    judged = judge(text)
    assert 0 < judged.score < 1
    assert judged.unsure or judged.small_probability is not None
    assert judged.small_probability is None or 0 < judged.small_probability < 1
    assert [abs(pull) for _, pull in judged.features] == sorted(
        (abs(pull) for _, pull in judged.features), reverse=True
    )
