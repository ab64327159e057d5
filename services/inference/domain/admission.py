"""What this worker refuses before any work begins, and why."""

from __future__ import annotations

from dataclasses import replace

from libs.errors import PlatformError, Reason
from services.inference.domain.model import Capabilities, ModelCard
from services.inference.domain.output.parsers_forced import forced_guided
from services.inference.domain.request import Common, Sampling, TokenWork

CHOICES_MAX = 128


def check_address(card: ModelCard, model: str, model_digest: str) -> None:
    """Raises PlatformError when the request is for another model or another state of this one."""
    if model and model != card.model and model not in card.pools and model not in card.adapters:
        names = ", ".join((card.model, *card.pools, *card.adapters))
        raise _refusal(Reason.MODEL_NOT_FOUND, f"this worker serves {names}, not {model!r}: ask the router", "model")
    if model_digest and model_digest != card.model_digest:
        raise _refusal(
            Reason.WRONG_DIGEST,
            f"the prompt was built for model digest {model_digest[:12]}, this worker has {card.model_digest[:12]}: "
            "render it again with this worker's tokenizer",
            "model_digest",
        )


def check_capabilities(common: Common, can: Capabilities, *, resumes: bool) -> None:
    """Raises PlatformError(UNSUPPORTED_PARAMETER) for what changes the answer and cannot be honoured."""
    sampling = common.sampling
    wanted = {
        "response_format": common.guided is not None and not can.guided,
        "tools": bool(common.tools) and common.tool_choice.mode == "auto" and not can.tools,
        "tool_choice": common.tool_choice.mode in {"required", "named"} and not (can.guided or can.tools),
        "n": sampling.n > 1 and not can.n,
        "seed": sampling.seed is not None and not can.seed,
        "logit_bias": bool(sampling.logit_bias) and not can.logit_bias,
        "presence_penalty": _penalised(sampling) and not can.penalties,
        "model": bool(common.adapter) and not can.lora,
        "logprobs": sampling.logprobs is not None and can.logprobs_max is None,
        "resume": resumes and can.resume.value != "exact",
    }
    if True in wanted.values():
        param = next(param for param, missing in wanted.items() if missing)
        raise _refusal(Reason.UNSUPPORTED_PARAMETER, f"this model's engine has no {param}: leave it out", param)
    if (sampling.logprobs or 0) > (can.logprobs_max or 0):
        raise _refusal(
            Reason.UNSUPPORTED_PARAMETER, f"at most {can.logprobs_max} logprobs are available", "top_logprobs"
        )


def check_sampling(sampling: Sampling) -> None:
    """Raises PlatformError(INVALID_REQUEST) for bounds that no engine takes."""
    if sampling.max_tokens < 1:
        raise _refusal(Reason.INVALID_REQUEST, "max_tokens must be at least 1", "max_tokens")
    if not 1 <= sampling.n <= CHOICES_MAX:
        raise _refusal(Reason.INVALID_REQUEST, f"n must be between 1 and {CHOICES_MAX}", "n")
    if sampling.min_tokens > sampling.max_tokens:
        raise _refusal(Reason.INVALID_REQUEST, "min_tokens exceeds max_tokens", "min_tokens")


def check_window(work: TokenWork, window_tokens: int) -> None:
    """Raises PlatformError when prompt, resumed tokens and answer do not fit, or there is no prompt."""
    if not work.prompt:
        raise _refusal(Reason.INVALID_REQUEST, "the prompt is empty", "prompt")
    resumed = {choice.choice: choice for choice in work.resume}
    prompt, sampling = len(work.prompt), work.common.sampling
    for choice in range(sampling.n):
        before = resumed.get(choice)
        if before is not None and before.finished:
            continue
        held = prompt + (len(before.token_ids) if before else 0)
        new = (before.max_tokens if before else 0) or sampling.max_tokens
        if held + new > window_tokens:
            raise _refusal(
                Reason.CONTEXT_LENGTH_EXCEEDED,
                f"the model's window is {window_tokens} tokens; the prompt has {held} and asks for {new} more: "
                "shorten the messages or max_tokens",
                "messages",
            )


def with_forced_tools(common: Common) -> Common:
    """Forced tool calls as the grammar that forces them. Raises PlatformError for tools that cannot be forced."""
    forced = forced_guided(common.tools, common.tool_choice)
    return replace(common, guided=forced) if forced else common


def _penalised(sampling: Sampling) -> bool:
    return bool(
        sampling.presence_penalty or sampling.frequency_penalty or sampling.repetition_penalty not in {None, 1.0}
    )


def _refusal(reason: Reason, message: str, param: str) -> PlatformError:
    return PlatformError(reason, message, started=False, param=param)
