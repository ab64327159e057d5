"""Files: whole or not there, seen by their owners alone, listed in pages, gone in time."""

from __future__ import annotations

import itertools

import pytest

from libs.blobs import LocalBlobs
from libs.errors import PlatformError, Reason
from libs.files import FileSettings, FileStore, FileViewer, NewFile, output_file_id
from libs.testing.blobs import MemoryBlobs
from libs.testing.clock import FakeClock
from libs.testing.loop import run, run_real

ANN = FileViewer(tenant="acme", key_id="key-1", user="ann")
SETTINGS = FileSettings(part_bytes=1024, bytes_max=10_000, per_tenant_max=5, abandoned_seconds=3600)


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def blobs():
    return MemoryBlobs()


@pytest.fixture
def files(blobs, clock):
    numbers = itertools.count()
    return FileStore(blobs, clock, SETTINGS, lambda size: next(numbers).to_bytes(size, "big"))


def upload(name="in.jsonl", purpose="batch", **more):
    return NewFile(filename=name, purpose=purpose, **more)


async def pieces(*chunks):
    for chunk in chunks:
        if isinstance(chunk, BaseException):
            raise chunk
        yield chunk


async def whole(files, file, *part):
    return b"".join([piece async for piece in files.content(file, *part)])


def reason_of(files, work):
    with pytest.raises(PlatformError) as caught:
        run(work)
    return caught.value.reason


def test_a_file_comes_back_whole_and_in_ranges_across_its_parts(files, blobs):
    data = bytes(range(256)) * 10

    async def scenario():
        file = await files.create(ANN, upload(), pieces(data[:1500], b"", data[1500:1501], data[1501:]))
        got = await files.get(ANN, file.id)
        ranges = [
            await whole(files, got, *part) for part in ((), (1000, 100), (1024, 1024), (2559, 5), (2560,), (0, 0))
        ]
        return file, got, ranges

    file, got, ranges = run(scenario())
    assert file == got
    assert (file.size, file.filename, file.purpose, file.key_id, file.user) == (
        2560,
        "in.jsonl",
        "batch",
        "key-1",
        "ann",
    )
    assert ranges == [data, data[1000:1100], data[1024:2048], data[2559:], b"", b""]
    assert sorted(len(each) for name, each in blobs.stored.items() if "part-" in name) == [512, 1024, 1024]


def test_it_is_the_same_on_a_directory(tmp_path, clock):
    async def scenario():
        files = FileStore(LocalBlobs(tmp_path / "blobs"), clock, SETTINGS)
        file = await files.create(ANN, upload(), pieces(b"x" * 3000))
        listed = await files.list(ANN)
        content = await whole(files, await files.get(ANN, file.id))
        await files.delete(ANN, file.id)
        return listed.files == [file], len(content), (await files.list(ANN)).files, await files.purge()

    assert run_real(scenario()) == (True, 3000, [], 0)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_until_its_last_byte_is_there_no_file_is(files, blobs):
    async def scenario():
        seen = []

        async def watched():
            for _ in range(3):
                yield b"y" * 1024
                seen.append(((await files.list(ANN)).files, len(blobs.stored)))

        await files.create(ANN, upload(), watched())
        return seen

    assert run(scenario()) == [([], 1), ([], 2), ([], 3)]


@pytest.mark.parametrize(
    ("chunks", "error"),
    [((b"z" * 4096, ConnectionError("gone")), ConnectionError), ((b"z" * 6000, b"z" * 4001), PlatformError)],
)
def test_an_upload_that_breaks_off_or_grows_too_large_leaves_nothing(files, blobs, chunks, error):
    with pytest.raises(error):
        run(files.create(ANN, upload(), pieces(*chunks)))
    assert blobs.stored == {}


def test_exactly_the_largest_size_is_taken_and_one_byte_more_names_the_limit(files):
    assert run(files.create(ANN, upload(), pieces(b"z" * 10_000))).size == 10_000
    with pytest.raises(PlatformError, match="10000 bytes") as caught:
        run(files.create(ANN, upload(), pieces(b"z" * 10_001)))
    assert (caught.value.reason, caught.value.param) == (Reason.PAYLOAD_TOO_LARGE, "file")


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/b", "a\\b", "a\nb", "a\x00", "x" * 256, "\u202ex"])
def test_names_that_could_be_paths_or_break_headers_are_refused(files, blobs, name):
    assert reason_of(files, files.create(ANN, upload(name), pieces(b"1"))) is Reason.INVALID_REQUEST
    assert blobs.stored == {}


@pytest.mark.parametrize("file_id", ["", "file-", "../" * 9, "file-" + "g" * 24, "file-" + "0" * 24, "x" * 10_000])
def test_an_id_that_is_none_is_not_found(files, file_id):
    assert reason_of(files, files.get(ANN, file_id)) is Reason.NOT_FOUND


@pytest.mark.parametrize(
    ("viewer", "sees"),
    [
        (ANN, True),
        (FileViewer(tenant="acme", key_id="key-2", user="ann"), True),
        (FileViewer(tenant="acme", key_id="key-1"), True),
        (FileViewer(tenant="acme", key_id="key-2", user="bob"), False),
        (FileViewer(tenant="acme", key_id="key-2"), False),
        (FileViewer(tenant="acme", key_id="key-9", user="root", manages_tenant=True), True),
        (FileViewer(tenant="other", key_id="key-1", user="ann", manages_tenant=True), False),
    ],
)
def test_a_file_exists_for_its_key_its_user_and_managers_of_its_tenant_only(files, viewer, sees):
    file = run(files.create(ANN, upload(), pieces(b"1")))
    assert [each.id for each in run(files.list(viewer)).files] == ([file.id] if sees else [])
    if sees:
        run(files.delete(viewer, file.id))
    else:
        assert reason_of(files, files.get(viewer, file.id)) is Reason.NOT_FOUND
        assert reason_of(files, files.delete(viewer, file.id)) is Reason.NOT_FOUND
        assert run(files.get(ANN, file.id)) == file


