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
    # Prompt tokens that its cache is expected to hold, and what the placement weighed (lower is better).
    cached_tokens: int = 0
    cost: float = 0.0


@dataclass(slots=True)
class Plan:
    """Candidates, best first. `binding_uncertain`: the store was away, so placement was by hash.

    `predicted`: the candidates' `cached_tokens` mean something.
    """

    candidates: list[Candidate]
    binding_version: int = 0
    binding_uncertain: bool = False
    predicted: bool = False


@dataclass(slots=True)
class PlaceQuery:
    """What the router needs for a plan. `session` has a binding; `affinity_key` only places.

    `prompt` is token ids as little-endian uint32, hashed in blocks of `block_tokens` under `cache_salt` only when the
    router is asked; 0 or None = the router learns nothing of the prompt.
    """

    request_id: str
    tenant: str
    model: str
    model_digest: str
    prompt_tokens: int
    session: str = ""
    affinity_key: str = ""
    exclude_workers: tuple[str, ...] = ()
    root_session: str = ""
    prompt: bytes | None = None
    block_tokens: int = 0
    cache_salt: str = ""
