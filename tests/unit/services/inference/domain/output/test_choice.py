from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.inference.domain.output.choice import ChoiceOutput
from services.inference.domain.output.parser import Parsed, PlainParser, ToolPiece
from services.inference.domain.output.stop import StopMatcher
from services.inference.domain.output.tokens import Step, TokenLogprobs
from services.inference.domain.request import ResumeChoice

TEXTS = {1: "one ", 2: "two ", 3: "three ", 4: "<think>", 5: "</think>", 9: "EOS"}


class Words:
    def feed(self, token):
        return TEXTS[token]

    def finish(self):
        return ""


class Thinking(PlainParser):
    """Text up to </think> is reasoning; "three" is a tool call."""

    def __init__(self):
        self.inside, self.called, self.reasoning_tokens = True, False, 0

    def feed(self, text, token_ids):
        if self.inside:
            self.reasoning_tokens += len(token_ids)
            before, end, after = text.partition("</think>")
            self.inside = not end
            return Parsed(content=after, reasoning=before)
        if "three" in text:
            self.called = True
            return Parsed(tool_calls=[ToolPiece(0, "call_1", "f", "{}")])
        return Parsed(content=text)

    def finish(self):
        return Parsed(content="!")


def made(**options):
    return ChoiceOutput(0, Words(), **options)


def test_a_token_gives_its_text_and_index():
    choice = made()
    first, second = choice.feed(Step(0, (1,))), choice.feed(Step(0, (2, 3)))
    assert [(d.first_index, list(d.token_ids), d.text) for d in first + second] == [
        (0, [1], "one "),
        (1, [2, 3], "two three "),
    ]


def test_the_token_that_stops_is_no_text():
    (delta,) = made().feed(Step(0, (1, 9), "stop", stop_token=9))
    assert (delta.text, list(delta.token_ids), delta.finish, delta.stop_reason) == ("one ", [1, 9], "stop", "9")


def test_a_length_end_keeps_its_last_token():
    (delta,) = made().feed(Step(0, (1,), "length"))
    assert (delta.text, delta.finish) == ("one ", "length")


def test_a_stop_string_ends_the_choice_and_drops_later_tokens_of_the_step():
    logprobs = [TokenLogprobs([(i, b"", -1.0)]) for i in (1, 2, 3)]
    choice = made(matcher=StopMatcher(["wo"]))
    (delta,) = choice.feed(Step(0, (1, 2, 3), logprobs=logprobs))
    assert (delta.text, list(delta.token_ids), delta.finish, delta.stop_reason) == ("one t", [1, 2], "stop", "wo")
    assert len(delta.logprobs) == 2
    assert choice.stopped_by_text
    assert choice.feed(Step(0, (3,))) == []


def test_text_held_for_a_stop_string_comes_with_the_end():
    choice = made(matcher=StopMatcher(["two four"]))
    assert choice.feed(Step(0, (2,)))[0].text == ""
    assert choice.feed(Step(0, (3,), "length"))[0].text == "two three "


def test_stop_strings_wait_for_min_tokens():
    choice = made(matcher=StopMatcher(["one"]), min_tokens=2)
    texts = [choice.feed(Step(0, (token,)))[0].text for token in (1, 1, 1)]
    assert texts == ["one ", "one ", ""]


def test_reasoning_goes_before_content_and_the_tokens_with_the_last():
    choice = made(parser=Thinking())
    reasoning, content = choice.feed(Step(0, (1, 5, 2)))
    assert (reasoning.is_reasoning, reasoning.text, list(reasoning.token_ids)) == (True, "one ", [])
    assert (content.is_reasoning, content.text, list(content.token_ids)) == (False, "two ", [1, 5, 2])
    assert choice.reasoning_tokens == 2


def test_a_stop_after_a_tool_call_reads_tool_calls():
    choice = made(parser=Thinking())
    choice.feed(Step(0, (5,)))
    (delta,) = choice.feed(Step(0, (3, 9), "stop"))
    assert delta.finish == "tool_calls"
    assert delta.tool_calls[0].name == "f"
    assert delta.text == "!"


def resumed(tokens, sent, reasoning=0, **options):
    return made(resume=ResumeChoice(0, tuple(tokens), sent, reasoning), **options)


