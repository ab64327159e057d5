"""Choices of sessions, remembered from one step of a tool loop to the next: tiers change at user turns only.

A loop's steps are most of an agent's calls. What could change the router's answer in between ends it here: a stall, a
failure on a chosen model, a changed catalog, and time.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

from libs.clock import Clock
from libs.resilience.jitter import shortened
from services.gateway.domain.choose import Choices, ChooseQuery
from services.gateway.domain.route import Choice

# Of six steps; the router moves an agent up that does, or fails, the same three times.
STALLED = 3
STICKY = "sticky"
# What the router's word for this one turn was becomes "the session's tier" on the next; a variant stays what it is.
_OF_THE_TURN = frozenset({"classified", "unsure", "stalled"})


class _Kept(NamedTuple):
    asked: tuple[str, str, tuple[str, ...]]
    choices: Choices
    catalog: int
    until: float


class RememberedChoices:
    """Of the last `sessions_max` sessions, each for `keep_seconds` at most (0 = none)."""

    def __init__(
        self,
        catalog_version: Callable[[], int],
        clock: Clock,
        keep_seconds: float,
        sessions_max: int,
        *,
        uniform: Callable[[], float],
    ) -> None:
        """`uniform` gives numbers from 0 to 1: lifetimes are cut by up to a quarter, so that a herd's end apart."""
        self._uniform = uniform
        self._version, self._clock = catalog_version, clock
        self._keep_seconds, self._sessions_max = keep_seconds, sessions_max
        self._kept: OrderedDict[tuple[str, str], _Kept] = OrderedDict()

    def find(self, query: ChooseQuery) -> Choices | None:
        """What the router said of an earlier turn of this session, if it would say so again."""
        turn = query.turn
        if not (query.session and turn.tool_depth) or max(turn.repeats, turn.tool_errors) >= STALLED:
            return None
        kept = self._kept.get((query.tenant, query.session))
        if kept is None or kept.asked != _asked(query) or kept.catalog != self._version():
            return None
        return kept.choices if kept.until > self._clock.monotonic() else None

    def keep(self, query: ChooseQuery, choices: Choices, catalog: int) -> None:
        """What the router said; `catalog` is the version it was asked under."""
        if not query.session or not self._keep_seconds:
            return
        sticky = replace(choices, choices=tuple([_sticky(choice) for choice in choices.choices]))
        key = (query.tenant, query.session)
        until = self._clock.monotonic() + shortened(self._keep_seconds, self._uniform)
        self._kept[key] = _Kept(_asked(query), sticky, catalog, until)
        self._kept.move_to_end(key)
        if len(self._kept) > self._sessions_max:
            self._kept.popitem(last=False)

    def forget(self, tenant: str, session: str) -> None:
        """Something failed: the router is asked again."""
        self._kept.pop((tenant, session), None)


def _asked(query: ChooseQuery) -> tuple[str, str, tuple[str, ...]]:
    return query.model, query.min_tier, query.models_allowed


def _sticky(choice: Choice) -> Choice:
    return replace(choice, reason=STICKY) if choice.reason in _OF_THE_TURN else choice
