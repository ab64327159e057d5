"""Blobs as files below a directory.

A blob is written beside its place, synced, and moved there with its folder synced too: after a crash it is whole or
not there. Files have mode 600 and folders 700. File work is done in threads, off the event loop.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from libs.blobs.port import checked_name, checked_prefix
from libs.errors import PlatformError, Reason

T = TypeVar("T")


class LocalBlobs:
    """See Blobs. With `fsync` off a blob may be lost or empty after the machine's (not the process's) crash."""

    def __init__(self, root: Path, *, fsync: bool = True) -> None:
        self._root, self._fsync = root, fsync

    async def put(self, name: str, data: bytes) -> None:
        """See Blobs."""
        path = self._root / checked_name(name)
        await self._off_loop(lambda: self._write(path, data))

    async def get(self, name: str, start: int = 0, length: int | None = None) -> bytes:
        """See Blobs."""
        path = self._root / checked_name(name)
        return await self._off_loop(lambda: _read(path, start, length), missing=f"There is no blob {name}.")

    async def list(self, prefix: str, *, after: str = "", limit: int = 1000) -> Sequence[str]:
        """See Blobs."""
        folder = self._root / checked_prefix(prefix)
        return await self._off_loop(lambda: self._names(folder, after, limit))

    async def folders(self, prefix: str) -> Sequence[str]:
        """See Blobs."""
        folder = self._root / checked_prefix(prefix)
        names = await self._off_loop(lambda: sorted(entry.name for entry in _entries(folder) if entry.is_dir()))
        return [f"{prefix}{name}/" for name in names]

    async def delete_prefix(self, prefix: str) -> int:
        """See Blobs."""
        if not checked_prefix(prefix):
            raise ValueError("the empty prefix is every blob there is: name a folder")
        folder = self._root / prefix
        return await self._off_loop(lambda: self._delete(folder))

    async def _off_loop(self, work: Callable[[], T], missing: str = "") -> T:
        try:
            return await asyncio.to_thread(work)
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
            if missing:
                raise PlatformError(Reason.NOT_FOUND, missing) from error
            raise self._broken(error) from error
        except OSError as error:
            raise self._broken(error) from error

    def _broken(self, error: OSError) -> PlatformError:
        message = f"The blob directory {self._root} failed: {error.strerror or type(error).__name__}. Check the disk."
        return PlatformError(Reason.STORE_UNAVAILABLE, message, retry_after_seconds=1.0)

    def _write(self, path: Path, data: bytes) -> None:
        self._make_folder(path.parent)
        beside = path.parent / f".{secrets.token_hex(8)}.part"
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                self._sync(file.fileno())
            beside.replace(path)
        except BaseException:
            beside.unlink(missing_ok=True)
            raise
        self._sync_folder(path.parent)

    def _make_folder(self, folder: Path) -> None:
        """Makes what is missing of the way to `folder`; a folder's name is durable once its parent is synced."""
        if folder.is_dir():
            return
        self._make_folder(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)
        self._sync_folder(folder.parent)

    def _sync_folder(self, folder: Path) -> None:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            self._sync(descriptor)
        finally:
            os.close(descriptor)

    def _sync(self, descriptor: int) -> None:
        if self._fsync:
            os.fsync(descriptor)

    def _names(self, folder: Path, after: str, limit: int) -> Sequence[str]:
        found = sorted(str(path.relative_to(self._root)) for path in _files(folder))
        return [name for name in found if name > after][:limit]

    def _delete(self, folder: Path) -> int:
        if not folder.is_dir():
            return 0
        count = sum(1 for _ in _files(folder))
        shutil.rmtree(folder)
        return count


def _read(path: Path, start: int, length: int | None) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    with os.fdopen(descriptor, "rb") as file:
        file.seek(start)
        return file.read() if length is None else file.read(length)


def _files(folder: Path) -> Iterator[Path]:
    """Blobs below a folder; what begins with a dot is not one yet. Links are not followed."""
    for entry in _entries(folder):
        if entry.is_dir(follow_symlinks=False):
            yield from _files(Path(entry.path))
        elif entry.is_file(follow_symlinks=False) and not entry.name.startswith("."):
            yield Path(entry.path)


def _entries(folder: Path) -> Sequence[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except FileNotFoundError:
        return ()
