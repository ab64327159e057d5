"""response_format and tools through the unmodified openai client against real vLLM."""

import json

import openai
import pytest

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(300)]
MODEL = "smollm2-135m-instruct"
ASK = [{"role": "user", "content": "What is the weather in Paris, in celsius?"}]
PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 12}, "age": {"type": "integer", "maximum": 120}},
    "required": ["name", "age"],
    "additionalProperties": False,
}


def schema_format(schema):
    return {"type": "json_schema", "json_schema": {"name": "person", "schema": schema, "strict": True}}


def test_json_schema_output_is_an_instance(client):
    answer = client.chat.completions.create(
        model=MODEL,
        messages=[{"role": "user", "content": "Make up a person."}],
        response_format=schema_format(PERSON),
        max_tokens=80,
    )
    value = json.loads(answer.choices[0].message.content)
    assert set(value) == {"name", "age"}
    assert isinstance(value["age"], int)


def test_json_object_output_is_an_object(client):
    answer = client.chat.completions.create(
        model=MODEL,
        messages=[{"role": "user", "content": 'Answer with a small JSON object like {"a": 1}.'}],
        response_format={"type": "json_object"},
        max_tokens=300,
        temperature=0,
    )
    if answer.choices[0].finish_reason == "stop":
        assert isinstance(json.loads(answer.choices[0].message.content), dict)
    else:
        assert answer.choices[0].message.content.lstrip().startswith("{")


def test_a_schema_that_cannot_compile_is_a_400_and_kills_no_engine(client):
    bad = {"type": "object", "properties": {"a": {"$ref": "#/definitions/missing"}}, "required": ["a"]}
    for schema in (bad, {"type": "nonsense"}, {"type": "string", "pattern": "(unclosed"}):
        with pytest.raises(openai.BadRequestError):
            client.chat.completions.create(
                model=MODEL, messages=ASK, response_format=schema_format(schema), max_tokens=10
            )
    assert client.chat.completions.create(model=MODEL, messages=ASK, max_tokens=2).choices


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "get_weather"}}])
def test_a_demanded_tool_is_called_with_an_object(client, weather_tool, check_weather_arguments, choice):
    answer = client.chat.completions.create(
        model=MODEL, messages=ASK, tools=[weather_tool], tool_choice=choice, max_tokens=80, temperature=0
    )
    calls = answer.choices[0].message.tool_calls
    assert calls
    for call in calls:
        assert call.id.startswith("call_")
        assert call.function.name == "get_weather"
        check_weather_arguments(call.function.arguments)


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "get_weather"}}])
def test_a_streamed_call_has_its_names_first_and_joins_to_an_object(
    client, weather_tool, check_weather_arguments, choice
):
    pieces = []
    finish = None
    stream = client.chat.completions.create(
        model=MODEL, messages=ASK, tools=[weather_tool], tool_choice=choice, max_tokens=80, temperature=0, stream=True
    )
    for chunk in stream:
        pieces += chunk.choices[0].delta.tool_calls or []
        finish = chunk.choices[0].finish_reason or finish
    first = [p for p in pieces if p.index == 0]
    assert first[0].id
    assert first[0].type == "function"
    assert first[0].function.name == "get_weather"
    assert all(p.id is None and p.function.name is None for p in first[1:])
    check_weather_arguments("".join(p.function.arguments or "" for p in first))
    assert finish in {"tool_calls", "stop"}


def test_auto_gives_text_or_a_well_formed_call(client, weather_tool):
    answer = client.chat.completions.create(
        model=MODEL, messages=ASK, tools=[weather_tool], tool_choice="auto", max_tokens=80, temperature=0
    )
    message = answer.choices[0].message
    assert message.content or message.tool_calls
    for call in message.tool_calls or []:
        assert isinstance(json.loads(call.function.arguments), dict)


def test_tool_results_reach_the_model(client, weather_tool):
    call = {
        "id": "call_1",
        "type": "function",
        "function": {"name": "get_weather", "arguments": '{"city": "Paris", "unit": "c"}'},
    }
    messages = [
        *ASK,
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "It is 21 degrees and sunny."},
    ]
    with_tool = client.chat.completions.create(
        model=MODEL, messages=messages, tools=[weather_tool], max_tokens=40, temperature=0
    )
    without = client.chat.completions.create(model=MODEL, messages=ASK, max_tokens=40, temperature=0)
    assert with_tool.usage.prompt_tokens > without.usage.prompt_tokens + 10
    assert with_tool.choices[0].message.content


def test_a_tool_choice_without_such_a_tool_is_a_400(client, weather_tool):
    choice = {"type": "function", "function": {"name": "other"}}
    with pytest.raises(openai.BadRequestError):
        client.chat.completions.create(model=MODEL, messages=ASK, tools=[weather_tool], tool_choice=choice)
