import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.errors import PlatformError, Reason
from services.inference.domain.output.parsers_forced import NamedParser, RequiredParser, forced_guided, parameters_of
from services.inference.domain.request import Tool, ToolChoice


def tool(parameters="", name="weather"):
    return Tool(name, "", parameters if isinstance(parameters, str) else json.dumps(parameters))


CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}


@pytest.mark.parametrize("mode", ["none", "auto"])
def test_a_free_choice_has_no_grammar(mode):
    assert forced_guided([tool(CITY)], ToolChoice(mode)) is None


def test_a_named_tool_is_guided_by_its_own_schema():
    guided = forced_guided([tool(CITY), tool(name="now")], ToolChoice("named", "weather"))
    assert json.loads(guided.json_schema) == CITY
    assert json.loads(forced_guided([tool()], ToolChoice("named", "weather")).json_schema) == {"type": "object"}


def test_a_required_call_is_an_array_of_any_of_the_tools():
    guided = json.loads(forced_guided([tool(CITY), tool(name="now")], ToolChoice("required")).json_schema)
    assert (guided["type"], guided["minItems"]) == ("array", 1)
    assert "maxItems" not in guided
    names = [branch["properties"]["name"]["enum"] for branch in guided["items"]["anyOf"]]
    assert names == [["weather"], ["now"]]
    assert list(guided["items"]["anyOf"][0]["properties"]) == ["name", "parameters"]
    one = json.loads(forced_guided([tool()], ToolChoice("required", parallel=False)).json_schema)
    assert one["maxItems"] == 1


def test_definitions_of_tools_are_shared_and_must_agree():
    own = {"$ref": "#/$defs/x", "$defs": {"x": {"type": "object"}}}
    other = {"$ref": "#/$defs/x", "$defs": {"x": {"type": "object", "title": "other"}}}
    guided = json.loads(forced_guided([tool(own), tool(own, "b")], ToolChoice("required")).json_schema)
    assert guided["$defs"] == {"x": {"type": "object"}}
    with pytest.raises(PlatformError):
        forced_guided([tool(own), tool(other, "b")], ToolChoice("required"))


@pytest.mark.parametrize("choice", [ToolChoice("named", "absent"), ToolChoice("required")])
def test_a_choice_without_its_tool_is_refused(choice):
    with pytest.raises(PlatformError) as refused:
        forced_guided([], choice)
    assert (refused.value.reason, refused.value.param) == (Reason.INVALID_REQUEST, "tool_choice")


@pytest.mark.parametrize(
    "parameters",
    [
        {"type": "object"},
        {"properties": {"a": {}}},
        {"$ref": "#/$defs/x", "$defs": {"x": {"type": "object"}}},
        {"anyOf": [{"type": "object"}, {"$ref": "#/definitions/a~1b"}], "definitions": {"a/b": {"type": "object"}}},
    ],
)
def test_schemas_that_allow_objects_only(parameters):
    assert parameters_of(tool(parameters)).items() >= parameters.items()


@pytest.mark.parametrize(
    "parameters",
    [
        {"type": "string"},
        {"type": ["object", "null"]},
        {"anyOf": [{"type": "object"}, {"type": "array"}]},
        {"anyOf": []},
        {"enum": [1]},
        {"const": {}},
        {"$ref": "#/$defs/absent"},
        {"$ref": "#"},
        "[]",
        "{",
        "[" * 100_000,
    ],
)
def test_schemas_that_allow_something_else_are_refused(parameters):
    with pytest.raises(PlatformError) as refused:
        parameters_of(tool(parameters))
    assert (refused.value.reason, refused.value.param) == (Reason.INVALID_SCHEMA, "tools")


def call_id(number):
    return f"call_{number}"


def collect(parser, text, cuts):
    """Feeds the text in pieces; returns the calls as a client puts them together."""
    calls, place, content = {}, 0, ""
    for cut in [*sorted(cut for cut in cuts if cut < len(text)), len(text)]:
        parsed = parser.feed(text[place:cut], [])
        place = max(place, cut)
        content += parsed.content + parsed.reasoning
        for piece in parsed.tool_calls:
            assert (piece.index in calls) != bool(piece.id and piece.name), "id and name in the first piece only"
            calls.setdefault(piece.index, [piece.id, piece.name, ""])[2] += piece.arguments
    last = parser.finish()
    assert (last.content, last.tool_calls, content) == ("", [], "")
    return calls


json_values = st.recursive(
    st.integers() | st.text() | st.booleans(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
objects = st.dictionaries(st.text() | st.sampled_from(["name", "parameters"]), json_values, max_size=4)
cut_places = st.lists(st.integers(1, 400), max_size=60)


@given(objects, cut_places, st.sampled_from([None, 0]))
def test_named_arguments_come_through_however_they_are_cut(value, cuts, indent):
    text = json.dumps(value, indent=indent)
    assert collect(NamedParser("weather", call_id), f" {text}\n", cuts) == {0: ["call_0", "weather", text]}


@given(
    st.lists(st.tuples(st.text(min_size=1), objects), min_size=1, max_size=3), cut_places, st.sampled_from([None, 2])
)
def test_required_calls_come_through_however_they_are_cut(wanted, cuts, indent):
    text = json.dumps([{"name": name, "parameters": value} for name, value in wanted], indent=indent)
    calls = collect(RequiredParser(call_id), text, cuts)
    assert [(number, made[0], made[1], json.loads(made[2])) for number, made in calls.items()] == [
        (number, f"call_{number}", name, value) for number, (name, value) in enumerate(wanted)
    ]


def test_what_is_cut_off_by_a_length_limit_stays_cut_off():
    parser = RequiredParser(call_id)
    assert collect(parser, '[{"name": "weather", "parameters": {"city": "Par', []) == {
        0: ["call_0", "weather", '{"city": "Par']
    }
    assert parser.called
    parser = RequiredParser(call_id)
    assert collect(parser, '[{"name": "weat', []) == {}
    assert not parser.called


def test_arguments_are_streamed_as_they_come():
    parser = NamedParser("weather", call_id)
    assert [p.arguments for p in parser.feed('{"a', []).tool_calls] == ['{"a']
    assert [p.arguments for p in parser.feed('": 1', []).tool_calls] == ['": 1']
