"""Between wire messages and domain types: the one file of the gateway's pipeline that knows both."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headrace.common.v1 import turns_pb2
from headrace.inference.v1 import inference_pb2
from headrace.router.v1 import router_pb2

from libs.block_hash import block_hashes, packed
from services.gateway.domain import turns
from services.gateway.domain.choose import Choices, ChooseQuery
from services.gateway.domain.models import Capabilities, ModelInfo
from services.gateway.domain.outcomes import OutcomeKey, OutcomeSums
from services.gateway.domain.plan import Candidate, PlaceQuery, Plan
from services.gateway.domain.route import Choice, Decision
from services.gateway.domain.sent import Sent
from services.gateway.domain.work import Attempt, Work

_ROLES = {
    turns.Role.SYSTEM: turns_pb2.ROLE_SYSTEM,
    turns.Role.USER: turns_pb2.ROLE_USER,
    turns.Role.ASSISTANT: turns_pb2.ROLE_ASSISTANT,
    turns.Role.TOOL: turns_pb2.ROLE_TOOL,
}
_TOOL_MODES = {
    "none": turns_pb2.TOOL_MODE_NONE,
    "auto": turns_pb2.TOOL_MODE_AUTO,
    "required": turns_pb2.TOOL_MODE_REQUIRED,
    "named": turns_pb2.TOOL_MODE_NAMED,
}


def place_request(query: PlaceQuery) -> router_pb2.PlaceRequest:
    """What the router is asked."""
    return router_pb2.PlaceRequest(
        request_id=query.request_id,
        tenant=query.tenant,
        model=query.model,
        model_digest=query.model_digest,
        session=query.session,
        affinity_key=query.affinity_key,
        prompt_tokens=query.prompt_tokens,
        exclude_workers=query.exclude_workers,
        root_session=query.root_session,
        blocks=_blocks(query),
    )


def _blocks(query: PlaceQuery) -> bytes:
    if query.prompt is None or not query.block_tokens:
        return b""
    return packed(block_hashes(query.prompt, query.block_tokens, query.cache_salt))


def report_request(news: Mapping[OutcomeKey, OutcomeSums]) -> router_pb2.ReportRequest:
    """What routers are told of attempts."""
    return router_pb2.ReportRequest(
        outcomes=[
            router_pb2.Outcomes(
                worker=key.worker,
                boot_id=key.boot_id,
                model=key.model,
                variant=key.variant,
                attempts=sums.attempts,
                failures=sums.failures,
                refusals=sums.refusals,
                ttft_buckets=sums.ttft_buckets,
                cached_tokens_predicted=sums.cached_tokens_predicted,
                cached_tokens_reported=sums.cached_tokens_reported,
                predictions=sums.predictions,
            )
            for key, sums in news.items()
        ]
    )


def choose_request(query: ChooseQuery) -> router_pb2.ChooseRequest:
    """What the router is asked of a turn."""
    facts = query.turn
    return router_pb2.ChooseRequest(
        request_id=query.request_id,
        tenant=query.tenant,
        model=query.model,
        session=query.session,
        affinity_key=query.affinity_key,
        min_tier=query.min_tier,
        models_allowed=query.models_allowed,
        turn=router_pb2.Turn(
            # A lone surrogate, which JSON can say and UTF-8 cannot, is no reason to fail the call.
            text=facts.text.encode("utf-8", "replace").decode(),
            text_characters=facts.text_characters,
            system_characters=facts.system_characters,
            context_characters=facts.context_characters,
            user_turns=facts.user_turns,
            tools=facts.tools,
            tool_depth=facts.tool_depth,
            tool_errors=facts.tool_errors,
            repeats=facts.repeats,
            structured=facts.structured,
        ),
    )


def choices(response: router_pb2.ChooseResponse) -> Choices:
    """The router's answer."""
    found = tuple([Choice(each.model, each.reason, each.tier, each.variant, each.pool) for each in response.choices])
    return Choices(found, _decision(response.decision) if response.HasField("decision") else None)


def _decision(told: router_pb2.Decision) -> Decision:
    return Decision(
        told.tier,
        told.small_probability if told.HasField("small_probability") else None,
        told.unsure,
        told.why,
        tuple([(feature.name, feature.weight) for feature in told.features]),
        told.previous_tier,
        told.switch_cost_nanodollars,
    )


def plan(response: router_pb2.PlaceResponse) -> Plan:
    """The router's answer."""
    candidates = [
        Candidate(c.worker, c.address, c.boot_id, c.model_digest, c.reason, c.cached_tokens, c.cost)
        for c in response.candidates
    ]
    return Plan(candidates, response.binding_version, response.binding_uncertain, response.predicted)


def model_info(model: router_pb2.Model) -> ModelInfo:
    """One entry of the catalog."""
    description = model.description
    return ModelInfo(
        name=model.name,
        model=description.model,
        model_digest=description.model_digest,
        tokenizer_digest=description.tokenizer_digest,
        window_tokens=description.window_tokens,
        pool=model.pool,
        engine=description.engine,
        template_tools=description.template_tools,
        capabilities=capabilities(description.capabilities),
        addresses=tuple(model.addresses),
        block_tokens=description.capacity.block_tokens if description.capabilities.kv_events else 0,
        routed=model.routed,
    )


