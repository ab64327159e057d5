"""vLLM's own parsers over scripted token streams. They need vLLM's code, and no engine."""

import json

import pytest
from harness import MODEL
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from libs.errors import PlatformError, Reason
from libs.ids import tool_call_id
from services.inference.domain.request import Common, Sampling, Tool, ToolChoice

WEATHER = Tool("weather", "", '{"type": "object", "properties": {"city": {"type": "string"}}}')
NOW = Tool("now", "tells the time", "")
relaxed = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def tokenizer():
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(MODEL)
    tokenizer.add_tokens(["<think>", "</think>"])
    return tokenizer


@pytest.fixture(scope="module")
def make(tokenizer):
    from services.inference.adapters.vllm.parsers import VllmParsers

    return lambda **names: VllmParsers(tokenizer, **names)


@pytest.fixture(scope="module")
def hermes(make):
    return make(tool_parser="hermes")


def common(mode="auto", name="", *, parallel=True, tools=(WEATHER, NOW)):
    choice = ToolChoice(mode, name, parallel=parallel)
    return Common("r", Sampling(max_tokens=1), tools=tools, tool_choice=choice, call_seed="seed")


def collect(parser, pieces):
    """Content, reasoning and calls as a client puts them together. `pieces` are (text, token ids)."""
    content, reasoning, calls = "", "", {}
    for parsed in [*(parser.feed(text, ids) for text, ids in pieces), parser.finish()]:
        content += parsed.content
        reasoning += parsed.reasoning
        for piece in parsed.tool_calls:
            assert (piece.index in calls) != bool(piece.id and piece.name)
            calls.setdefault(piece.index, [piece.id, piece.name, ""])[2] += piece.arguments
    return content, reasoning, [(name, json.loads(text)) for _, name, text in calls.values()]


def cut(text, places):
    ends = [*sorted({place for place in places if 0 < place < len(text)}), len(text)]
    return [(text[a:b], [1]) for a, b in zip([0, *ends], ends, strict=False) if b > a]


def call(name, arguments):
    return f'<tool_call>\n{{"name": "{name}", "arguments": {arguments}}}\n</tool_call>'


TEXT_OR_CALLS = {
    "no call": ("Hello < there", "Hello < there", []),
    "one": ("Sure. " + call("weather", '{"city": "Paris"}'), "Sure. ", [("weather", {"city": "Paris"})]),
    "two": (call("now", "{}") + "\n" + call("weather", "{}"), "", [("now", {}), ("weather", {})]),
    "brackets in strings": (call("weather", '{"city": "a}b\\"]{"}'), "", [("weather", {"city": 'a}b"]{'})]),
    "nested": (call("weather", '{"a": [{"b": {}}], "name": "x"}'), "", [("weather", {"a": [{"b": {}}], "name": "x"})]),
    "no closing tag": ('<tool_call>{"name": "now", "arguments": {}}', "", [("now", {})]),
    "arguments first": ('<tool_call>{"arguments": {"city": "x"}, "name": "weather"}', "", [("weather", {"city": "x"})]),
    "one good, one bad": (call("now", "{}") + call("weather", "{bad}"), "", [("now", {})]),
}
ONLY_TEXT = {
    "not JSON": call("weather", '{"city": Paris}'),
    "not on offer": call("delete_everything", "{}"),
    "arguments are a string": call("weather", '"{\\"city\\": 1}"'),
    "arguments are a list": call("weather", "[1]"),
    "no arguments": '<tool_call>{"name": "now"}</tool_call>',
    "cut off": '<tool_call>{"name": "weather", "arguments": {"city": "Par',
    "tag cut off": "Hello <tool_c",
    "empty": "<tool_call></tool_call>",
    "a list": "<tool_call>[]</tool_call> and text",
}


@pytest.mark.parametrize("name", TEXT_OR_CALLS)
@relaxed
@given(places=st.lists(st.integers(1, 120), max_size=40))
def test_calls_however_the_stream_is_cut(hermes, name, places):
    text, content, calls = TEXT_OR_CALLS[name]
    parser = hermes.parser(common(), 0, [1])
    got_content, _, got_calls = collect(parser, cut(text, places))
    assert (got_content.strip(), got_calls) == (content.strip(), calls)
    assert parser.called == bool(calls)


@pytest.mark.parametrize("name", ONLY_TEXT)
@relaxed
@given(places=st.lists(st.integers(1, 120), max_size=40))
def test_what_is_no_call_is_text_to_the_letter(hermes, name, places):
    parser = hermes.parser(common(), 0, [1])
    assert collect(parser, cut(ONLY_TEXT[name], places)) == (ONLY_TEXT[name], "", [])
    assert not parser.called


