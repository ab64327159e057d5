"""Blobs in memory, for tests; the contract tests hold it to what LocalBlobs does."""

from __future__ import annotations

from collections.abc import Sequence

from libs.blobs.port import checked_name, checked_prefix
from libs.errors import PlatformError, Reason


class MemoryBlobs:
    """See Blobs. `down` = True plays a store that fails."""

    def __init__(self) -> None:
        self.stored: dict[str, bytes] = {}
        self.down = False

    async def put(self, name: str, data: bytes) -> None:
        """See Blobs."""
        checked_name(name)
        self._check()
        self.stored[name] = bytes(data)

    async def get(self, name: str, start: int = 0, length: int | None = None) -> bytes:
        """See Blobs."""
        checked_name(name)
        self._check()
        if name not in self.stored:
            raise PlatformError(Reason.NOT_FOUND, f"There is no blob {name}.")
        return self.stored[name][start : None if length is None else start + length]

    async def list(self, prefix: str, *, after: str = "", limit: int = 1000) -> Sequence[str]:
        """See Blobs."""
        checked_prefix(prefix)
        self._check()
        return sorted(name for name in self.stored if name.startswith(prefix) and name > after)[:limit]

    async def folders(self, prefix: str) -> Sequence[str]:
        """See Blobs."""
        checked_prefix(prefix)
        self._check()
        rests = [name[len(prefix) :] for name in self.stored if name.startswith(prefix)]
        return sorted({f"{prefix}{rest.split('/')[0]}/" for rest in rests if "/" in rest})

    async def delete_prefix(self, prefix: str) -> int:
        """See Blobs."""
        if not checked_prefix(prefix):
            raise ValueError("the empty prefix is every blob there is: name a folder")
        self._check()
        gone = [name for name in self.stored if name.startswith(prefix)]
        for name in gone:
            del self.stored[name]
        return len(gone)

    def _check(self) -> None:
        if self.down:
            raise PlatformError(Reason.STORE_UNAVAILABLE, "The blob store fails: a test says so.", 1.0)
