"""From a request's sampling to vLLM's arguments, with everything refused here that could harm or mislead the engine."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from libs.errors import PlatformError, Reason
from services.inference.domain.request import Common, ResumeChoice, Sampling

_BIASES_MAX = 1024
_STOP_TOKENS_MAX = 256


@dataclass(frozen=True, slots=True)
class Limits:
    """What the engine and its model set: vocabulary size, window, highest number of logprobs."""

    vocab: int
    window: int
    logprobs_max: int


def refuse(message: str, param: str, reason: Reason = Reason.INVALID_REQUEST) -> PlatformError:
    """A refusal before any work began."""
    return PlatformError(reason, message, started=False, param=param)


def _in_range(value: float | None, param: str, low: float, high: float) -> None:
    if value is not None and not (math.isfinite(value) and low <= value <= high):
        raise refuse(f"{param} is {value}, it must lie between {low:g} and {high:g}", param)


def _in_vocab(ids: Iterable[int], param: str, vocab: int) -> None:
    for token in ids:
        if not 0 <= token < vocab:
            raise refuse(f"{param} names token {token}, the model's vocabulary ends at {vocab - 1}", param)


def check(common: Common, limits: Limits) -> None:
    """Raises PlatformError(INVALID_REQUEST) for what cannot be sampled. The engine is not asked: it could die of it."""
    s = common.sampling
    _in_range(s.temperature, "temperature", 0, 2)
    _in_range(s.top_p, "top_p", 1e-6, 1)
    _in_range(s.min_p, "min_p", 0, 1)
    _in_range(s.presence_penalty, "presence_penalty", -2, 2)
    _in_range(s.frequency_penalty, "frequency_penalty", -2, 2)
    _in_range(s.repetition_penalty, "repetition_penalty", 0.01, 10)
    _in_range(s.top_k, "top_k", -1, 2**31 - 1)
    _in_range(s.max_tokens, "max_tokens", 1, 2**31 - 1)
    _in_range(s.min_tokens, "min_tokens", 0, s.max_tokens)
    _in_range(s.n, "n", 1, 2**31 - 1)
    _in_range(s.logprobs, "logprobs", 0, limits.logprobs_max)
    _check_tokens(s, limits)
    if common.guided and (s.min_tokens or s.ignore_eos):
        # The grammar decides where the output ends; forbidding its end leaves no token at all to choose from.
        param = "min_tokens" if s.min_tokens else "ignore_eos"
        raise refuse(f"{param} cannot be combined with a grammar", param, Reason.UNSUPPORTED_PARAMETER)


def _check_tokens(s: Sampling, limits: Limits) -> None:
    for bias in s.logit_bias.values():
        _in_range(bias, "logit_bias", -100, 100)
    if len(s.logit_bias) > _BIASES_MAX:
        raise refuse(f"logit_bias has {len(s.logit_bias)} entries, at most {_BIASES_MAX} are taken", "logit_bias")
    if len(s.stop_token_ids) > _STOP_TOKENS_MAX:
        raise refuse(f"stop_token_ids has more than {_STOP_TOKENS_MAX} entries", "stop_token_ids")
    _in_vocab(s.logit_bias, "logit_bias", limits.vocab)
    _in_vocab(s.stop_token_ids, "stop_token_ids", limits.vocab)


def check_prompt(prompt: list[int], resumed: int, limits: Limits) -> None:
    """Raises PlatformError when the prompt is empty, names unknown tokens or leaves no room for one new token."""
    if not prompt:
        raise refuse("the prompt is empty: send at least one token", "messages")
    if len(prompt) + resumed >= limits.window:
        raise refuse(
            f"the prompt has {len(prompt) + resumed} tokens and the context window is {limits.window}, which leaves"
            " no room for an answer: shorten the messages",
            "messages",
            Reason.CONTEXT_LENGTH_EXCEEDED,
        )
    if min(prompt) < 0 or max(prompt) >= limits.vocab:
        raise refuse(f"the prompt has token ids outside the vocabulary of {limits.vocab}", "messages")


def seed_of(seed: int, choice: int, resumed: int) -> int:
    """The engine's seed for a choice; a continuation draws from H(seed, tokens so far), so it repeats nothing."""
    if resumed:
        digest = hashlib.sha256(f"{seed}/{choice}/{resumed}".encode()).digest()
        return int.from_bytes(digest[:8], "big") >> 1
    return (seed + choice) & (2**63 - 1)


def arguments(
    sampling: Sampling,
    defaults: Mapping[str, Any],
    limits: Limits,
    *,
    choice: int,
    room: int,
    resume: ResumeChoice | None,
) -> dict[str, Any]:
    """Keyword arguments of vLLM's SamplingParams for one choice, whose prompt leaves `room` tokens of the window.

    `defaults` are the model's own (generation_config). n is always 1: every choice is a request of its own.
    """
    s = sampling
    asked = {
        "temperature": s.temperature,
        "top_p": s.top_p,
        "top_k": None if s.top_k is None else _top_k(s.top_k, limits.vocab),
        "min_p": s.min_p,
        "repetition_penalty": s.repetition_penalty,
    }
    given = {k: v for k, v in defaults.items() if k in asked} | {k: v for k, v in asked.items() if v is not None}
    bound = (resume.max_tokens if resume else 0) or s.max_tokens
    return given | {
        "presence_penalty": s.presence_penalty,
        "frequency_penalty": s.frequency_penalty,
        "max_tokens": min(bound, room),
        "min_tokens": min(s.min_tokens, bound, room),
        "seed": None if s.seed is None else seed_of(s.seed, choice, len(resume.token_ids) if resume else 0),
        "stop_token_ids": list(s.stop_token_ids),
        "logit_bias": dict(s.logit_bias) or None,
        "logprobs": s.logprobs,
        "ignore_eos": s.ignore_eos,
        "detokenize": False,
        "skip_clone": True,
    }


def _top_k(top_k: int, vocab: int) -> int:
    return top_k if 0 < top_k < vocab else 0
