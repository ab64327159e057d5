"""Whether an engine can do what a request asks, and whether its answer could be continued elsewhere."""

from __future__ import annotations

from libs.errors import PlatformError, Reason
from services.gateway.domain.models import Capabilities, ModelInfo
from services.gateway.domain.turns import ChatRequest, Sampling

FORCED_TOOLS = frozenset({"required", "named"})


def check_capabilities(request: ChatRequest, info: ModelInfo) -> None:
    """Raises UNSUPPORTED_PARAMETER for the first field that changes the answer and cannot be honoured."""
    param = _unsupported(request, info.capabilities)
    if param is None:
        return
    message = (
        f"'{param}' is not supported by model '{info.name}' (engine '{info.engine}'): it would be ignored. "
        f"Leave it out, or choose a model that supports it."
    )
    raise PlatformError(Reason.UNSUPPORTED_PARAMETER, message, started=False, param=param)


def _unsupported(request: ChatRequest, can: Capabilities) -> str | None:
    sampling, mode = request.sampling, request.tool_choice.mode if request.tools else "none"
    asked_and_able = (
        ("response_format", request.guided is not None, can.guided),
        ("tools", mode == "auto", can.tools),
        ("tool_choice", mode in FORCED_TOOLS, can.guided or can.tools),
        ("n", sampling.n > 1, can.n),
        ("seed", sampling.seed is not None, can.seed),
        ("logit_bias", bool(sampling.logit_bias), can.logit_bias),
        ("logprobs", sampling.logprobs is not None, can.logprobs_max is not None),
        ("top_logprobs", (sampling.logprobs or 0) > (can.logprobs_max or 0), False),
        (_penalty(sampling), True, can.penalties),
    )
    for param, asked, able in asked_and_able:
        if asked and not able and param:
            return param
    return None


def _penalty(sampling: Sampling) -> str | None:
    """Name of the penalty in use, None when there is none."""
    if sampling.presence_penalty:
        return "presence_penalty"
    if sampling.frequency_penalty:
        return "frequency_penalty"
    if sampling.repetition_penalty not in (None, 1.0):
        return "repetition_penalty"
    return None


def resumable(request: ChatRequest, can: Capabilities) -> bool:
    """Whether a started answer may be continued by another worker without being silently wrong.

    A grammar must be fed the tokens so far and penalties must count them. `min_tokens` is reduced by what was sent,
    which one choice alone can be; it also moves where stop strings begin to count: not both.
    """
    if not (can.resume and can.tokens_in):
        return False
    sampling = request.sampling
    forced = bool(request.tools) and request.tool_choice.mode in FORCED_TOOLS
    if (request.guided is not None or forced) and not can.resume_guided:
        return False
    if _penalty(sampling) is not None and not can.resume_penalties:
        return False
    return sampling.min_tokens == 0 or (sampling.n <= 1 and not sampling.stop)
