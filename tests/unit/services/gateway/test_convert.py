from __future__ import annotations

from array import array

from headrace.inference.v1 import inference_pb2 as ipb
from headrace.router.v1 import router_pb2 as rpb

from services.gateway import convert
from services.gateway.domain.models import ModelInfo
from services.gateway.domain.plan import PlaceQuery
from services.gateway.domain.turns import ChatRequest, Guided, Role, Sampling, Tool, ToolCall, ToolChoice, Turn
from services.gateway.domain.work import Attempt, ChoiceResume, Work

INFO = ModelInfo("small", "m", "d", "t", 100)


def work(request, prompt=b"\1\0\0\0"):
    return Work("r1", request, INFO, prompt, 1, 10, "salt", "s1")


def test_every_sampling_field_arrives_and_unsaid_ones_stay_unsaid():
    wish = Sampling(
        max_tokens=99, temperature=0.0, top_p=0.5, top_k=3, min_p=0.25, seed=0, stop=("a", "b"), presence_penalty=0.5,
        frequency_penalty=-0.5, repetition_penalty=1.5, logit_bias={5: -1.0}, logprobs=0, n=2, min_tokens=4,
        ignore_eos=True,
    )  # fmt: skip
    sent = convert.generate_request(work(ChatRequest("m", (), sampling=wish)), Attempt(0, 10, 3)).sampling
    assert (sent.max_tokens, sent.min_tokens, sent.n, sent.ignore_eos) == (10, 3, 2, True)
    assert (sent.temperature, sent.top_p, sent.top_k, sent.min_p, sent.seed) == (0.0, 0.5, 3, 0.25, 0)
    assert (list(sent.stop), dict(sent.logit_bias), sent.logprobs) == (["a", "b"], {5: -1.0}, 0)
    assert (sent.presence_penalty, sent.frequency_penalty, sent.repetition_penalty) == (0.5, -0.5, 1.5)
    assert all(sent.HasField(f) for f in ("temperature", "seed", "logprobs"))
    plain = convert.generate_request(work(ChatRequest("m", ())), Attempt(0, 10)).sampling
    unsaid = ("temperature", "top_p", "top_k", "min_p", "seed", "repetition_penalty", "logprobs")
    assert not any(plain.HasField(field) for field in unsaid)


def test_the_constant_part_of_a_call():
    tools, choice = (Tool("f", "does", "{}", strict=True),), ToolChoice("named", "f", parallel=False)
    request = ChatRequest("small", (), tools=tools, tool_choice=choice, guided=Guided(json_schema="{}"))
    sent = convert.generate_request(work(request), Attempt(2, 10))
    assert (sent.request_id, sent.epoch, sent.call_seed, sent.session) == ("r1-2", 2, "r1", "s1")
    assert (sent.model, sent.model_digest, sent.cache_salt, sent.tokens.packed) == ("small", "d", "salt", b"\1\0\0\0")
    assert (sent.tools[0].name, sent.tools[0].strict, sent.tool_choice.name, sent.tool_choice.parallel) == (
        "f", True, "f", False,
    )  # fmt: skip
    assert sent.guided.json_schema == "{}"
    assert convert.guided(Guided(json_object=True)).json_object


def test_resume_limits_each_choice_where_there_are_several():
    def choice(number):
        return ChoiceResume(number, array("I", [7, 8]), 4, 2, finished=number == 1, max_tokens=3)

    request = work(ChatRequest("m", ()))
    one = convert.generate_request(request, Attempt(1, 3, resume=(choice(0),))).resume.choices
    assert [(list(c.token_ids), c.text_sent, c.reasoning_sent, c.max_tokens) for c in one] == [([7, 8], 4, 2, 0)]
    two = convert.generate_request(request, Attempt(1, 3, resume=(choice(0), choice(1)))).resume.choices
    assert [(c.choice, c.finished, c.max_tokens) for c in two] == [(0, False, 3), (1, True, 3)]


def test_turns_for_engines_and_for_templates():
    call = ToolCall("c1", "f", '{"a": 1}')
    turns = (
        Turn(Role.ASSISTANT, "", reasoning="hm", tool_calls=(call,)),
        Turn(Role.TOOL, "42", tool_call_id="c1", name="f"),
    )
    sent = convert.generate_request(work(ChatRequest("m", turns), prompt=None), Attempt(0, 0)).messages.turns
    assert (sent[0].reasoning, sent[0].tool_calls[0].arguments_json, sent[1].tool_call_id) == ("hm", '{"a": 1}', "c1")
    first, second = (convert.message(turn) for turn in turns)
    assert first["tool_calls"][0]["function"] == {"name": "f", "arguments": '{"a": 1}'}
    assert (first["reasoning_content"], second["tool_call_id"], second["name"]) == ("hm", "c1", "f")
    assert convert.tool(Tool("f", "does", ""), None) == {
        "type": "function", "function": {"name": "f", "description": "does"},
    }  # fmt: skip


def test_place_and_plan():
    query = PlaceQuery("r", "t", "m", "d", 7, "s", "", ("w1",))
    sent = convert.place_request(query)
    assert (sent.request_id, sent.tenant, sent.model, sent.model_digest, sent.prompt_tokens) == ("r", "t", "m", "d", 7)
    assert (sent.session, list(sent.exclude_workers)) == ("s", ["w1"])
    candidate = rpb.Candidate(worker="w", address="a", boot_id="b", model_digest="d", reason="bound")
    plan = convert.plan(rpb.PlaceResponse(candidates=[candidate], binding_version=3, binding_uncertain=True))
    assert (plan.candidates[0].worker, plan.candidates[0].reason) == ("w", "bound")
    assert (plan.binding_version, plan.binding_uncertain) == (3, True)


def test_capabilities():
    assert convert.capabilities(ipb.Capabilities(prompt=ipb.PROMPT_FORM_MESSAGES)).tokens_in is False
    assert convert.capabilities(ipb.Capabilities()).logprobs_max is None
    assert convert.capabilities(ipb.Capabilities(logprobs_max=0)).logprobs_max == 0
    # Continuing from text is not what a gateway with token ids asks for.
    assert convert.capabilities(ipb.Capabilities(resume=ipb.RESUME_FORM_TEXT)).resume is False
