from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.chat_template import pack, unpack


@given(st.lists(st.integers(0, 2**32 - 1)))
def test_ids_come_back(ids):
    assert unpack(pack(ids)) == ids


def test_bytes_are_little_endian():
    assert pack([1]) == b"\x01\0\0\0"


def test_a_torn_id_is_an_error():
    with pytest.raises(ValueError, match="multiple"):
        unpack(b"123")
