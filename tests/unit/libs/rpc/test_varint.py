from google.protobuf.internal.encoder import _VarintBytes
from hypothesis import given
from hypothesis import strategies as st

from libs.rpc.varint import varint


@given(st.integers(0, 2**64 - 1) | st.integers(0, 2**22))
def test_a_number_is_written_as_protobuf_writes_it(number):
    assert varint(number) == _VarintBytes(number)


def test_both_sides_of_every_length():
    for bits in range(7, 64, 7):
        for number in ((1 << bits) - 1, 1 << bits):
            assert varint(number) == _VarintBytes(number)
