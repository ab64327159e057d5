"""Deletes files past their time. Every replica does it; a repeat finds none."""

from __future__ import annotations

from libs.clock import Clock
from libs.errors import PlatformError
from libs.files import FileStore
from libs.telemetry import get_logger

_log = get_logger("jobs.files")


class FileRetention:
    """Purges every `every_seconds`: from their time on files are not shown, so this only frees the disk."""

    def __init__(self, files: FileStore, clock: Clock, *, every_seconds: float) -> None:
        self._files, self._clock, self._every_seconds = files, clock, every_seconds

    async def run(self) -> None:
        """For ever; run it as a task."""
        while True:
            try:
                if count := await self._files.purge():
                    _log.info("files past their time were deleted", count=count)
            except PlatformError as error:
                _log.warning("files are not purged just now", why=error.message)
            await self._clock.sleep(self._every_seconds)
