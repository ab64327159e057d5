"""An answer that is kept to stand in for one that nobody can make: which may be, for which request, for how long."""

from __future__ import annotations

from hashlib import blake2b

import msgspec

from services.gateway.domain.choose import AUTO_NAMES
from services.gateway.domain.turns import ChatRequest, Principal

SECONDS_MAX = 3600.0
# What could be made again with the same request. Anything else in a request says who asks, how, or where it runs.
_PARTS = ("model", "turns", "sampling", "tools", "tool_choice", "guided")


class CachedCall(msgspec.Struct, frozen=True):
    """A tool call of the answer."""

    id: str
    name: str
    arguments: str


class CachedAnswer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A whole answer. `at` is the Unix time of its end."""

    request_id: str
    at: float
    model: str
    finish: str = "stop"
    content: str = ""
    reasoning: str = ""
    tool_calls: tuple[CachedCall, ...] = ()
    prompt_tokens: int = 0
    completion_tokens: int = 0
    reasoning_tokens: int = 0


def cacheable(request: ChatRequest, principal: Principal) -> bool:
    """Whether the key takes stored answers, and the request's answer is the one that it would get again.

    Temperature 0 has to be asked for: a model's default is another. Log-probabilities are not kept.
    """
    sampling = request.sampling
    return principal.cached_answers and sampling.temperature == 0 and sampling.n <= 1 and sampling.logprobs is None


def digest_of(request: ChatRequest, secret: bytes) -> str:
    """A digest of all that makes the answer what it is; keyed, so that the store's readers cannot guess at prompts."""
    whole = msgspec.msgpack.encode([request.constraints.min_tier, *[getattr(request, part) for part in _PARTS]])
    return blake2b(whole, digest_size=24, key=blake2b(secret).digest(), person=b"cached-answer").hexdigest()


def usable(answer: CachedAnswer, request: ChatRequest, principal: Principal, now: float) -> bool:
    """Whether the answer is young enough at `now` (Unix seconds), and of a model that the key may use.

    Who may use a pool may have the answer of what it is split into.
    """
    barred = request.model in AUTO_NAMES and principal.models is not None and answer.model not in principal.models
    return now - answer.at <= SECONDS_MAX and not barred
