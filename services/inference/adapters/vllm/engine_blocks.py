"""From vLLM's names of KV blocks to ours: its hashes depend on its version and settings, and no gateway has them.

The events are those of vLLM 0.32's `vllm.distributed.kv_events`, of which only the fields that are used stand here.
vLLM announces every copy of a block that it makes, and every one that it gives up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from libs.block_hash import block_hash, block_hashes
from libs.chat_template import pack
from services.inference.ports import BlockSink

EngineHash = bytes | int
_DEVICE = "GPU"  # vLLM's word for the engine's own memory, on a CPU too


class BlockStored(msgspec.Struct, tag=True, gc=False):
    """Blocks of one request that have become full, in order; `extra_keys`: what beside tokens went into each hash."""

    block_hashes: list[EngineHash]
    parent_block_hash: EngineHash | None
    token_ids: list[int]
    block_size: int
    medium: str | None = None
    lora_name: str | None = None
    extra_keys: list[list[object] | None] | None = None
    group_idx: int | None = None


class BlockRemoved(msgspec.Struct, tag=True, gc=False):
    """Copies of blocks that were given up."""

    block_hashes: list[EngineHash]
    medium: str | None = None
    group_idx: int | None = None


class AllBlocksCleared(msgspec.Struct, tag=True, gc=False):
    """The prefix cache was reset."""


KvEvent = BlockStored | BlockRemoved | AllBlocksCleared


class EventBatch(msgspec.Struct, array_like=True, gc=False):
    """What one engine step did."""

    ts: float
    events: list[KvEvent]


@dataclass(slots=True)
class _Known:
    """A block of the engine: our hash, what it is salted with, and its copies."""

    ours: int
    salt: str
    adapter: str
    copies: int = 0


class UnsupportedEventsError(Exception):
    """The engine's cache is none whose blocks are prefixes of one size: nothing true can be said of it."""


class EngineBlocks:
    """Applies events, and tells `sink` of the same blocks by our hashes. Memory: about 400 bytes per block."""

    def __init__(self, block_tokens: int, sink: BlockSink) -> None:
        self._block_tokens, self._sink = block_tokens, sink
        self._known: dict[EngineHash, _Known] = {}
        self.unmapped = 0

    def apply(self, events: Sequence[KvEvent]) -> None:
        """Raises UnsupportedEventsError."""
        for event in events:
            if isinstance(event, BlockStored):
                self._stored(event)
            elif isinstance(event, BlockRemoved):
                self._removed(event)
            else:
                self.forget()

    def forget(self) -> None:
        """Nothing is known any more. What comes later behind blocks from before cannot be named either."""
        self._known.clear()
        self._sink.cleared()

    def _stored(self, event: BlockStored) -> None:
        if event.medium not in {None, _DEVICE}:
            return
        self._check(event)
        start = self._start(event)
        if start is None:
            self.unmapped += len(event.block_hashes)
            return
        parent, salt, adapter = start
        count = _plain(event, adapter)
        self.unmapped += len(event.block_hashes) - count
        tokens = pack(event.token_ids[: count * self._block_tokens])
        if count == 1:  # an answer that grows
            ours = [block_hash(tokens, salt, adapter, parent)]
        else:
            ours = block_hashes(tokens, self._block_tokens, salt, adapter, parent).tolist()
        for theirs, our in zip(event.block_hashes[:count], ours, strict=True):
            known = self._known.get(theirs)
            if known is None:
                known = self._known[theirs] = _Known(our, salt, adapter)
            known.copies += 1
        self._sink.stored(ours)

    def _check(self, event: BlockStored) -> None:
        if event.group_idx:
            raise UnsupportedEventsError("the model has several groups of KV caches (a hybrid of attention kinds)")
        if event.block_size != self._block_tokens:
            raise UnsupportedEventsError(f"a block has {event.block_size} tokens, not {self._block_tokens}")
        if len(event.token_ids) != self._block_tokens * len(event.block_hashes):
            raise UnsupportedEventsError("some blocks of a prefix are left out (sparse or sliding attention)")

    def _start(self, event: BlockStored) -> tuple[int | None, str, str] | None:
        """What the first block hangs on: parent, salt, adapter. None where that is not known."""
        adapter = event.lora_name or ""
        if event.parent_block_hash is not None:
            known = self._known.get(event.parent_block_hash)
            return (known.ours, known.salt, known.adapter) if known else None
        # Untagged, in this order: adapter, images, salt, embeddings. With images or embeddings, tokens say too little.
        keys = list((event.extra_keys or [None])[0] or ())
        if adapter and keys and keys[0] == adapter:
            del keys[0]
        if not all(isinstance(key, str) for key in keys) or len(keys) > 1:
            return None
        return None, str(keys[0]) if keys else "", adapter

    def _removed(self, event: BlockRemoved) -> None:
        if event.medium not in {None, _DEVICE}:
            return
        gone = []
        for theirs in event.block_hashes:
            known = self._known.get(theirs)
            if known is not None:
                gone.append(known.ours)
                known.copies -= 1
                if not known.copies:
                    del self._known[theirs]
        self._sink.dropped(gone)


def _plain(event: BlockStored, adapter: str) -> int:
    """Leading blocks that tokens, adapter and salt tell all of: the first image or embedding ends them.

    The first block of a prompt is `EngineBlocks._start`'s to judge: it alone may have a salt.
    """
    first = 1 if event.parent_block_hash is None else 0
    keys = enumerate((event.extra_keys or [])[first:], first)
    return next((at for at, of in keys if of and any(key != adapter for key in of)), len(event.block_hashes))
