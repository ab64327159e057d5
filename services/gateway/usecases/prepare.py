"""From a request and a model to work that a worker can take: checked, templated, tokenised, measured."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from libs.clock import Clock
from services.gateway.domain.honour import check_capabilities
from services.gateway.domain.models import ModelInfo
from services.gateway.domain.prompt import Prompt
from services.gateway.domain.salt import CacheSalts
from services.gateway.domain.turns import ChatRequest, Principal
from services.gateway.domain.window import answer_tokens
from services.gateway.domain.work import Work
from services.gateway.ports import Encoders
from services.gateway.usecases.deadline import Deadline

SECONDS_PER_DAY = 86_400


@dataclass(frozen=True, slots=True)
class PrepareLimits:
    """Bounds on what a call may ask for by saying nothing."""

    # Answer tokens when the client names no max_tokens; the window may leave less. High values let one runaway answer
    # hold its KV blocks for minutes.
    default_answer_tokens_max: int = 4096
    # The longest wait for a tokenizer that is not in memory. Too low fails the first calls after a roll-out.
    tokenizer_timeout_seconds: float = 10.0


class Preparer:
    """Makes `Work`; holds nothing of a call."""

    def __init__(self, encoders: Encoders, salts: CacheSalts, clock: Clock, limits: PrepareLimits) -> None:
        self._encoders = encoders
        self._salts = salts
        self._clock = clock
        self._limits = limits

    async def prepare(
        self,
        request: ChatRequest,
        info: ModelInfo,
        principal: Principal,
        *,
        request_id: str,
        opened: datetime | None,
        deadline: Deadline,
    ) -> Work:
        """The work of `request` on `info`; `opened` is when its session began, None without one.

        Raises PlatformError: UNSUPPORTED_PARAMETER, CONTEXT_LENGTH_EXCEEDED, INVALID_REQUEST, or what FetchTokenizer
        failed with.
        """
        check_capabilities(request, info)
        packed: bytes | None = None
        # An engine that counts for itself is bounded too: what is held must be what it may produce.
        wanted, cap = request.sampling.max_tokens, self._limits.default_answer_tokens_max
        count, max_tokens = 0, cap if wanted is None else wanted
        if info.capabilities.tokens_in:
            encoder = self._encoders.cached(info)
            if encoder is None:
                timeout = deadline.left(self._limits.tokenizer_timeout_seconds)
                encoder = await self._encoders.fetch(info, timeout=timeout)
            encoded = await encoder.encode(self._prompt(request, opened), principal.tenant)
            packed, count = encoded.packed, encoded.count
            max_tokens = answer_tokens(count, info.window_tokens, wanted, cap)
        salt, session = self._salts.salt(principal.tenant), request.session.explicit
        return Work(request_id, request, info, packed, count, max_tokens, salt, session)

    def uncounted(self, request: ChatRequest, info: ModelInfo) -> Work:
        """Work whose prompt nobody can count now, for an estimate of what it costs. Raises UNSUPPORTED_PARAMETER."""
        check_capabilities(request, info)
        wanted, cap = request.sampling.max_tokens, self._limits.default_answer_tokens_max
        return Work("", request, info, None, 0, cap if wanted is None else wanted, "", "")

    def _prompt(self, request: ChatRequest, opened: datetime | None) -> Prompt:
        # tool_choice "none" must not tempt the model with tools whose calls nobody would parse.
        tools = () if request.tool_choice.mode == "none" else request.tools
        return Prompt(request.turns, tools, opened or self._today())

    def _today(self) -> datetime:
        # Without a session, whole days keep the prompts of equal conversations equal.
        today = self._clock.unix() // SECONDS_PER_DAY * SECONDS_PER_DAY
        return datetime.fromtimestamp(today, UTC)