@relaxed
@given(
    text=st.text(alphabet='<tool_call>/{}[]":,\\ nameargumentsweather01', max_size=120),
    places=st.lists(st.integers(1, 120), max_size=40),
)
def test_any_text_gives_whole_calls_or_text(hermes, text, places):
    parser = hermes.parser(common(), 0, [1])
    content, _, calls = collect(parser, cut(text, places))
    assert calls or content == text
    assert all(isinstance(arguments, dict) for _, arguments in calls)


def test_ids_derive_from_the_request_and_not_from_the_attempt(hermes):
    ids = []
    for _ in range(2):
        parsed = hermes.parser(common(), 3, [1]).feed(call("now", "{}"), [1])
        ids += [piece.id for piece in parsed.tool_calls]
    assert ids == [tool_call_id("seed", 3, 0)] * 2


def test_one_call_only_when_parallel_calls_are_off(hermes):
    parser = hermes.parser(common(parallel=False), 0, [1])
    assert collect(parser, [(call("now", "{}") + call("weather", "{}"), [1])])[2] == [("now", {})]


def test_forced_choices_and_none(hermes):
    named = hermes.parser(common("named", "weather"), 0, [1])
    assert collect(named, [('{"city": "x"}', [1])])[2] == [("weather", {"city": "x"})]
    required = hermes.parser(common("required"), 0, [1])
    assert collect(required, [('[{"name": "now", "parameters": {}}]', [1])])[2] == [("now", {})]
    text = call("now", "{}")
    assert collect(hermes.parser(common("none"), 0, [1]), [(text, [1])]) == (text, "", [])
    assert collect(hermes.parser(common(tools=()), 0, [1]), [(text, [1])]) == (text, "", [])


@pytest.mark.parametrize("parameters", ["[1]", "{", '"x"', "[" * 100_000])
def test_tools_that_are_no_schema_are_refused(hermes, parameters):
    with pytest.raises(PlatformError) as refused:
        hermes.parser(common(tools=(Tool("x", "", parameters),)), 0, [1])
    assert (refused.value.reason, refused.value.started) == (Reason.INVALID_SCHEMA, False)


def test_tags_that_are_plain_text_need_no_special_tokens(hermes):
    assert hermes.parser(common(), 0, [1]).keep_special_tokens is False


@pytest.mark.parametrize("names", [{"tool_parser": "no_such"}, {"reasoning_parser": "no_such"}])
def test_an_unknown_parser_is_refused_with_those_that_are(make, names):
    with pytest.raises(PlatformError, match="vLLM has:"):
        make(**names)


def _tokens(tokenizer, text):
    return [(tokenizer.decode([token]), [token]) for token in tokenizer.encode(text, add_special_tokens=False)]


@pytest.mark.parametrize("group", [1, 2, 5, 1000])
def test_reasoning_is_split_off_before_tools_are_looked_for(make, tokenizer, group):
    parsers = make(tool_parser="hermes", reasoning_parser="deepseek_r1")
    script = "<think>First, the city.</think>Let me look. " + call("weather", '{"city": "Paris"}')
    tokens = _tokens(tokenizer, script)
    pieces = [
        ("".join(text for text, _ in tokens[i : i + group]), [t for _, ids in tokens[i : i + group] for t in ids])
        for i in range(0, len(tokens), group)
    ]
    parser = parsers.parser(common(), 0, [1])
    content, reasoning, calls = collect(parser, pieces)
    assert (content.strip(), reasoning, calls) == (
        "Let me look.",
        "First, the city.",
        [("weather", {"city": "Paris"})],
    )
    if group == 1:
        assert parser.reasoning_tokens == len(_tokens(tokenizer, "First, the city."))


def test_reasoning_before_a_forced_call_and_unparsed_reasoning(make, tokenizer):
    parsers = make(reasoning_parser="deepseek_r1")
    forced = parsers.parser(common("named", "weather"), 0, [1])
    pieces = _tokens(tokenizer, '<think>Hm.</think>{"city": "x"}')
    assert collect(forced, pieces) == ("", "Hm.", [("weather", {"city": "x"})])
    from dataclasses import replace

    plain = parsers.parser(replace(common("none"), parse_reasoning=False), 0, [1])
    assert collect(plain, _tokens(tokenizer, "<think>Hm.</think>"))[0] == "<think>Hm.</think>"


def test_a_parser_that_raises_leaves_text(hermes, monkeypatch):
    parser = hermes.parser(common(), 0, [1])
    first = parser.feed("Hello ", [1]).content
    monkeypatch.setattr(parser._stream._parser, "parse_delta", lambda *_, **__: 1 / 0)
    text = call("now", "{}")
    assert first + collect(parser, [(text, [1])])[0] == "Hello " + text
