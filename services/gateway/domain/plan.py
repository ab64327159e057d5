"""Where a call may run: workers in order, as the router answers."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Candidate:
    """One worker of a plan. `boot_id` tells its life apart from a later one under the same name."""

    worker: str
    address: str
    boot_id: str
    model_digest: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """Candidates, best first. `binding_uncertain`: the store was away, so placement was by hash."""

    candidates: tuple[Candidate, ...]
    binding_version: int = 0
    binding_uncertain: bool = False


@dataclass(frozen=True, slots=True)
class PlaceQuery:
    """What the router needs for a plan. `session` has a binding; `affinity_key` only places."""

    request_id: str
    tenant: str
    model: str
    model_digest: str
    prompt_tokens: int
    session: str = ""
    affinity_key: str = ""
    exclude_workers: tuple[str, ...] = field(default_factory=tuple)