def test_two_files_of_keys_without_a_user_are_not_each_others(files):
    file = run(files.create(FileViewer(tenant="acme", key_id="key-1"), upload(), pieces(b"1")))
    assert reason_of(files, files.get(FileViewer(tenant="acme", key_id="key-2"), file.id)) is Reason.NOT_FOUND


def test_lists_go_in_pages_newest_first_or_oldest_first_by_purpose(files, clock):
    async def scenario():
        made = []
        for number in range(5):
            clock.advance(1)
            purpose = "batch" if number % 2 else "user_data"
            made.append((await files.create(ANN, upload(f"{number}", purpose), pieces(b"1"))).id)
        first = await files.list(ANN, limit=2)
        second = await files.list(ANN, limit=2, after=first.files[-1].id)
        third = await files.list(ANN, limit=2, after=second.files[-1].id)
        up = await files.list(ANN, ascending=True, after=made[1])
        batch = await files.list(ANN, purpose="batch", limit=2)
        return [([each.filename for each in page.files], page.has_more) for page in (first, second, third, up, batch)]

    assert run(scenario()) == [
        (["4", "3"], True),
        (["2", "1"], True),
        (["0"], False),
        (["2", "3", "4"], False),
        (["3", "1"], False),
    ]


def test_a_tenant_has_so_many_files_and_no_more(files):
    made = [run(files.create(ANN, upload(), pieces(b"1"))) for _ in range(5)]
    assert reason_of(files, files.create(ANN, upload(), pieces(b"1"))) is Reason.INSUFFICIENT_QUOTA
    run(files.delete(ANN, made[0].id))
    run(files.create(ANN, upload(), pieces(b"1")))


def test_a_file_is_gone_with_its_time_before_the_purge_and_its_bytes_after_it(files, blobs, clock):
    short = run(files.create(ANN, upload(expires_seconds=3600), pieces(b"1")))
    never = run(files.create(ANN, upload(expires_seconds=0), pieces(b"2")))
    default = run(files.create(ANN, upload(), pieces(b"3")))
    clock.advance(3599)
    assert run(files.purge()) == 0
    assert run(files.get(ANN, short.id)) == short
    clock.advance(1)
    assert reason_of(files, files.get(ANN, short.id)) is Reason.NOT_FOUND
    assert [each.id for each in run(files.list(ANN)).files] == [default.id, never.id]
    assert (run(files.purge()), run(files.purge())) == (1, 0)
    assert not any(short.id in name for name in blobs.stored)
    clock.advance(30 * 86_400)
    assert run(files.purge()) == 1
    assert run(whole(files, run(files.get(ANN, never.id)))) == b"2"


def test_what_is_left_of_a_crashed_upload_is_purged_once_nobody_can_be_writing_it(files, blobs, clock):
    async def crashed():
        yield b"1" * 2048
        blobs.down = True
        yield b"2" * 2048

    with pytest.raises(PlatformError):
        run(files.create(ANN, upload(), crashed()))
    blobs.down = False
    assert len(blobs.stored) == 2
    clock.advance(3599)
    assert (run(files.purge()), len(blobs.stored)) == (0, 2)
    clock.advance(2)
    assert (run(files.purge()), len(blobs.stored)) == (1, 0)


def test_a_file_with_a_fixed_id_is_replaced_at_once_and_its_old_content_purged_later(files, blobs, clock):
    fixed = output_file_id(1_700_000_000_000, "batch_1", "output")

    async def scenario():
        old = await files.create(ANN, upload(), pieces(b"old" * 1000), file_id=fixed)
        during = []

        async def chunks():
            yield b"new" * 1000
            during.append(await whole(files, await files.get(ANN, fixed)))

        clock.advance(7200)
        await files.create(ANN, upload(), chunks(), file_id=fixed)
        # Who has opened the old one still reads it.
        return during[0], await whole(files, await files.get(ANN, fixed)), await whole(files, old)

    assert run(scenario()) == (b"old" * 1000, b"new" * 1000, b"old" * 1000)
    assert run(files.purge()) == 1
    assert run(whole(files, run(files.get(ANN, fixed)))) == b"new" * 1000
    assert output_file_id(1_700_000_000_000, "batch_1", "error") != fixed


def test_a_deletion_that_was_interrupted_shows_no_file_without_its_content(files, blobs):
    file = run(files.create(ANN, upload(), pieces(b"1")))
    calls = []

    async def interrupted(prefix):
        calls.append(prefix)
        if len(calls) > 1:
            raise PlatformError(Reason.STORE_UNAVAILABLE, "The disk has gone.")
        return await MemoryBlobs.delete_prefix(blobs, prefix)

    blobs.delete_prefix = interrupted
    with pytest.raises(PlatformError):
        run(files.delete(ANN, file.id))
    assert run(files.list(ANN)).files == []


def test_a_file_that_is_deleted_while_it_is_read_says_so(files):
    async def scenario():
        file = await files.create(ANN, upload(), pieces(b"1" * 3000))
        content = files.content(file)
        await anext(content)
        await files.delete(ANN, file.id)
        await anext(content)

    assert reason_of(files, scenario()) is Reason.NOT_FOUND


def test_a_part_that_lost_bytes_is_told_and_never_read_as_a_short_file(files, blobs):
    file = run(files.create(ANN, upload(), pieces(b"1" * 3000)))
    blobs.stored[file.part(1)] = b"1" * 1000
    assert reason_of(files, whole(files, file)) is Reason.INTERNAL
