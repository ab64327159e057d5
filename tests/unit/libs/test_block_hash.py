import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import libs.block_hash as block_hash_module
from libs.block_hash import block_hash, block_hashes, packed, unpacked


def prompt(*tokens):
    return np.array(tokens, dtype="<u4").tobytes()


GOLDEN = [2726699380419021102, 12928072713141108880]
TOKENS = st.lists(st.integers(0, 200_000), max_size=80)


@given(TOKENS, st.integers(1, 9), st.integers(0, 80))
def test_going_on_behind_a_parent_is_hashing_the_whole(tokens, size, at):
    whole = block_hashes(prompt(*tokens), size, "salt", "adapter")
    assert len(whole) == len(tokens) // size
    at = min(at, len(whole))
    parent = int(whole[at - 1]) if at else None
    rest = block_hashes(prompt(*tokens[at * size :]), size, "salt", "adapter", parent)
    assert whole[at:].tolist() == rest.tolist()


@given(TOKENS, st.integers(1, 40))
def test_block_by_block_is_all_at_once(tokens, size):
    parent, found = None, []
    for at in range(0, len(tokens) - size + 1, size):
        parent = block_hash(prompt(*tokens[at : at + size]), "salt", "adapter", parent)
        found.append(parent)
    assert found == block_hashes(prompt(*tokens), size, "salt", "adapter").tolist()


def test_a_prompt_of_several_runs_is_one_chain():
    count = 2 * block_hash_module._RUN + 3
    tokens, parent, found = prompt(*range(2 * count)), None, []
    for at in range(0, len(tokens), 8):
        parent = block_hash(tokens[at : at + 8], "salt", "", parent)
        found.append(parent)
    assert found == block_hashes(tokens, 2, "salt").tolist()


def test_a_long_prompt_leaves_little_behind_per_salt():
    salt = "of this test alone"
    block_hashes(prompt(*range(100_000)), 2, salt)
    key = block_hash_module._key(salt, "", 2)
    assert key._forward.nbytes + key._backward.nbytes <= 16 * 1024


def test_an_empty_block_is_refused():
    with pytest.raises(ValueError, match="at least one token"):
        block_hash(b"", "s")


@given(TOKENS, TOKENS, st.integers(1, 5))
def test_equal_hashes_are_equal_prefixes(one, other, size):
    for i, (a, b) in enumerate(
        zip(
            block_hashes(prompt(*one), size, "s").tolist(),
            block_hashes(prompt(*other), size, "s").tolist(),
            strict=False,
        )
    ):
        assert (a == b) == (one[: (i + 1) * size] == other[: (i + 1) * size])


def test_order_within_and_between_blocks_counts():
    orders = [(1, 2, 3, 4), (2, 1, 3, 4), (3, 4, 1, 2), (1, 2, 4, 3), (0, 0, 0, 0), (0, 0, 0, 1)]
    assert len({int(block_hashes(prompt(*order), 2, "s")[-1]) for order in orders}) == len(orders)


def test_salt_adapter_and_block_size_count():
    ways = [("s", ""), ("t", ""), ("s", "a"), ("sa", ""), ("", "sa"), ("1\0s", "")]
    assert len({int(block_hashes(prompt(1, 2, 3, 4), 4, *way)[0]) for way in ways}) == len(ways)
    assert block_hashes(prompt(1, 2, 3, 4), 2, "s")[1] != block_hashes(prompt(1, 2, 3, 4), 4, "s")[0]


def test_many_blocks_have_distinct_hashes_spread_over_all_bits():
    hashes = block_hashes(prompt(*range(4 * 20_000)), 4, "s")
    assert len(set(hashes.tolist())) == 20_000
    ones = [int(((hashes >> np.uint64(bit)) & np.uint64(1)).sum()) for bit in range(64)]
    assert all(9_500 < count < 10_500 for count in ones)


def test_it_is_the_same_in_every_process():
    assert block_hashes(prompt(1, 2, 3, 4), 2, "salt", "adapter").tolist() == GOLDEN


def test_only_full_blocks_are_hashed():
    assert len(block_hashes(prompt(1, 2, 3), 4, "s")) == 0
    assert len(block_hashes(prompt(1, 2, 3, 4, 5), 4, "s")) == 1
    with pytest.raises(ValueError, match="at least one"):
        block_hashes(prompt(1), 0, "s")


def test_the_wire_form():
    hashes = block_hashes(prompt(*range(64)), 4, "s")
    assert unpacked(packed(hashes)).tolist() == hashes.tolist()
    assert len(packed(hashes)) == 8 * 16
    assert unpacked(b"\0" * 15).tolist() == [0]
