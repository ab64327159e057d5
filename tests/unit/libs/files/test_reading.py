"""Lines of files, whatever the pieces in which they are read."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.files import FileSettings, FileStore, FileViewer, NewFile, reading
from libs.testing.blobs import MemoryBlobs
from libs.testing.clock import FakeClock
from libs.testing.loop import run

ANN = FileViewer(tenant="acme", key_id="key-1")


async def one(data):
    yield data


async def lines_of(data, start=0, length=None, *, line_bytes_max=50, part_bytes=1024):
    files = FileStore(MemoryBlobs(), FakeClock(), FileSettings(part_bytes=part_bytes))
    file = await files.create(ANN, NewFile(filename="in", purpose="batch"), one(data))
    return [line async for line in files.lines(file, start, length, line_bytes_max=line_bytes_max)]


@settings(max_examples=150, deadline=None)
@given(
    lines=st.lists(st.binary(max_size=60).map(lambda line: line.replace(b"\n", b"")), max_size=60),
    ended=st.booleans(),
    piece=st.integers(1, 200),
)
def test_lines_are_those_of_a_split_at_every_newline(lines, ended, piece):
    data = b"\n".join(lines) + (b"\n" if ended and lines else b"")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading, "PIECE_BYTES", piece)
        found = run(lines_of(data, line_bytes_max=1000))
    wanted = data.split(b"\n")
    wanted = wanted[:-1] if wanted[-1] == b"" else wanted
    assert [line.data for line in found] == [each.removesuffix(b"\r") for each in wanted]
    assert b"".join(data[line.start : line.start + line.length] for line in found) == data


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b""])
@pytest.mark.parametrize("size", [50, 51, 52, 53, 3000])
def test_an_overlong_line_is_cut_one_byte_beyond_what_is_allowed(size, end):
    found = run(lines_of(b"a" * size + end + (b"next" if end else b""), line_bytes_max=50))
    assert (len(found[0].data), found[0].length) == (min(size, 51), size + len(end))
    assert [line.data for line in found[1:]] == ([b"next"] if end else [])


def test_a_slice_gives_its_lines_only():
    data = b"one\ntwo\nthree\nfour"
    assert [line.data for line in run(lines_of(data, 4, 10))] == [b"two", b"three"]
    assert [(line.start, line.length) for line in run(lines_of(data, 14))] == [(14, 4)]


def test_of_an_overlong_line_little_is_in_memory():
    async def scenario():
        blobs = MemoryBlobs()
        files = FileStore(blobs, FakeClock(), FileSettings(part_bytes=2**20))
        file = await files.create(ANN, NewFile(filename="in", purpose="batch"), one(b"a" * 2**24))
        tracemalloc.start()
        try:
            found = [line.length async for line in files.lines(file, line_bytes_max=100)]
            return found, tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    found, peak = run(scenario())
    assert found == [2**24]
    assert peak < 2**23
