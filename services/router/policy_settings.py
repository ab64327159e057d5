"""Settings of tiers, policy and variants."""

from __future__ import annotations

from decimal import Decimal
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from libs.money import AmountError, from_dollars
from libs.settings import SettingsGroup

TierName = Literal["small", "large", "frontier"]


class TierPoolSettings(SettingsGroup):
    """A pool of a tier: a name of the catalog, whether own workers or an upstream provider serve it."""

    pool: str = Field(min_length=1, max_length=255)
    # What policy weighs a switch with, in dollars per million tokens. The ledger has its own prices; here wrong ones
    # only move sessions too soon or too late. All 0: a switch down never pays.
    input_usd_per_million: Decimal = Decimal(0)
    # Prompt tokens found in the prefix cache; empty = as much as other prompt tokens.
    cached_usd_per_million: Decimal | None = None
    output_usd_per_million: Decimal = Decimal(0)

    @field_validator("input_usd_per_million", "cached_usd_per_million", "output_usd_per_million")
    @classmethod
    def _an_amount(cls, value: Decimal | None) -> Decimal | None:
        try:
            from_dollars(value or 0)
        except AmountError as problem:
            raise ValueError(str(problem)) from problem
        return value


class TiersSettings(SettingsGroup):
    """Which pools are small, large and frontier, in order of preference. All empty: there is no `auto`."""

    small: tuple[TierPoolSettings, ...] = ()
    large: tuple[TierPoolSettings, ...] = ()
    frontier: tuple[TierPoolSettings, ...] = ()

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        pools = [each.pool for tier in (self.small, self.large, self.frontier) for each in tier]
        if twice := sorted({pool for pool in pools if pools.count(pool) > 1}):
            raise ValueError(f"pool {twice[0]!r} is in the tiers twice; a pool belongs to one tier")
        return self


class ThresholdSettings(SettingsGroup):
    """From which score of the classifier (0 to 1, higher = harder) a turn gets a dearer tier.

    `headrace router calibrate --strong-share 0.3 traffic.jsonl` finds the value of `large` for your own traffic.
    """

    # 0 = never small, 1 = hardly ever large.
    large: float = Field(default=0.5, ge=0.0, le=1.0)
    # 1 = only scores that leave no doubt, and stalled agents.
    frontier: float = Field(default=0.85, ge=0.0, le=1.0)
    # What auto:cheap and auto:best move both thresholds by, in log-odds. 0 = they are auto; 1 makes 0.5 to 0.73 and
    # 0.27; above 4 auto:cheap is small and auto:best the highest tier for nearly everything.
    mode_shift: float = Field(default=1.0, ge=0.0, le=10.0)

    @model_validator(mode="after")
    def _rising(self) -> Self:
        if self.frontier < self.large:
            raise ValueError("thresholds.frontier must not be below thresholds.large")
        return self


class PolicySettings(SettingsGroup):
    """What happens where scores alone do not decide."""

    # For turns that nothing is known of. "small" saves the most and answers hard ones badly without a sign of it.
    unsure: TierName = "large"
    # Where a call goes whose tier cannot serve it: "up" takes the better tiers first, "down" the cheaper ones, each
    # then the others; "none" leaves it with its tier, and a 503. Never below the request's min_tier.
    fallback: Literal["up", "down", "none"] = "up"
    # User turns in a row that must want less before a session goes down. 1 goes down at the first easy question, and
    # pays for the context again at the next hard one.
    cooldown_turns: int = Field(default=2, ge=1, le=100)
    # A session is expected to go on for as many user turns as it has had, at most these. 1 moves hardly any long one.
    turns_ahead_max: int = Field(default=8, ge=1, le=1000)
    # Tokens of an answer, for what a turn costs on either tier.
    output_tokens: int = Field(default=300, ge=0, le=1_000_000)
    # An agent stalls when, of its last six tool results, so many are the same call or the same error, or so many
    # failed: it goes one tier up. 7 = never.
    stall_repeats: int = Field(default=3, ge=2, le=7)
    stall_errors: int = Field(default=3, ge=1, le=7)
    # Sessions whose tier this process knows without asking, about 0.5 KiB each.
    cache_size_max: int = Field(default=100_000, ge=1000, le=10_000_000)


class VariantSettings(SettingsGroup):
    """One variant of a pool."""

    # In reports and replies. The same name and model may not stand in two pools: reports could not tell them apart.
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$")
    # The name of the catalog that its workers serve.
    model: str = Field(min_length=1, max_length=255)
    # Share of new sessions: weight over the sum of weights. What an operator has set since, in the store, wins.
    weight: int = Field(default=1, ge=0, le=1_000_000)


class TrialSettings(SettingsGroup):
    """When a variant is stopped by itself. The first of a pool never is: it is what the others are held against."""

    # Bound on false alarms per variant and window. 1e-4 at ten minutes is at most one false stop in 70 days of A/A;
    # smaller needs more attempts to be sure (a tenth: about a quarter more).
    false_alarms: float = Field(default=1e-4, gt=0.0, le=0.1)
    # Attempts that share their fate, as those of one session do: evidence counts for so much less. 1 takes each for
    # itself, and one unlucky session may stop a variant; 10 needs ten times the attempts.
    clump: float = Field(default=4.0, ge=1.0, le=1000.0)
    # What was seen before counts half as much in the next window. Shorter notices sooner what has gone bad after a good
    # time, and promises less, for each window may be wrong; it lasts until both sides have had `attempts_min`.
    window_seconds: float = Field(default=600.0, ge=10.0, le=86_400.0)
    # Attempts on either side before anything is stopped. Low values stop for a moment's trouble.
    attempts_min: int = Field(default=50, ge=10, le=1_000_000)
    # By how much the share of failed attempts must be above the rest's: what is worse by less is left alone.
    errors_margin: float = Field(default=0.02, ge=0.0, le=1.0)
    # The same for slow first tokens (slow = what the rest's slowest quarter is).
    slow_margin: float = Field(default=0.15, ge=0.0, le=1.0)


def refuse_ambiguous(variants: dict[str, tuple[VariantSettings, ...]]) -> None:
    """Raises ValueError where names leave a doubt, or a pool could serve nobody."""
    seen: set[tuple[str, str]] = set()
    for pool, split in variants.items():
        if len(split) < 2 or not any(each.weight for each in split):
            raise ValueError(f"variants.{pool} needs at least two variants, one of them with a weight")
        if len({each.name for each in split}) < len(split):
            raise ValueError(f"variants.{pool} has a name twice")
        if any(each.model == pool for each in split):
            raise ValueError(f"variants.{pool} has itself as a variant; name the models behind it")
        if nested := next((each.model for each in split if each.model in variants), None):
            raise ValueError(f"variants.{pool} has {nested!r}, which is split itself; name the models behind it")
        pairs = {(each.name, each.model) for each in split}
        if seen & pairs:
            name, model = min(seen & pairs)
            raise ValueError(f"variant {name!r} of model {model!r} stands in two pools; give one another name")
        seen |= pairs
