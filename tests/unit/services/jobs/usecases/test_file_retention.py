"""Files past their time leave the disk, and a disk that fails stops nothing."""

from __future__ import annotations

import asyncio

from libs.files import FileStore, FileViewer, NewFile
from libs.testing.blobs import MemoryBlobs
from libs.testing.clock import FakeClock
from libs.testing.loop import run
from services.jobs.usecases.file_retention import FileRetention


async def one():
    yield b"1"


def test_what_is_past_its_time_is_deleted_at_the_next_round_also_after_a_round_that_failed():
    async def scenario():
        clock, blobs = FakeClock(), MemoryBlobs()
        files = FileStore(blobs, clock)
        upload = NewFile(filename="a", purpose="batch", expires_seconds=3600)
        await files.create(FileViewer(tenant="acme", key_id="key-1"), upload, one())
        task = asyncio.create_task(FileRetention(files, clock, every_seconds=1800).run())
        left = []
        for down in (False, False, True, False):
            blobs.down = down
            await clock.sleep(1750)
            left.append(len(blobs.stored))
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return left

    # Rounds at 0, 1800, 3600 (fails), 5400 seconds; looked at in between.
    assert run(scenario()) == [2, 2, 2, 0]
