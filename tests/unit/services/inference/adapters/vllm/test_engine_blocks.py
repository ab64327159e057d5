from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.block_hash import block_hashes
from libs.chat_template import pack
from services.inference.adapters.vllm.engine_blocks import (
    AllBlocksCleared,
    BlockRemoved,
    BlockStored,
    EngineBlocks,
    UnsupportedEventsError,
)
from services.inference.domain.cached_blocks import CachedBlocks

SIZE = 4


def ours(tokens, salt="", adapter=""):
    return block_hashes(pack(tokens), SIZE, salt, adapter).tolist()


def stored(tokens, *, names, parent=None, keys=None, **more):
    return BlockStored(list(names), parent, list(tokens), SIZE, extra_keys=keys, medium="GPU", **more)


class Rig:
    def __init__(self):
        self.cache = CachedBlocks(1000)
        self.blocks = EngineBlocks(SIZE, self.cache)

    def apply(self, *events):
        self.blocks.apply(events)

    @property
    def held(self):
        return set(self.cache._held)


@pytest.mark.parametrize(
    ("keys", "lora", "salt", "adapter"),
    [
        (None, None, "", ""),
        ([None, None], None, "", ""),
        ([["s"], None], None, "s", ""),
        ([["blue"], ["blue"]], "blue", "", "blue"),
        ([["blue", "s"], ["blue"]], "blue", "s", "blue"),
        ([["blue", "blue"], ["blue"]], "blue", "blue", "blue"),
    ],
)
def test_salt_and_adapter_are_read_from_the_first_block(keys, lora, salt, adapter):
    rig = Rig()
    rig.apply(stored(range(8), names=[b"1", b"2"], keys=keys, lora_name=lora))
    assert rig.held == set(ours(range(8), salt, adapter))


def test_later_blocks_hang_on_their_parents_and_inherit_the_salt():
    rig = Rig()
    rig.apply(stored(range(4), names=[b"1"], keys=[["s"]]))
    rig.apply(stored(range(4, 8), names=[b"2"], parent=b"1", keys=[None]))
    assert rig.held == set(ours(range(8), "s"))


def test_copies_count_and_only_the_last_one_to_go_is_told():
    rig = Rig()
    rig.apply(stored(range(4), names=[b"1"]), stored(range(4), names=[b"1"]))
    rig.apply(BlockRemoved([b"1"]))
    assert rig.held == set(ours(range(4)))
    rig.apply(BlockRemoved([b"1"]), BlockRemoved([b"1"]))
    assert not rig.held
    rig.apply(stored(range(4, 8), names=[b"2"], parent=b"1"))
    assert not rig.held, "a block behind one that is gone has no name"
    assert rig.blocks.unmapped == 1


def test_a_reset_and_other_memories_than_the_engines_own():
    rig = Rig()
    rig.apply(stored(range(4), names=[b"1"]))
    elsewhere = stored(range(4, 8), names=[b"2"], parent=b"1")
    elsewhere.medium = "CPU"
    rig.apply(elsewhere, BlockRemoved([b"1"], medium="CPU"))
    assert rig.held == set(ours(range(4)))
    rig.apply(AllBlocksCleared())
    assert not rig.held


def test_what_tokens_do_not_tell_all_of_is_left_out():
    rig = Rig()
    rig.apply(stored(range(4), names=[b"1"], keys=[[["image", 0], "s"]]))
    rig.apply(stored(range(4), names=[b"2"], keys=[["s", "embeddings"]]))
    assert not rig.held
    assert rig.blocks.unmapped == 2


@pytest.mark.parametrize("adapter", [None, "blue"])
@pytest.mark.parametrize("more", [["hash of an image", 2], "embeddings"])
def test_an_image_further_on_ends_what_is_told(adapter, more):
    rig = Rig()
    plain = [adapter] if adapter else []
    keys = [[*plain, "s"], plain, [*plain, more], plain]
    rig.apply(stored(range(16), names=[b"1", b"2", b"3", b"4"], keys=keys, lora_name=adapter))
    rig.apply(stored(range(16, 20), names=[b"5"], parent=b"2", keys=[[*plain, more]], lora_name=adapter))
    rig.apply(stored(range(20, 24), names=[b"6"], parent=b"5", keys=[plain], lora_name=adapter))
    assert rig.held == set(ours(range(8), "s", adapter or ""))
    assert rig.blocks.unmapped == 4


@pytest.mark.parametrize(
    "event",
    [
        stored(range(4), names=[b"1"], group_idx=1),
        BlockStored([b"1"], None, list(range(8)), 8),
        BlockStored([b"1"], None, list(range(8)), SIZE),
    ],
)
def test_caches_of_another_kind_are_refused(event):
    with pytest.raises(UnsupportedEventsError):
        Rig().apply(event)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5), st.integers(1, 4), st.sampled_from("ab")), max_size=40))
def test_any_order_of_copies_leaves_what_the_engine_holds(happenings):
    """An engine that stores chains of 1 to 4 blocks and gives up any copy that it has."""
    rig, engine = Rig(), Counter()
    for stores, first, length, salt in happenings:
        tokens = [first] * (SIZE * length)
        keys = ours(tokens, salt)
        names = [f"{key}".encode() for key in keys]
        if stores:
            rig.apply(stored(tokens, names=names, keys=[[salt]] + [None] * (length - 1)))
            engine.update(keys)
        elif engine[keys[-1]]:
            rig.apply(BlockRemoved([names[-1]]))
            engine[keys[-1]] -= 1
    assert rig.held == set(+engine)
