"""Where a call may run: workers in order, as the router answers.

Made for every call and never changed: not frozen, because that triples the cost of making them.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Candidate:
    """One worker of a plan. `boot_id` tells its life apart from a later one under the same name."""

    worker: str
    address: str
    boot_id: str
    model_digest: str
    reason: str = ""


@dataclass(slots=True)
class Plan:
    """Candidates, best first. `binding_uncertain`: the store was away, so placement was by hash."""

    candidates: list[Candidate]
    binding_version: int = 0
    binding_uncertain: bool = False


@dataclass(slots=True)
class PlaceQuery:
    """What the router needs for a plan. `session` has a binding; `affinity_key` only places."""

    request_id: str
    tenant: str
    model: str
    model_digest: str
    prompt_tokens: int
    session: str = ""
    affinity_key: str = ""
    exclude_workers: tuple[str, ...] = ()
