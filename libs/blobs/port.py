"""The blob port: what a directory and an object store (S3) can both do. There is no append and no rename."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Protocol

NAME_BYTES_MAX = 512
# No segment begins with a dot: none is "..", and none can be taken for a file that is still being written.
_SEGMENT = r"[A-Za-z0-9_@][A-Za-z0-9._@=-]{0,199}"
_NAME = re.compile(rf"{_SEGMENT}(?:/{_SEGMENT})*", re.ASCII)


class Blobs(Protocol):
    """Blobs by name: segments of letters, digits and ._@=- joined by slashes, at most 512 characters. A blob's name is
    no folder of other blobs.

    Every method may take as long as the medium does, and raises PlatformError(STORE_UNAVAILABLE) when it fails and
    ValueError for a name that is none. Prefixes are folders: "" or a name with a slash at its end.
    """

    async def put(self, name: str, data: bytes) -> None:
        """Stores a blob whole or not at all, durably when it returns; one of the same name is replaced."""
        ...

    async def get(self, name: str, start: int = 0, length: int | None = None) -> bytes:
        """The blob, or `length` bytes of it from `start` on (fewer at its end). Raises NOT_FOUND."""
        ...

    async def list(self, prefix: str, *, after: str = "", limit: int = 1000) -> Sequence[str]:
        """Names below a folder, at any depth, in the order of their characters, those behind the name `after`."""
        ...

    async def folders(self, prefix: str) -> Sequence[str]:
        """The folders directly below a folder, as prefixes ("a/b/"), in order. One without blobs may be among them."""
        ...

    async def delete_prefix(self, prefix: str) -> int:
        """Deletes every blob below a folder (not ""); how many there were. A repeat finds none."""
        ...


def checked_name(name: str) -> str:
    """The name; raises ValueError for what no store of ours takes, such as "../x", "/x" or "a//b"."""
    if len(name) > NAME_BYTES_MAX or not _NAME.fullmatch(name):
        raise ValueError(f"{name[:80]!r} is no name of a blob: segments of letters, digits and ._@=- joined by slashes")
    return name


def checked_prefix(prefix: str) -> str:
    """The prefix; raises ValueError for one that is no folder."""
    if prefix and not prefix.endswith("/"):
        raise ValueError(f"{prefix[:80]!r} is no folder: it must end with a slash")
    if prefix:
        checked_name(prefix[:-1])
    return prefix
