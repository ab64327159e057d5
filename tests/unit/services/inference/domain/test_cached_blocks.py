from __future__ import annotations

from libs.block_hash import unpacked
from services.inference.domain.cached_blocks import CachedBlocks


def told(blocks):
    changes = blocks.take()
    return unpacked(changes.stored).tolist(), unpacked(changes.dropped).tolist(), changes.cleared


def test_what_came_and_went_in_between_leaves_no_trace():
    blocks = CachedBlocks(100)
    blocks.stored([1, 2, 3])
    blocks.dropped([2])
    assert told(blocks) == ([1, 3], [], False)
    blocks.dropped([3])
    blocks.stored([3])
    assert told(blocks) == ([], [], False)


def test_a_block_is_gone_with_its_last_copy():
    blocks = CachedBlocks(100)
    blocks.stored([1])
    blocks.stored([1])
    told(blocks)
    blocks.dropped([1])
    assert told(blocks) == ([], [], False)
    blocks.dropped([1])
    assert told(blocks) == ([], [1], False)
    blocks.dropped([1, 99])
    assert told(blocks) == ([], [], False)


def test_cleared_comes_before_what_is_stored_after_it():
    blocks = CachedBlocks(100)
    blocks.stored([1, 2])
    told(blocks)
    blocks.dropped([1])
    blocks.stored([3])
    blocks.cleared()
    blocks.stored([2, 4])
    blocks.dropped([4, 1])
    assert told(blocks) == ([2], [], True)
    assert unpacked(blocks.all()).tolist() == [2]


def test_the_newest_are_left_out_when_there_are_too_many():
    blocks = CachedBlocks(2)
    blocks.stored([1, 2, 3])
    assert told(blocks) == ([1, 2], [], False)
    assert (len(blocks), blocks.left_out) == (2, 1)
    blocks.dropped([3])
    assert told(blocks) == ([], [], False)
    blocks.dropped([2])
    blocks.stored([3])
    assert told(blocks) == ([3], [2], False)


def test_who_listens_hears_of_blocks_that_have_come_and_of_nothing_else():
    blocks, heard = CachedBlocks(100), []
    blocks.on_stored(lambda: heard.append(len(blocks)))
    blocks.stored([1])
    blocks.stored([1, 2])
    blocks.take()
    blocks.stored([2])
    blocks.dropped([1])
    blocks.cleared()
    assert heard == [1, 2]
