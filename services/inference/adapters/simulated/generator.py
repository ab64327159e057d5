"""The next token as a function of all tokens so far and the seed: what makes continuations checkable."""

from __future__ import annotations

import math
import zlib
from collections import Counter
from collections.abc import Sequence

from libs.chat_template import unpack
from services.inference.adapters.simulated.protocol import Add, Out

_MASK = (1 << 64) - 1
_CANDIDATES = 8
_SCORE_STEP = 0.25  # between neighbouring candidates: a presence penalty of 0.3 changes the choice


def mix(value: int) -> int:
    """SplitMix64's finaliser (Steele et al. 2014): 64 well-mixed bits."""
    value = (value + 0x9E3779B97F4A7C15) & _MASK
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & _MASK
    return value ^ (value >> 31)


class Writer:
    """Writes one choice. `length` counts output tokens over all attempts, `left` what this one may still add."""

    def __init__(self, add: Add, words: Sequence[int], eos: int, eos_probability: float) -> None:
        self._add, self._words, self._eos = add, words, eos
        self._eos_below = 0 if add.ignore_eos else int(eos_probability * (1 << 64))
        self._state = zlib.crc32(add.output, zlib.crc32(add.prompt))
        self._seed = mix(add.seed & _MASK)
        self.length, self.left = len(add.output) // 4, add.max_tokens
        self._scripted = add.script_at
        self._stops = frozenset(add.stop_ids)
        self._penalised = bool(add.presence or add.frequency or add.repetition != 1.0 or add.bias)
        self._counts = Counter(unpack(add.output)) if self._penalised else Counter()
        self._prompt = frozenset(unpack(add.prompt)) if add.repetition != 1.0 else frozenset()

    def next(self) -> Out:
        """One more token."""
        draw = mix(self._state ^ self._seed)
        if self._add.script is None and not self._penalised and self._add.logprobs < 0 and not self._stops:
            token = self._eos if self._ends(draw) else self._words[draw % len(self._words)]
            out = Out(self._add.key, token)
        else:
            out = self._chosen(draw)
        self._advance(out)
        return out

    def _ends(self, draw: int) -> bool:
        return mix(draw) < self._eos_below and self.length >= self._add.min_tokens

    def _advance(self, out: Out) -> None:
        token = out.token
        self._state = zlib.crc32(token.to_bytes(4, "little"), self._state)
        self.length += 1
        self.left -= 1
        if self._penalised:
            self._counts[token] += 1
        if token == self._eos and not self._add.ignore_eos:
            out.finish = "stop"
        elif token in self._stops and self.length > self._add.min_tokens:
            out.finish, out.stop_token = "stop", token
        elif self.left <= 0:
            out.finish = "length"

    def _chosen(self, draw: int) -> Out:
        scores = self._scores(draw)
        if self._add.script is not None:
            token = self._scripted_token()
            scores[token] = 1.0
        elif self._ends(draw):
            token = self._eos
            scores[token] = 1.0
        else:
            token = max(scores, key=lambda t: (scores[t], -t))
        out = Out(self._add.key, token)
        if self._add.logprobs >= 0:
            out.logprobs = _logprobs(scores, token, self._add.logprobs)
        return out

    def _scripted_token(self) -> int:
        script = self._add.script or []
        self._scripted += 1
        return script[self._scripted - 1] if self._scripted <= len(script) else self._eos

    def _scores(self, draw: int) -> dict[int, float]:
        add, words = self._add, self._words
        count = max(_CANDIDATES, add.logprobs + 1)
        scores: dict[int, float] = {}
        for place in range(count):
            scores.setdefault(words[(draw if place == 0 else mix(draw + place)) % len(words)], -_SCORE_STEP * place)
        for token, bias in add.bias.items():
            scores[token] = scores.get(token, -20.0) + bias
        return {token: self._penalty(token, score) for token, score in scores.items()}

    def _penalty(self, token: int, score: float) -> float:
        seen = self._counts[token]
        if self._add.repetition != 1.0 and (seen or token in self._prompt):
            score = score / self._add.repetition if score > 0 else (score - 1.0) * self._add.repetition
        if seen:
            score -= self._add.presence + self._add.frequency * seen
        if token in self._stops and self.length < self._add.min_tokens:
            return -1000.0
        return score


def _logprobs(scores: dict[int, float], token: int, count: int) -> list[tuple[int, float]]:
    """The chosen token, then the `count` best."""
    total = math.log(sum(math.exp(score) for score in scores.values()))
    best = sorted(scores, key=lambda t: (-scores[t], t))[:count]
    return [(t, scores[t] - total) for t in (token, *best)]


def choice_seed(seed: int, choice: int) -> int:
    """Choices of one request differ, and are the same on every attempt."""
    return mix(seed + 0x51ED27 * choice) if choice else seed
