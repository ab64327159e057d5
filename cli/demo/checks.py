"""Expectations of the demo: each is said in words, and the exit status counts them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass
class Checks:
    """Collects what held and what did not; `say` shows each as it is known."""

    say: Callable[[str], None]
    results: list[dict[str, object]] = field(default_factory=list)

    def expect(self, held: bool, expectation: str, otherwise: str = "") -> bool:
        """Notes whether `expectation` held; `otherwise` says what was seen instead."""
        self.results.append({"expectation": expectation, "held": held, "seen": "" if held else otherwise})
        self.say(f"  {'ok' if held else 'NOT SO'}: {expectation}" + (f" ({otherwise})" if not held else ""))
        return held

    @property
    def all_held(self) -> bool:
        """True when something was expected and all of it held."""
        return bool(self.results) and all(result["held"] for result in self.results)
