"""Blobs: the same checks on the directory and on the twin that other tests run on."""

from __future__ import annotations

import pytest

from libs.blobs import LocalBlobs
from libs.errors import PlatformError, Reason
from libs.testing.blobs import MemoryBlobs
from libs.testing.loop import run_real


@pytest.fixture(params=["local", "memory"])
def blobs(request, tmp_path):
    return LocalBlobs(tmp_path / "blobs") if request.param == "local" else MemoryBlobs()


def test_what_was_put_is_there_whole_or_in_part_and_a_second_put_replaces_it(blobs):
    async def scenario():
        await blobs.put("a/b/c.jsonl", b"0123456789")
        parts = [await blobs.get("a/b/c.jsonl", *part) for part in ((), (3, 4), (8, 9), (20, 1), (4,))]
        await blobs.put("a/b/c.jsonl", b"")
        return parts, await blobs.get("a/b/c.jsonl")

    assert run_real(scenario()) == ([b"0123456789", b"3456", b"89", b"", b"456789"], b"")


@pytest.mark.parametrize("name", ["a", "a/x", "a/b/c"])
def test_what_is_not_there_is_not_found(blobs, name):
    async def scenario():
        await blobs.put("a/b", b"1")
        with pytest.raises(PlatformError) as caught:
            await blobs.get(name)
        return caught.value.reason

    assert run_real(scenario()) is Reason.NOT_FOUND


def test_names_are_listed_in_order_in_pages_and_below_their_folder_only(blobs):
    names = ["r/a-b/1", "r/a/2", "r/a/1/deep", "r/a.b/1", "s/1", "r/b"]

    async def scenario():
        for name in names:
            await blobs.put(name, name.encode())
        first = await blobs.list("r/", limit=2)
        return (
            first,
            await blobs.list("r/", after=first[-1]),
            await blobs.list("r/a/"),
            await blobs.list(""),
            await blobs.list("nowhere/"),
        )

    first, rest, one, every, none = run_real(scenario())
    assert [*first, *rest] == sorted(name for name in names if name.startswith("r/"))
    assert (list(one), list(every), list(none)) == (["r/a/1/deep", "r/a/2"], sorted(names), [])


def test_folders_are_those_directly_below(blobs):
    async def scenario():
        for name in ("r/b/x/1", "r/a/1", "r/file", "s/1"):
            await blobs.put(name, b"1")
        return [list(await blobs.folders(prefix)) for prefix in ("r/", "", "nowhere/")]

    assert run_real(scenario()) == [["r/a/", "r/b/"], ["r/", "s/"], []]


def test_a_folder_is_deleted_with_all_below_and_nothing_beside(blobs):
    async def scenario():
        for name in ("r/a/1", "r/a/2/3", "r/ab/1", "r/b"):
            await blobs.put(name, b"1")
        return await blobs.delete_prefix("r/a/"), await blobs.delete_prefix("r/a/"), list(await blobs.list(""))

    assert run_real(scenario()) == (2, 0, ["r/ab/1", "r/b"])


BAD = [
    "",
    "/etc/passwd",
    "../x",
    "a/../b",
    "a/./b",
    "a//b",
    "a/",
    ".hidden",
    "a/.x",
    "a\\b",
    "a\nb",
    "a\0b",
    "ä",
    "x" * 513,
]


@pytest.mark.parametrize("name", BAD)
def test_a_name_that_leads_elsewhere_is_refused(blobs, name, tmp_path):
    async def scenario():
        with pytest.raises(ValueError, match="no name of a blob"):
            await blobs.put(name, b"1")
        with pytest.raises(ValueError, match="no name of a blob"):
            await blobs.get(name)

    run_real(scenario())
    assert not list(tmp_path.rglob("*"))


@pytest.mark.parametrize("prefix", ["a", "../", "a/../", "/", "//", "./"])
def test_a_prefix_that_is_no_folder_is_refused(blobs, prefix):
    async def scenario():
        for call in (blobs.list, blobs.folders, blobs.delete_prefix):
            with pytest.raises(ValueError, match=r"no folder|no name"):
                await call(prefix)
        with pytest.raises(ValueError, match="every blob"):
            await blobs.delete_prefix("")

    run_real(scenario())
