"""Bodies of the chat API: what is taken, what is refused and where, what is ignored and said so."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from libs.errors import PlatformError, Reason
from services.gateway.domain.turns import Guided, Principal, Role, Sampling, Tool, ToolCall, ToolChoice, Turn
from services.gateway.wire.limits import Limits
from services.gateway.wire.openai_chat_decode import ChatDecoder
from services.gateway.wire.openai_chat_types import ChatBody

ME = Principal("acme", "key_1")
DECODER = ChatDecoder(Limits())
HI = [{"role": "user", "content": "hi"}]


def decode(headers=None, decoder=DECODER, principal=ME, **fields):
    body = {"model": "small", "messages": HI, **fields}
    return decoder.decode(json.dumps(body).encode(), headers or {}, principal)


def refused(**fields):
    with pytest.raises(PlatformError) as caught:
        decode(**fields)
    assert caught.value.http_status == 400
    assert not caught.value.started
    return caught.value


def request(**fields):
    return decode(**fields).request


def test_every_sampling_field_arrives():
    got = request(
        max_completion_tokens=5,
        max_tokens=9,
        temperature=0,
        top_p=0.5,
        top_k=3,
        min_p=0.1,
        seed=-4,
        stop=["a", "b"],
        presence_penalty=1,
        frequency_penalty=-1,
        repetition_penalty=1.1,
        logit_bias={"7": -100},
        logprobs=True,
        top_logprobs=2,
        n=3,
        min_tokens=2,
        ignore_eos=True,
    ).sampling
    assert got == Sampling(
        5,
        0.0,
        0.5,
        3,
        0.1,
        -4,
        ("a", "b"),
        1.0,
        -1.0,
        1.1,
        {7: -100.0},
        2,
        3,
        2,
        True,  # noqa: FBT003
    )


def test_nothing_said_is_nothing_asked():
    assert request().sampling == Sampling()
    everything_null = dict.fromkeys((f for f in ChatBody.__struct_fields__ if f not in {"model", "messages"}), None)
    assert request(**everything_null) == request()


def test_one_stop_string_and_max_tokens_by_its_old_name():
    got = request(stop="x", max_tokens=9, logprobs=True).sampling
    assert (got.stop, got.max_tokens, got.logprobs) == (("x",), 9, 0)


def test_roles_and_contents_become_turns():
    turns = request(
        messages=[
            {"role": "developer", "content": "d"},
            {"role": "system", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
            {"role": "user", "content": None, "name": "bob"},
            {
                "role": "assistant",
                "content": None,
                "reasoning_content": "hm",
                "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
            },
            {"role": "tool", "tool_call_id": "c1", "content": "r"},
            {"role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]},
        ]
    ).turns
    assert turns == (
        Turn(Role.SYSTEM, "d"),
        Turn(Role.SYSTEM, "a\nb"),
        Turn(Role.USER, "", name="bob"),
        Turn(Role.ASSISTANT, "", reasoning="hm", tool_calls=(ToolCall("c1", "f", "{}"),)),
        Turn(Role.TOOL, "r", tool_call_id="c1"),
        Turn(Role.ASSISTANT, "no"),
    )


def tool(name="f", **function):
    return {"type": "function", "function": {"name": name, **function}}


def test_tools_and_their_choice():
    schema = {"type": "object", "properties": {"x": {"type": "number"}}}
    got = request(tools=[tool("f", description="d", parameters=schema, strict=True), tool("g")])
    assert got.tools == (Tool("f", "d", msgspec.json.encode(schema).decode(), strict=True), Tool("g", "", ""))
    assert got.tool_choice == ToolChoice("auto")
    assert request(tools=[tool()], tool_choice="required").tool_choice.mode == "required"
    named = {"type": "function", "function": {"name": "f"}}
    assert request(tools=[tool()], tool_choice=named, parallel_tool_calls=False).tool_choice == ToolChoice(
        "named", "f", parallel=False
    )
    assert request(tool_choice="auto").tool_choice.mode == "none"
    assert request(tools=[]).tool_choice.mode == "none"


def test_the_same_tools_are_decoded_once():
    decoder = ChatDecoder(Limits())
    first = decode(decoder=decoder, tools=[tool()]).request.tools
    assert decode(decoder=decoder, tools=[tool()]).request.tools is first
    assert decode(decoder=decoder, tools=[tool("g")]).request.tools is not first


def test_the_same_sampling_is_converted_once_and_never_mixed_up():
    decoder = ChatDecoder(Limits())

    def sampling(**fields):
        return decode(decoder=decoder, **fields).request.sampling

    assert sampling(temperature=0.5, seed=1) is sampling(temperature=0.5, seed=1)
    assert sampling(temperature=0.5, seed=2).seed == 2
    assert sampling(stop=["a"]).stop == ("a",)
    assert sampling(stop=["b"]).stop == ("b",)
    assert sampling(presence_penalty=1.0) != sampling(frequency_penalty=1.0)
    for seed in range(3000):
        sampling(seed=seed)
    assert len(decoder._sampling._cache) <= 1024


def test_forms_of_the_answer():
    assert request(response_format={"type": "text"}).guided is None
    assert request(response_format={"type": "json_object"}).guided == Guided(json_object=True)
    form = {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}, "strict": True}}
    assert request(response_format=form).guided == Guided(json_schema='{"type":"object"}')


def test_streaming_and_usage():
    call = decode(stream=True, stream_options={"include_usage": True, "include_obfuscation": False})
    assert (call.stream, call.include_usage) == (True, True)
    assert (decode().stream, decode(stream=True).include_usage) == (False, False)


def test_who_asks():
    assert request(user="u").user == "u"
    assert request(user="u", safety_identifier="s").user == "s"
    assert request(metadata={"a": "b"}).metadata == {"a": "b"}


def test_unknown_fields_are_ignored_and_listed():
    got = request(store=True, service_tier="auto", wobble={"a": [1]}, nothing=None)
    assert got.ignored_fields == ("service_tier", "store", "wobble")
    assert request().ignored_fields == ()


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"functions": [{}]}, "functions"),
        ({"function_call": "auto"}, "function_call"),
        ({"modalities": ["audio"]}, "modalities"),
        ({"audio": {"voice": "x"}}, "audio"),
        ({"prediction": {}}, "prediction"),
        ({"reasoning_effort": "high"}, "reasoning_effort"),
        ({"guided_json": {}}, "guided_json"),
        ({"chat_template": "{{x}}"}, "chat_template"),
        ({"messages": [{"role": "function", "name": "f", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "assistant", "function_call": {"name": "f"}}]}, "messages[0].function_call"),
        ({"tools": [{"type": "custom"}]}, "tools[0].type"),
        ({"tool_choice": {"type": "allowed_tools"}, "tools": [tool()]}, "tool_choice.type"),
    ],
)
def test_what_would_change_the_answer_is_refused_with_what_to_use_instead(fields, param):
    problem = refused(**fields)
    assert (problem.reason, problem.param) == (Reason.UNSUPPORTED_PARAMETER, param)


@pytest.mark.parametrize(
    "fields", [{"modalities": ["text"]}, {"reasoning_effort": "none"}, {"echo": False}, {"functions": []}]
)
def test_what_asks_for_what_is_done_anyway_is_only_listed(fields):
    assert request(**fields).ignored_fields == tuple(fields)


@pytest.mark.parametrize("kind", ["image_url", "input_audio", "file", "wobble"])
def test_parts_that_are_no_text_are_refused(kind):
    content = [{"type": "text", "text": "x"}, {"type": kind, kind: {}}]
    problem = refused(messages=[{"role": "user", "content": content}])
    assert (problem.reason, problem.param) == (Reason.UNSUPPORTED_CONTENT, "messages[0].content[1]")


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"model": ""}, "model"),
        ({"model": None}, "model"),
        ({"model": 3}, "model"),
        ({"messages": []}, "messages"),
        ({"messages": None}, "messages"),
        ({"messages": "hi"}, "messages"),
        ({"messages": [3]}, "messages[0]"),
        ({"messages": [{"content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "wizard", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": 3}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages[0].content[0].text"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].tool_call_id"),
        ({"temperature": 3}, "temperature"),
        ({"temperature": "hot"}, "temperature"),
        ({"top_p": 0}, "top_p"),
        ({"top_p": 1.1}, "top_p"),
        ({"top_k": -2}, "top_k"),
        ({"min_p": 2}, "min_p"),
        ({"seed": 2**63}, "seed"),
        ({"seed": 1.5}, "seed"),
        ({"n": 0}, "n"),
        ({"n": 17}, "n"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": 10**9}, "max_tokens"),
        ({"max_completion_tokens": -1}, "max_completion_tokens"),
        ({"presence_penalty": 2.1}, "presence_penalty"),
        ({"frequency_penalty": -2.1}, "frequency_penalty"),
        ({"repetition_penalty": 0}, "repetition_penalty"),
        ({"stop": ["x"] * 17}, "stop"),
        ({"stop": [""]}, "stop"),
        ({"stop": [1]}, "stop[0]"),
        ({"logit_bias": {"x": 1}}, "logit_bias"),
        ({"logit_bias": {"1": 101}}, "logit_bias"),
        ({"logit_bias": {"99999999999": 1}}, "logit_bias"),
        ({"top_logprobs": 3}, "top_logprobs"),
        ({"logprobs": True, "top_logprobs": 21}, "top_logprobs"),
        ({"min_tokens": 5, "max_tokens": 4}, "min_tokens"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
        ({"tools": 3}, "tools"),
        ({"tools": [{"type": "function"}]}, "tools[0].function"),
        ({"tools": [tool(), tool()]}, "tools[1].function.name"),
        ({"tools": [tool("a b")]}, "tools[0].function.name"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tool_choice": "maybe"}, "tool_choice"),
        ({"tool_choice": {"function": {"name": "g"}}, "tools": [tool()]}, "tool_choice.function.name"),
        ({"response_format": {"type": "xml"}}, "response_format.type"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema.schema"),
        ({"user": "x" * 513}, "user"),
        ({"session_id": "x" * 256}, "session_id"),
        ({"session_id": "a\nb"}, "session_id"),
        ({"metadata": {"session_id": "x" * 256}}, "metadata.session_id"),
        ({"root_session_id": "\x00"}, "root_session_id"),
    ],
)
def test_wrong_values_are_refused_with_their_place(fields, param):
    problem = refused(**fields)
    assert problem.reason is Reason.INVALID_REQUEST
    assert problem.param == param


@pytest.mark.parametrize("schema", [3, [], "x", True])
def test_a_schema_that_is_no_object_is_refused(schema):
    form = {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}
    assert refused(response_format=form).reason is Reason.INVALID_SCHEMA
    assert refused(tools=[tool(parameters=schema)]).reason is Reason.INVALID_SCHEMA


def test_limits_are_settings():
    tight = ChatDecoder(Limits(messages_max=1, max_tokens_max=10, n_max=1, tools_max=1, stop_max=1))
    for fields, param in [
        ({"messages": HI * 2}, "messages"),
        ({"max_tokens": 11}, "max_tokens"),
        ({"n": 2}, "n"),
        ({"tools": [tool("a"), tool("b")]}, "tools"),
        ({"stop": ["a", "b"]}, "stop"),
    ]:
        with pytest.raises(PlatformError) as caught:
            decode(decoder=tight, **fields)
        assert caught.value.param == param
        decode(**fields)


@pytest.mark.parametrize(
    ("headers", "fields", "expected"),
    [
        ({"x-session-id": "a", "session-id": "b"}, {"session_id": "c"}, ("a", "x-session-id")),
        ({"x-session-affinity": "b"}, {"session_id": "c"}, ("c", "body")),
        ({"x-session-affinity": "b", "session-id": "d"}, {"conversation": "e"}, ("b", "x-session-affinity")),
        ({"x-claude-code-session-id": "b"}, {}, ("b", "x-claude-code-session-id")),
        ({"x-opencode-session": "b", "x-litellm-session-id": "c"}, {}, ("b", "x-opencode-session")),
        ({"x-openwebui-chat-id": "b"}, {}, ("b", "x-openwebui-chat-id")),
        ({}, {"conversation": {"id": "e"}, "previous_response_id": "f"}, ("e", "conversation")),
        ({}, {"previous_response_id": "f", "metadata": {"session_id": "g"}}, ("f", "previous_response_id")),
        ({}, {"metadata": {"session_id": "g"}, "prompt_cache_key": "k"}, ("g", "metadata")),
        ({"x-session-id": "  "}, {"session_id": "c"}, ("c", "body")),
    ],
)
def test_explicit_sessions_in_order_of_precedence(headers, fields, expected):
    claim = decode(headers, **fields).request.session
    assert (claim.explicit, claim.source) == expected
    assert claim.affinity_key == ""


def affinity(tenant="acme", **fields):
    claim = decode(principal=Principal(tenant, "k"), **fields).request.session
    assert (claim.explicit, claim.source) == ("", "affinity")
    return claim.affinity_key


def test_without_an_explicit_session_there_is_an_affinity_key_of_the_conversation():
    system = {"role": "system", "content": "s"}
    first = [system, {"role": "user", "content": "one"}]
    later = [*first, {"role": "assistant", "content": "a"}, {"role": "user", "content": "two"}]
    assert affinity(messages=first) == affinity(messages=later)
    assert affinity(messages=first) != affinity(messages=[system, {"role": "user", "content": "two"}])
    assert affinity(messages=first) != affinity(tenant="other", messages=first)
    assert affinity(prompt_cache_key="k") == affinity(prompt_cache_key="k", messages=later)
    assert affinity(prompt_cache_key="k") != affinity(tenant="other", prompt_cache_key="k")


def test_a_session_tree_has_a_root():
    assert decode(root_session_id="r").request.session.root == "r"
    assert decode({"x-root-session-id": "r"}).request.session.root == "r"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)
ROLE = st.sampled_from(["system", "user", "assistant", "tool", "function", "developer", ""])
PART = st.fixed_dictionaries({"type": st.sampled_from(["text", "image_url", "refusal"])}, optional={"text": JSON})
CALL = st.fixed_dictionaries(
    {"id": st.text(max_size=3)},
    optional={"function": st.fixed_dictionaries({"name": st.text(max_size=3)}, optional={"arguments": JSON})},
)
MESSAGE = st.fixed_dictionaries(
    {"role": ROLE},
    optional={
        "content": st.text(max_size=9) | st.lists(PART, max_size=2) | JSON,
        "tool_calls": st.lists(CALL, max_size=2) | JSON,
        "tool_call_id": st.text(max_size=3) | JSON,
    },
)
KNOWN = [f for f in ChatBody.__struct_fields__ if f not in {"messages", "model"}] + ["functions", "modalities", "x"]
BODY = st.fixed_dictionaries(
    {"model": st.just("m") | JSON, "messages": st.lists(MESSAGE, max_size=3) | JSON},
    optional=dict.fromkeys(KNOWN, JSON),
)


def never_worse_than_400(raw, headers):
    status = 200
    try:
        request = DECODER.decode(raw, headers, ME).request
    except PlatformError as problem:
        status = problem.http_status
    else:
        # What is taken can travel: no lone surrogate, no number that JSON does not have.
        msgspec.json.encode([repr(request), request.session.explicit])
    assert status in {200, 400}


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(BODY, st.dictionaries(st.sampled_from(["x-session-id", "session-id"]), st.text(max_size=300), max_size=2))
def test_no_body_is_worse_than_a_400(body, headers):
    never_worse_than_400(json.dumps(body).encode(), headers)


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=60), st.integers(0, 200))
def test_no_bytes_are_worse_than_a_400(noise, at):
    good = json.dumps({"model": "m", "messages": HI, "tools": [tool(parameters={})], "wobble": "x"}).encode()
    never_worse_than_400(noise, {})
    never_worse_than_400(good[:at] + noise + good[at:], {})
    never_worse_than_400(good[:at] + noise, {})
