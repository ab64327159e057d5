"""A file's content, a piece at a time: it is never whole in memory."""

from __future__ import annotations

import io
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from libs.blobs import Blobs
from libs.errors import PlatformError, Reason
from libs.files.model import StoredFile

PIECE_BYTES = 2**20
LINE_BYTES_MAX = 2**20


@dataclass(frozen=True, slots=True)
class Line:
    """A line from byte `start` of its file on; `length` counts its end-of-line too.

    `data` is without the end-of-line; of an overlong line it is the beginning, one byte longer than allowed.
    """

    start: int
    length: int
    data: bytes


class Reading:
    """Reads files. All of it raises NOT_FOUND when the file is deleted meanwhile, and STORE_UNAVAILABLE."""

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs

    async def content(self, file: StoredFile, start: int = 0, length: int | None = None) -> AsyncGenerator[bytes]:
        """The file's bytes from `start` on, `length` of them (None = to its end), in pieces of a MiB at most."""
        end = file.size if length is None else min(file.size, start + length)
        while start < end:
            number, offset = divmod(start, file.part_bytes)
            wanted = min(end - start, file.part_bytes - offset, PIECE_BYTES)
            piece = await self._piece(file, number, offset, wanted)
            start += len(piece)
            yield piece

    async def lines(
        self, file: StoredFile, start: int = 0, length: int | None = None, *, line_bytes_max: int = LINE_BYTES_MAX
    ) -> AsyncGenerator[Line]:
        """Lines from byte `start` on, empty ones too; the last one needs no end-of-line.

        A line beyond `line_bytes_max` (bytes, end-of-line excluded) is read past, and only its beginning is kept.
        """
        held, size = bytearray(), 0
        async for piece in self.content(file, start, length):
            for chunk in io.BytesIO(piece):  # ends lines at b"\n" alone, as bytes.splitlines does not
                size += len(chunk)
                held += chunk[: max(0, line_bytes_max + 2 - len(held))]
                if chunk.endswith(b"\n"):
                    yield Line(start, size, _bare(held, size, line_bytes_max))
                    start, size = start + size, 0
                    held.clear()
        if size:
            yield Line(start, size, _bare(held, size, line_bytes_max))

    async def _piece(self, file: StoredFile, number: int, offset: int, wanted: int) -> bytes:
        try:
            piece = await self._blobs.get(file.part(number), offset, wanted)
        except PlatformError as error:
            if error.reason is Reason.NOT_FOUND:
                raise _gone(file) from error
            raise
        if len(piece) != wanted:
            message = f"File {file.id} is damaged: part {number} is shorter than it was written. Upload it again."
            raise PlatformError(Reason.INTERNAL, message)
        return piece


def _bare(held: bytearray, size: int, line_bytes_max: int) -> bytes:
    r"""The line without its end, "\n" or "\r\n"; cut to one byte more than allowed when it is longer."""
    line = bytes(held)
    if size == len(line):
        line = line.removesuffix(b"\n").removesuffix(b"\r")
    return line[: line_bytes_max + 1]


def _gone(file: StoredFile) -> PlatformError:
    return PlatformError(Reason.NOT_FOUND, f"File {file.id} was deleted while it was read. Upload it again.")
