import pytest
from hypothesis import given
from hypothesis import strategies as st
from kafka.record import MemoryRecords
from kafka.record.default_records import DefaultRecordBatchBuilder

from libs.kafka.header_names import read_any_names

GZIP = 1


class Raw(str):
    """A header name that goes out as these bytes."""

    __slots__ = ("raw",)

    def encode(self, *_: str) -> bytes:
        return self.raw


def raw(name: bytes) -> Raw:
    made = Raw("x")
    made.raw = name
    return made


def read(records, compression=0):
    """(key, value, headers) of what a client reads of a batch of these."""
    builder = DefaultRecordBatchBuilder(
        magic=2,
        compression_type=compression,
        is_transactional=0,
        producer_id=-1,
        producer_epoch=-1,
        base_sequence=-1,
        batch_size=10**6,
    )
    for offset, (key, value, headers) in enumerate(records):
        builder.append(offset, 1, key, value, [(raw(name), each) for name, each in headers])
    batch = MemoryRecords(bytes(builder.build())).next_batch()
    assert batch.validate_crc()
    return [(record.key, record.value, record.headers) for record in batch]


@pytest.fixture(autouse=True)
def any_names():
    read_any_names()
    read_any_names()


@pytest.mark.parametrize("compression", [0, GZIP])
def test_a_name_that_is_no_text_holds_up_nobody(compression):
    records = [
        (b"k", b"1", [(b"a", b"x")]),
        (None, b"2", [(b"a\xff\xfeb", b"\xff"), ("größe".encode(), None), (b"c", b"")]),
        (b"k", None, []),
    ]
    assert read(records, compression) == [
        (b"k", b"1", [("a", b"x")]),
        (None, b"2", [("a??b", b"\xff"), ("größe", None), ("c", b"")]),
        (b"k", None, []),
    ]


HEADERS = st.lists(st.tuples(st.binary(max_size=200), st.none() | st.binary(max_size=200)), max_size=5)


@given(
    st.lists(st.tuples(st.none() | st.binary(max_size=300), st.none() | st.binary(max_size=300), HEADERS), min_size=1)
)
def test_keys_values_and_readable_names_are_untouched(records):
    found = read(records)
    assert [(key, value) for key, value, _ in found] == [(key, value) for key, value, _ in records]
    for (_, _, sent), (_, _, got) in zip(records, found, strict=True):
        assert [value for _, value in got] == [value for _, value in sent]
        for (name, _), (read_name, _) in zip(sent, got, strict=True):
            assert read_name == _readable(name)


def _readable(name: bytes) -> str:
    try:
        return name.decode()
    except UnicodeDecodeError:
        return "".join(chr(each) if each < 0x80 else "?" for each in name)
