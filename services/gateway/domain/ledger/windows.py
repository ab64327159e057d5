"""Windows of a budget: they follow each other from its anchor on, each with what was settled and held in it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import NamedTuple


class BudgetLimit(NamedTuple):
    """One budget of a scope. `length_us` 0 = "total", for ever; `soft` -1 = none. Amounts are nano-dollars."""

    duration: str
    length_us: int
    limit: int
    soft: int
    anchor_us: int

    def start_at(self, now: int) -> int:
        """Start of the window that `now` is in; before the anchor there is the first window already."""
        return self.anchor_us + max(0, (now - self.anchor_us) // self.length_us) * self.length_us


@dataclass(slots=True)
class Window:
    """`told` is the soft limit whose crossing was told in this window; -1 = none."""

    start: int
    settled: int = 0
    held: int = 0
    told: int = -1


@dataclass(slots=True)
class Windows:
    """Windows of one duration: the present one, and aside those that are over and that running calls still count in."""

    present: Window
    aside: dict[int, Window] = field(default_factory=dict)

    def copy(self) -> Windows:
        """One that can be changed without this one."""
        return Windows(replace(self.present), {start: replace(window) for start, window in self.aside.items()})

    def roll(self, budget: BudgetLimit, now: int) -> Window:
        """The window at `now`. Time that steps back does not bring an earlier one back.

        An anchor that moves does, unless it moves by whole windows.
        """
        start = budget.start_at(now)
        if start > self.present.start or (self.present.start - start) % budget.length_us != 0:
            if self.present.held > 0:
                self.aside[self.present.start] = replace(self.present, told=-1)
            self.present = self.aside.pop(start) if start in self.aside else Window(start)
        return self.present

    def at(self, start: int) -> Window | None:
        """The window that began at `start`, as long as something is held in it or it is the present one."""
        return self.present if self.present.start == start else self.aside.get(start)

    def move(self, start: int, settled: int, held: int) -> None:
        """Adds to what is settled and held in a window; one that is over and holds nothing is forgotten."""
        window = self.at(start)
        if window is None:
            return
        window.settled += settled
        window.held += held
        if window is not self.present and window.held <= 0:
            del self.aside[start]
