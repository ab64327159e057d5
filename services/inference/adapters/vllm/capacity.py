"""How much an engine holds: its own figures, checked against the formula and against the sessions it is meant for."""

from __future__ import annotations

from dataclasses import dataclass

from libs.errors import PlatformError, Reason
from services.inference.domain.model import Capacity


@dataclass(frozen=True, slots=True)
class KvFigures:
    """What a started engine says of its KV cache, and what its model's config says of one token.

    `bytes_total` is what was asked for, 0 where the engine decided. `token_bytes` is the formula's value, None where
    it does not hold (latent attention, sliding windows, hybrid or quantised caches).
    """

    blocks: int
    block_tokens: int
    bytes_total: int
    token_bytes: int | None


def token_bytes(layers: int, kv_heads: int, head_dim: int, element_bytes: int) -> int:
    """KV cache bytes of one token with plain attention: keys and values of every layer (Kwon et al. 2023, section 2).

    >>> token_bytes(layers=30, kv_heads=3, head_dim=64, element_bytes=2)
    23040
    """
    return 2 * layers * kv_heads * head_dim * element_bytes


def mismatch(figures: KvFigures, *, tolerance: float = 0.02) -> str | None:
    """Words on a difference between formula and engine past `tolerance`; None when they agree or cannot be compared."""
    if not figures.token_bytes or not figures.bytes_total:
        return None
    expected = figures.bytes_total // (figures.token_bytes * figures.block_tokens)
    if abs(figures.blocks - expected) <= max(1, tolerance * expected):
        return None
    return f"the engine has {figures.blocks} KV blocks, 2·layers·kv_heads·head_dim·bytes gives {expected}"


def plan(figures: KvFigures, *, window: int, session_tokens: int, running_max: int, waiting_max: int) -> Capacity:
    """The capacity to announce. Raises PlatformError when not one session of `session_tokens` (0 = window) fits."""
    length = min(session_tokens or window, window)
    blocks_each = -(-length // figures.block_tokens)
    sessions = figures.blocks // blocks_each
    if sessions < 1:
        raise PlatformError(
            Reason.INVALID_REQUEST,
            f"the KV cache holds {figures.blocks} blocks of {figures.block_tokens} tokens, and one session of {length}"
            f" tokens needs {blocks_each}: raise vllm.kv_cache_gib, or lower vllm.session_tokens or"
            " vllm.window_tokens",
        )
    each = figures.token_bytes or figures.bytes_total // max(1, figures.blocks * figures.block_tokens)
    return Capacity(
        block_tokens=figures.block_tokens,
        blocks=figures.blocks,
        running_max=running_max,
        waiting_max=waiting_max,
        sessions=sessions,
        kv_bytes_per_token=each,
    )
