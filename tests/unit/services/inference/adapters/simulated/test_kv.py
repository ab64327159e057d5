from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.inference.adapters.simulated.kv import BlockPool


def test_freed_blocks_are_found_again_until_they_are_needed():
    pool = BlockPool(3)
    for key in (1, 2):
        assert pool.take()
        pool.fill(key)
    pool.release([1, 2], 0)
    assert pool.known([1, 2]) == 2
    assert pool.available == 3
    assert pool.take()
    assert pool.take()
    assert pool.known([1, 2]) == 1, "the tail goes before the head"
    assert pool.take()
    assert not pool.take()
    assert pool.use == 1.0


def test_blocks_in_use_are_shared_and_never_evicted():
    pool = BlockPool(1)
    pool.take()
    pool.fill(1)
    pool.share([1])
    pool.release([1], 0)
    assert not pool.take()
    pool.release([1], 0)
    assert pool.take()


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(1, 4)), max_size=30))
def test_no_block_is_lost_or_made_up(requests):
    pool, held = BlockPool(8), []
    for start, count in requests:
        hashes = list(range(start, start + count))
        known = pool.known(hashes)
        pool.share(hashes[:known])
        mine = hashes[:known]
        for key in hashes[known:]:
            if not pool.take():
                break
            pool.fill(key)
            mine.append(key)
        held.append(mine)
        if len(held) > 2:
            pool.release(held.pop(0), 0)
        assert 0 <= pool.available <= 8
    for mine in held:
        pool.release(mine, 0)
    assert pool.available == 8
