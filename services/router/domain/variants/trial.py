"""Whether a variant is worse than the rest of its pool: a test that may be read after every report.

An e-process: wealth that a fair game cannot raise. Before each block of outcomes the shares of bad ones that each side
has shown so far make the bet that the variant is worse; the block multiplies the wealth by the likelihood ratio against
the best "both alike". If the variant is not worse, the chance that the wealth ever reaches 1/alpha is at most alpha, at
whatever moments one looks (Ville's inequality). R. Turner, A. Ly, P. Grünwald, "Generic E-variables for exact
sequential k-sample tests that allow for optional stopping", Journal of Statistical Planning and Inference 230, 2024
(arXiv:2106.02693), section 2.

Two things are bad: a failure, and a slow first token, where "slow" is what the rest's slowest quarter was until then.
Attempts of one session share their fate, and the inequality is for independent ones: a block counts as if only one in
`clump` attempts had been seen (its likelihood ratio to the power 1 / clump, which keeps the promise and is exact for
clumps of that size). A stop also needs a difference that matters, and enough attempts on both sides.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from services.router.domain.variants.tally import BUCKETS, Tally

# Pseudo-outcomes at the rest's share that a variant begins with: no bet before it has shown anything.
_PRIOR = 2.0
_SLOW_SHARE = 0.25


@dataclass(frozen=True, slots=True)
class TrialRule:
    """`alpha` bounds false alarms per variant and window, for both kinds, where `clump` attempts at most go alike.

    A window lasts until both sides have had `attempts_min` attempts. Nothing is stopped before that, nor for a share of
    failures less than `errors_margin`, or of slow first tokens less than `slow_margin`, above the rest's.
    """

    alpha: float
    clump: float
    window_seconds: float
    attempts_min: int
    errors_margin: float
    slow_margin: float


@dataclass(slots=True)
class Wealth:
    """One bet's log-wealth in this window, and what both sides have shown in it: (bad, all)."""

    log: float = 0.0
    own: tuple[float, float] = (0.0, 0.0)
    rest: tuple[float, float] = (0.0, 0.0)

    def bet(self, guess: tuple[float, float], own: tuple[float, float], rest: tuple[float, float]) -> None:
        """Plays a block. `guess`: the shares of bad ones, own and rest, as seen before it."""
        self.own = (self.own[0] + own[0], self.own[1] + own[1])
        self.rest = (self.rest[0] + rest[0], self.rest[1] + rest[1])
        mine, others = guess
        if mine <= others:
            return
        alike = (own[1] * mine + rest[1] * others) / (own[1] + rest[1])
        self.log += _gain(own, mine, alike) + _gain(rest, others, alike)

    def decided(self, log_needed: float, count_min: int, margin: float) -> bool:
        """Whether the variant is worse, surely and by enough."""
        if self.log < log_needed or min(self.own[1], self.rest[1]) < count_min:
            return False
        return self.own[0] / self.own[1] >= self.rest[0] / self.rest[1] + margin


@dataclass(slots=True)
class Trial:
    """One variant against the rest. Times are `Clock.monotonic`."""

    rule: TrialRule
    began_at: float
    errors: Wealth = field(default_factory=Wealth)
    slow: Wealth = field(default_factory=Wealth)
    own: Tally = field(default_factory=Tally)
    rest: Tally = field(default_factory=Tally)
    _pending: tuple[Tally, Tally] = field(default_factory=lambda: (Tally(), Tally()))

    def see(self, own: Tally, rest: Tally, now: float) -> str:
        """Takes in what came since the last call; why the variant is to be stopped, "" = it is not."""
        if now - self.began_at >= self.rule.window_seconds and self._enough():
            self._next_window(now)
        self._pending[0].add(own)
        self._pending[1].add(rest)
        if not (self._pending[0].attempts and self._pending[1].attempts):  # one side alone tells nothing
            return ""
        block, self._pending = self._pending, (Tally(), Tally())
        self._play(*block)
        self.own.add(block[0])
        self.rest.add(block[1])
        return self._verdict()

    def _play(self, own: Tally, rest: Tally) -> None:
        guess = _guess((self.own.failures, self.own.attempts), (self.rest.failures, self.rest.attempts))
        self.errors.bet(guess, (own.failures, own.attempts), (rest.failures, rest.attempts))
        edge = slow_edge(self.rest)
        if edge is None or not (own.timed and rest.timed):
            return
        guess = _guess((self.own.slow(edge), self.own.timed), (self.rest.slow(edge), self.rest.timed))
        self.slow.bet(guess, (own.slow(edge), own.timed), (rest.slow(edge), rest.timed))

    def _verdict(self) -> str:
        rule = self.rule
        needed = math.log(2.0 / rule.alpha) * rule.clump  # two bets share alpha
        if self.errors.decided(needed, rule.attempts_min, rule.errors_margin):
            return f"failures: {_said(self.errors)}"
        if self.slow.decided(needed, rule.attempts_min, rule.slow_margin):
            return f"slow first tokens: {_said(self.slow)}"
        return ""

    def _enough(self) -> bool:
        """Whether this window could have stopped anybody: a variant with few calls is not tried for ever in vain."""
        return min(self.errors.own[1], self.errors.rest[1]) >= self.rule.attempts_min

    def _next_window(self, now: float) -> None:
        """New bets; what was seen before is half as good a guess as it was."""
        self.began_at, self.errors, self.slow = now, Wealth(), Wealth()
        self.own.fade(0.5)
        self.rest.fade(0.5)


def slow_edge(rest: Tally) -> int | None:
    """The first bucket from which on at most a quarter of the rest's first tokens lie; None = it has shown none."""
    total, above = rest.timed, 0.0
    if not total:
        return None
    for index in range(BUCKETS - 1, -1, -1):
        above += rest.buckets[index]
        if above > _SLOW_SHARE * total:
            return min(index + 1, BUCKETS - 1)
    return BUCKETS - 1


def _guess(own: tuple[float, float], rest: tuple[float, float]) -> tuple[float, float]:
    others = (rest[0] + 0.5) / (rest[1] + 1.0)
    return (own[0] + _PRIOR * others) / (own[1] + _PRIOR), others


def _gain(seen: tuple[float, float], share: float, alike: float) -> float:
    bad, total = seen
    return bad * math.log(share / alike) + (total - bad) * math.log((1.0 - share) / (1.0 - alike))


def _said(wealth: Wealth) -> str:
    (bad, total), (rest_bad, rest_total) = wealth.own, wealth.rest
    return f"{bad:.0f} of {total:.0f} ({bad / total:.1%}), the rest of the pool {rest_bad / rest_total:.1%}"