def test_resume_goes_on_with_index_and_text():
    (delta,) = resumed([1, 2], 8).feed(Step(0, (3,)))
    assert (delta.first_index, delta.text) == (2, "three ")


def test_resume_sends_what_the_caller_lacks_and_drops_what_it_has():
    assert resumed([1, 2], 5).feed(Step(0, (3,)))[0].text == "wo three "
    assert resumed([1], 6).feed(Step(0, (2,)))[0].text == "o "


def test_resume_restores_the_parser():
    choice = resumed([1, 5], 0, 4, parser=Thinking())
    (delta,) = choice.feed(Step(0, (2,)))
    assert (delta.is_reasoning, delta.text) == (False, "two ")


def test_a_resume_that_holds_the_stop_string_is_at_its_end():
    choice = resumed([1, 2], 4, matcher=StopMatcher(["two"]))
    assert choice.finish == "stop"
    end = choice.resumed_end()
    assert (end.finish, end.stop_reason, end.text, end.first_index) == ("stop", "two", "", 2)
    assert resumed([1], 4).resumed_end() is None


STAGES = {
    "plain": dict,
    "stop string": lambda: {"matcher": StopMatcher(["two three", "three t"])},
    "stop string after min_tokens": lambda: {"matcher": StopMatcher(["one"]), "min_tokens": 3},
    "parser": lambda: {"parser": Thinking()},
    "parser and stop string": lambda: {"parser": Thinking(), "matcher": StopMatcher(["two one"])},
    "resumed": lambda: {"resume": ResumeChoice(0, (1, 2), 5, 0)},
}


def whole(choice, steps):
    """All that a caller has of a choice in the end."""
    content, reasoning, ids, logprobs, calls, end = "", "", [], [], [], None
    for step in steps:
        for delta in choice.feed(step):
            content, reasoning = (
                content + delta.text * (not delta.is_reasoning),
                reasoning + delta.text * delta.is_reasoning,
            )
            assert not delta.token_ids or delta.first_index == choice.tokens - len(delta.token_ids)
            ids += delta.token_ids
            logprobs += delta.logprobs
            calls += delta.tool_calls
            end = end or (delta.finish and (delta.finish, delta.stop_reason))
    return content, reasoning, ids, logprobs, calls, end, choice.tokens, choice.reasoning_tokens


@given(st.data(), st.sampled_from(sorted(STAGES)))
def test_however_tokens_are_joined_to_steps_the_outcome_is_the_same(data, stages):
    tokens = data.draw(st.lists(st.sampled_from([1, 2, 3, 4, 5]), min_size=1, max_size=12))
    finish = data.draw(st.sampled_from([None, "stop", "length"]))
    cuts = sorted(data.draw(st.sets(st.integers(1, len(tokens)))) | {len(tokens)})
    logprobs = [TokenLogprobs([(token, b"", -1.0)]) for token in tokens]

    def steps(ends):
        begins = [0, *ends[:-1]]
        return [
            Step(0, tokens[begin:end], finish if end == len(tokens) else None, logprobs[begin:end])
            for begin, end in zip(begins, ends, strict=True)
        ]

    one_by_one = whole(made(**STAGES[stages]()), steps(range(1, len(tokens) + 1)))
    assert whole(made(**STAGES[stages]()), steps(cuts)) == one_by_one


@given(st.lists(st.lists(st.sampled_from([1, 2, 3]), min_size=1, max_size=4), min_size=1))
def test_what_a_plain_choice_takes_is_what_it_would_feed(runs):
    fed, taken = made(), made()
    for run in runs:
        assert taken.plain
        first = taken.tokens
        (delta,) = fed.feed(Step(0, run))
        assert (first, taken.take(run)) == (delta.first_index, delta.text)


def test_a_choice_is_plain_only_while_tokens_are_text_and_nothing_else():
    assert made().plain
    assert not made(matcher=StopMatcher(["x"])).plain
    assert not made(parser=Thinking()).plain
    ended, again = made(), resumed([1, 2], 5)
    ended.feed(Step(0, (1,), "length"))
    assert not ended.plain
    assert not again.plain, "what was resumed is not sent yet"
    again.feed(Step(0, (3,)))
    assert again.plain
