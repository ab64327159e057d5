"""Sampling fields of a chat body, checked."""

from __future__ import annotations

from typing import Any

from msgspec.structs import astuple

from services.gateway.domain.turns import Sampling
from services.gateway.wire.limits import Limits
from services.gateway.wire.openai_chat_types import ChatBody
from services.gateway.wire.refusals import invalid

_SEED_MAX = 2**63 - 1
_RANGES: tuple[tuple[str, float, float], ...] = (
    ("temperature", 0.0, 2.0),
    ("top_p", 1e-6, 1.0),
    ("min_p", 0.0, 1.0),
    ("presence_penalty", -2.0, 2.0),
    ("frequency_penalty", -2.0, 2.0),
    ("repetition_penalty", 0.01, 10.0),
    ("top_k", -1, 1_000_000),
    ("seed", -_SEED_MAX - 1, _SEED_MAX),
    ("top_logprobs", 0, 20),
)
# The sampling fields stand together in the body.
_FIRST = ChatBody.__struct_fields__.index("max_completion_tokens")
_LAST = ChatBody.__struct_fields__.index("ignore_eos")
_STOP_CHARS_MAX = 1000
_BIASES_MAX = 1024


class SamplingDecoder:
    """Checks and converts sampling fields, and remembers: an agent asks for the same with every call."""

    def __init__(self, limits: Limits, cached_max: int = 1024) -> None:
        self._limits = limits
        self._cached_max = cached_max
        self._cache: dict[tuple[Any, ...], Sampling] = {}

    def decode(self, body: ChatBody) -> Sampling:
        """As `sampling_of`. Bodies with lists or maps among these fields are converted each time."""
        key = astuple(body)[_FIRST : _LAST + 1]
        try:
            known = self._cache.get(key)
        except TypeError:
            return sampling_of(body, self._limits)
        if known is None:
            known = sampling_of(body, self._limits)
            if len(self._cache) >= self._cached_max:
                self._cache.clear()
            self._cache[key] = known
        return known


def sampling_of(body: ChatBody, limits: Limits) -> Sampling:
    """The body's sampling; raises PlatformError(INVALID_REQUEST) naming the field and its bounds."""
    for name, low, high in _RANGES:
        value = getattr(body, name)
        if value is not None and not low <= value <= high:
            raise invalid(name, f"'{name}' must be between {low:g} and {high:g}.")
    max_tokens = _max_tokens(body, limits)
    return Sampling(
        max_tokens=max_tokens,
        temperature=body.temperature,
        top_p=body.top_p,
        top_k=body.top_k,
        min_p=body.min_p,
        seed=body.seed,
        stop=_stop(body.stop, limits) if body.stop else (),
        presence_penalty=body.presence_penalty or 0.0,
        frequency_penalty=body.frequency_penalty or 0.0,
        repetition_penalty=body.repetition_penalty,
        logit_bias=_biases(body.logit_bias) if body.logit_bias else {},
        logprobs=_logprobs(body),
        n=_bounded("n", body.n, limits.n_max) or 1,
        min_tokens=_min_tokens(body, max_tokens),
        ignore_eos=bool(body.ignore_eos),
    )


def _max_tokens(body: ChatBody, limits: Limits) -> int | None:
    if body.max_completion_tokens is not None:
        return _bounded("max_completion_tokens", body.max_completion_tokens, limits.max_tokens_max)
    return _bounded("max_tokens", body.max_tokens, limits.max_tokens_max)


def _bounded(name: str, value: int | None, most: int) -> int | None:
    if value is not None and not 1 <= value <= most:
        raise invalid(name, f"'{name}' must be between 1 and {most}.")
    return value


def _min_tokens(body: ChatBody, max_tokens: int | None) -> int:
    value = body.min_tokens or 0
    most = max_tokens if max_tokens is not None else 1_000_000
    if not 0 <= value <= most:
        raise invalid("min_tokens", f"'min_tokens' must be between 0 and {most}.")
    return value


def _stop(stop: str | list[str], limits: Limits) -> tuple[str, ...]:
    strings = (stop,) if isinstance(stop, str) else tuple(stop)
    if len(strings) > limits.stop_max:
        raise invalid("stop", f"'stop' may hold at most {limits.stop_max} strings.")
    if not all(0 < len(s) <= _STOP_CHARS_MAX for s in strings):
        raise invalid("stop", f"Each string in 'stop' must have 1 to {_STOP_CHARS_MAX} characters.")
    return strings


def _biases(given: dict[str, float]) -> dict[int, float]:
    if len(given) > _BIASES_MAX:
        raise invalid("logit_bias", f"'logit_bias' may hold at most {_BIASES_MAX} tokens.")
    for token, bias in given.items():
        # The length bound keeps the id inside 32 bits, its type on the way to the engine.
        if not (token.isascii() and token.isdigit() and len(token) <= 9):
            raise invalid("logit_bias", "The keys of 'logit_bias' must be token ids.")
        if not -100.0 <= bias <= 100.0:
            raise invalid("logit_bias", "The values of 'logit_bias' must be between -100 and 100.")
    return {int(token): bias for token, bias in given.items()}


def _logprobs(body: ChatBody) -> int | None:
    if body.logprobs:
        return body.top_logprobs or 0
    if body.top_logprobs:
        raise invalid("top_logprobs", "'top_logprobs' needs 'logprobs': true.")
    return None