def capabilities(can: inference_pb2.Capabilities) -> Capabilities:
    """What the engine says of itself. Continuing from text needs an engine that takes text: not offered here."""
    return Capabilities(
        tokens_in=can.prompt != inference_pb2.PROMPT_FORM_MESSAGES,
        guided=can.guided,
        logprobs_max=can.logprobs_max if can.HasField("logprobs_max") else None,
        n=can.n,
        seed=can.seed,
        resume=can.resume == inference_pb2.RESUME_FORM_EXACT,
        resume_guided=can.resume_guided,
        resume_penalties=can.resume_penalties,
        tools=can.tools,
        reasoning=can.reasoning,
        penalties=can.penalties,
        logit_bias=can.logit_bias,
    )


def sent(given: inference_pb2.Sent) -> Sent:
    """A worker's account of one request."""
    return Sent(
        prompt_tokens=given.prompt_tokens,
        choice_tokens=tuple(given.choice_tokens),
        cached_tokens=given.cached_tokens,
        epoch=given.epoch if given.HasField("epoch") else None,
        running=given.running,
        estimated=given.estimated,
    )


def generate_request(work: Work, attempt: Attempt) -> inference_pb2.GenerateRequest:
    """One attempt, for a worker."""
    request = work.request
    out = inference_pb2.GenerateRequest(
        request_id=f"{work.request_id}-{attempt.epoch}",
        model=work.info.name,
        model_digest=work.info.model_digest,
        cache_salt=work.cache_salt,
        sampling=sampling(request.sampling, attempt),
        epoch=attempt.epoch,
        call_seed=work.request_id,
        session=work.session,
        parse_reasoning=True,
    )
    if work.prompt is None:
        out.messages.turns.extend(turn(t) for t in request.turns)
    else:
        out.tokens.packed = work.prompt
    if request.guided is not None:
        out.guided.CopyFrom(guided(request.guided))
    if request.tools:
        _add_tools(out, request)
    if attempt.resume:
        _add_resume(out.resume, attempt)
    return out


def sampling(wish: turns.Sampling, attempt: Attempt) -> inference_pb2.Sampling:
    """Sampling with the attempt's own limits; what the client left unsaid stays unsaid."""
    out = inference_pb2.Sampling(
        max_tokens=attempt.max_tokens,
        temperature=wish.temperature,
        top_p=wish.top_p,
        top_k=wish.top_k,
        min_p=wish.min_p,
        seed=wish.seed,
        presence_penalty=wish.presence_penalty,
        frequency_penalty=wish.frequency_penalty,
        repetition_penalty=wish.repetition_penalty,
        logprobs=wish.logprobs,
        n=wish.n,
        min_tokens=attempt.min_tokens,
        ignore_eos=wish.ignore_eos,
    )
    if wish.stop:
        out.stop.extend(wish.stop)
    if wish.logit_bias:
        out.logit_bias.update(wish.logit_bias)
    return out


def guided(wish: turns.Guided) -> inference_pb2.Guided:
    """The grammar of the answer."""
    if wish.json_schema is not None:
        return inference_pb2.Guided(json_schema=wish.json_schema)
    return inference_pb2.Guided(json_object=wish.json_object)


def _add_tools(out: inference_pb2.GenerateRequest, request: turns.ChatRequest) -> None:
    choice = request.tool_choice
    out.tools.extend(
        turns_pb2.Tool(name=t.name, description=t.description, parameters_json=t.parameters_json, strict=t.strict)
        for t in request.tools
    )
    out.tool_choice.mode = _TOOL_MODES[choice.mode]
    out.tool_choice.name = choice.name
    out.tool_choice.parallel = choice.parallel


def _add_resume(out: inference_pb2.Resume, attempt: Attempt) -> None:
    several = len(attempt.resume) > 1
    for choice in attempt.resume:
        out.choices.add(
            choice=choice.choice,
            token_ids=choice.tokens,
            text_sent=choice.text_sent,
            reasoning_sent=choice.reasoning_sent,
            finished=choice.finished,
            max_tokens=choice.max_tokens if several else 0,
        )


def turn(one: turns.Turn) -> turns_pb2.Turn:
    """A turn, for engines that take turns."""
    calls = [turns_pb2.ToolCall(id=c.id, name=c.name, arguments_json=c.arguments_json) for c in one.tool_calls]
    return turns_pb2.Turn(
        role=_ROLES[one.role],
        text=one.text,
        reasoning=one.reasoning,
        tool_calls=calls,
        tool_call_id=one.tool_call_id,
        name=one.name,
    )


def message(one: turns.Turn) -> dict[str, Any]:
    """A turn in OpenAI's message form, which chat templates are written for."""
    out: dict[str, Any] = {"role": one.role.value, "content": one.text}
    if one.reasoning:
        out["reasoning_content"] = one.reasoning
    if one.tool_calls:
        out["tool_calls"] = [
            {"id": c.id, "type": "function", "function": {"name": c.name, "arguments": c.arguments_json}}
            for c in one.tool_calls
        ]
    if one.tool_call_id:
        out["tool_call_id"] = one.tool_call_id
    if one.name:
        out["name"] = one.name
    return out


def tool(one: turns.Tool, parameters: Any) -> dict[str, Any]:
    """A tool in OpenAI's form; `parameters` is its decoded JSON Schema, None = none."""
    function: dict[str, Any] = {"name": one.name, "description": one.description}
    if parameters is not None:
        function["parameters"] = parameters
    return {"type": "function", "function": function}
