"""Files over blobs: written in parts, there once they are whole, gone when their time is over."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterable, AsyncIterator, Sequence

import msgspec

from libs.blobs import Blobs
from libs.clock import Clock
from libs.errors import PlatformError, Reason
from libs.files.model import (
    ROOT,
    FilePage,
    FileViewer,
    NewFile,
    StoredFile,
    checked,
    folder,
    generation_ms,
    is_file_id,
    meta_name,
    new_file_id,
    new_generation,
)
from libs.files.reading import Reading
from libs.files.settings import FileSettings
from libs.ids import RandomBytes

# Descriptions that a list reads at once: enough to hide a store's latency, few enough not to crowd its other readers.
_READ_AT_ONCE = 16


class FileStore(Reading):
    """Files of all tenants. Every method raises STORE_UNAVAILABLE. A file that a caller may not see does not exist."""

    def __init__(
        self,
        blobs: Blobs,
        clock: Clock,
        settings: FileSettings | None = None,
        random_bytes: RandomBytes = secrets.token_bytes,
    ) -> None:
        super().__init__(blobs)
        self._clock, self._random_bytes = clock, random_bytes
        self._settings = settings or FileSettings()

    async def create(
        self, owner: FileViewer, upload: NewFile, chunks: AsyncIterable[bytes], *, file_id: str = ""
    ) -> StoredFile:
        """Writes a file as its bytes come. It exists when this returns, whole; before, and if it fails, it does not.

        With `file_id` (of `output_file_id`) it replaces that file at once, and what `chunks` gives is not bounded: it
        is the platform's own. Raises INVALID_REQUEST, PAYLOAD_TOO_LARGE, INSUFFICIENT_QUOTA (too many files), and
        what `chunks` raises.
        """
        checked(upload)
        if not file_id:
            await self._check_room(owner.tenant)
        file = self._begun(owner, upload, file_id)
        bytes_max = None if file_id else self._settings.bytes_max
        try:
            size = await self._write(file, chunks, bytes_max)
        except BaseException:
            # What cannot be deleted just now is the purge's.
            with contextlib.suppress(PlatformError):
                await self._blobs.delete_prefix(f"{folder(file.tenant, file.id)}{file.generation}/")
            raise
        file = msgspec.structs.replace(file, size=size)
        await self._blobs.put(meta_name(file.tenant, file.id), msgspec.json.encode(file))
        return file

    async def get(self, viewer: FileViewer, file_id: str) -> StoredFile:
        """The file. Raises NOT_FOUND for one that is unknown, past its time, or none of the caller's."""
        file = await self._find(viewer.tenant, file_id) if is_file_id(file_id) else None
        if file is None or not self._shown(viewer, file):
            message = f"There is no file {file_id[:64]!r}. Check the id, and that the key belongs to who uploaded it."
            raise PlatformError(Reason.NOT_FOUND, message)
        return file

    async def list(
        self, viewer: FileViewer, *, purpose: str = "", after: str = "", limit: int = 20, ascending: bool = False
    ) -> FilePage:
        """The caller's files, newest first unless `ascending`, those behind the id `after`; `limit` at most."""
        found: list[StoredFile] = []
        async for file in self._in_order(viewer.tenant, after, ascending=ascending):
            if self._shown(viewer, file) and (not purpose or file.purpose == purpose):
                found.append(file)
            if len(found) > limit:
                break
        return FilePage(found[:limit], has_more=len(found) > limit)

    async def delete(self, viewer: FileViewer, file_id: str) -> None:
        """Deletes a file. Raises NOT_FOUND as `get`."""
        file = await self.get(viewer, file_id)
        await self._delete(file.tenant, file.id)

    async def purge(self) -> int:
        """Deletes files past their time, and what is left of uploads that nobody finished; how many. A repeat, on any
        replica, finds none.
        """
        count = 0
        for tenant in await self._names(ROOT):
            for file_id in await self._names(f"{ROOT}{tenant}/"):
                count += await self._purge(tenant, file_id)
        return count

    def _begun(self, owner: FileViewer, upload: NewFile, file_id: str) -> StoredFile:
        now = int(self._clock.unix() * 1000)
        keep = upload.expires_seconds
        if keep is None:
            keep = self._settings.expires_seconds_default
        return StoredFile(
            id=file_id or new_file_id(now, self._random_bytes),
            tenant=owner.tenant,
            key_id=owner.key_id,
            user=owner.user,
            filename=upload.filename,
            purpose=upload.purpose,
            size=0,
            created_ms=now,
            expires_ms=now + keep * 1000 if keep else 0,
            generation=new_generation(now, self._random_bytes),
            part_bytes=self._settings.part_bytes,
        )

    async def _write(self, file: StoredFile, chunks: AsyncIterable[bytes], bytes_max: int | None) -> int:
        held, size, number = bytearray(), 0, 0
        async for chunk in chunks:
            size += len(chunk)
            if bytes_max is not None and size > bytes_max:
                raise _too_large(bytes_max)
            held += chunk
            while len(held) >= file.part_bytes:
                await self._blobs.put(file.part(number), bytes(held[: file.part_bytes]))
                del held[: file.part_bytes]
                number += 1
        if held:
            await self._blobs.put(file.part(number), bytes(held))
        return size

    async def _check_room(self, tenant: str) -> None:
        if len(await self._blobs.folders(f"{ROOT}{tenant}/")) >= self._settings.per_tenant_max:
            message = f"There are {self._settings.per_tenant_max} files already, as many as may be. Delete some first."
            raise PlatformError(Reason.INSUFFICIENT_QUOTA, message)

    async def _find(self, tenant: str, file_id: str) -> StoredFile | None:
        try:
            data = await self._blobs.get(meta_name(tenant, file_id))
        except PlatformError as error:
            if error.reason is Reason.NOT_FOUND:
                return None
            raise
        return msgspec.json.decode(data, type=StoredFile)

    async def _in_order(self, tenant: str, after: str, *, ascending: bool) -> AsyncIterator[StoredFile]:
        ids = sorted(await self._names(f"{ROOT}{tenant}/"), reverse=not ascending)
        if after:
            ids = [each for each in ids if (each > after if ascending else each < after)]
        for first in range(0, len(ids), _READ_AT_ONCE):
            some = ids[first : first + _READ_AT_ONCE]
            for file in await asyncio.gather(*(self._find(tenant, each) for each in some)):
                if file is not None:
                    yield file

    async def _names(self, prefix: str) -> Sequence[str]:
        return [each.removeprefix(prefix).rstrip("/") for each in await self._blobs.folders(prefix)]

    async def _purge(self, tenant: str, file_id: str) -> int:
        file = await self._find(tenant, file_id)
        if file is not None and self._past(file):
            await self._delete(tenant, file_id)
            return 1
        begun_before = (self._clock.unix() - self._settings.abandoned_seconds) * 1000
        count = 0
        for name in await self._names(folder(tenant, file_id)):
            began = generation_ms(name)
            # A writing that is under way is younger; another one of the same file may have just become the file.
            if began is not None and began < begun_before and (file is None or name != file.generation):
                await self._blobs.delete_prefix(f"{folder(tenant, file_id)}{name}/")
                count += 1
        return count

    async def _delete(self, tenant: str, file_id: str) -> None:
        # First what makes it exist: a crash in between leaves parts that nobody sees, and the purge takes them.
        await self._blobs.delete_prefix(f"{folder(tenant, file_id)}meta/")
        await self._blobs.delete_prefix(folder(tenant, file_id))

    def _shown(self, viewer: FileViewer, file: StoredFile) -> bool:
        return viewer.may_see(file) and not self._past(file)

    def _past(self, file: StoredFile) -> bool:
        return 0 < file.expires_ms <= self._clock.unix() * 1000


def _too_large(bytes_max: int) -> PlatformError:
    message = f"The file is larger than {bytes_max} bytes, the most that one may have. Split it into several files."
    return PlatformError(Reason.PAYLOAD_TOO_LARGE, message, param="file")
