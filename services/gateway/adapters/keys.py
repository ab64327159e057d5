"""The keys file and the pepper file: made by the command line, followed by the gateway.

The keys file is a JSON list of `{id, tenant, hmac, created, name}`. It holds no key, so reading it gives no access;
the pepper is the secret that turns a key into its `hmac`, and its file must be readable by its owner alone.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from libs.clock import Clock
from libs.errors import PlatformError, Reason
from libs.ids import RandomBytes
from services.gateway.domain.auth import KeyRecord, KeyRing, format_key, hash_key
from services.gateway.domain.turns import Principal


class _Stored(msgspec.Struct):
    id: str
    tenant: str
    hmac: str
    created: str = ""
    name: str = ""


def create_key(
    keys_file: Path, pepper_file: Path, tenant: str, name: str, *, random_bytes: RandomBytes = secrets.token_bytes
) -> str:
    """Adds a key to the keys file and returns its plaintext, which is stored nowhere.

    Both files are made (mode 600) when missing; running gateways see the key within a second. Raises
    PlatformError when a file cannot be used.
    """
    with _locked(keys_file):
        pepper = _pepper(pepper_file, random_bytes)
        key = format_key(random_bytes(24))
        now = datetime.now(UTC).isoformat(timespec="seconds")
        record = _Stored("key_" + random_bytes(6).hex(), tenant, hash_key(pepper, key), now, name)
        _write(keys_file, [*_read(keys_file), record])
    return key


def revoke_key(keys_file: Path, key_id: str) -> bool:
    """Removes a key; False when there is none of that id. Running gateways refuse it within a second."""
    with _locked(keys_file):
        before = _read(keys_file)
        after = [record for record in before if record.id != key_id]
        _write(keys_file, after)
    return len(after) < len(before)


def list_keys(keys_file: Path) -> list[KeyRecord]:
    """All keys of the file, in the order they were made; empty where the file is missing."""
    return [KeyRecord(s.id, s.tenant, s.hmac, s.created, s.name) for s in _read(keys_file)]


def read_pepper(pepper_file: Path) -> bytes:
    """The pepper; raises PlatformError where it is missing, empty, or open to others than its owner."""
    try:
        mode = stat.S_IMODE(pepper_file.stat().st_mode)
        pepper = pepper_file.read_bytes().strip()
    except OSError as problem:
        raise _unusable(f"The pepper file {pepper_file} cannot be read ({problem.strerror})") from problem
    if mode & 0o077:
        raise _unusable(f"The pepper file {pepper_file} has mode {mode:o}; run `chmod 600 {pepper_file}`")
    if len(pepper) < 16:
        raise _unusable(f"The pepper file {pepper_file} holds fewer than 16 bytes")
    return pepper


def install_secret(keys_file: Path, pepper_file: Path, *, random_bytes: RandomBytes = secrets.token_bytes) -> bytes:
    """The pepper, made where there is none yet.

    Raises PlatformError when it is unusable, or missing beside keys that were hashed with it.
    """
    if keys_file.exists():
        return read_pepper(pepper_file)
    return _pepper(pepper_file, random_bytes)


class KeysFile:
    """The keys file as the gateway sees it: read at start, and again whenever it changes (`follow`)."""

    def __init__(self, keys_file: Path, pepper_file: Path) -> None:
        self._file = keys_file
        self._pepper = read_pepper(pepper_file)
        self._stamp = _stamp(keys_file)
        self._ring = KeyRing(self._pepper, list_keys(keys_file))

    def authenticate(self, presented: str) -> Principal:
        """The principal of a key; raises PlatformError(INVALID_API_KEY)."""
        return self._ring.find(presented)

    def __len__(self) -> int:
        return len(self._ring)

    def reload_if_changed(self) -> bool:
        """Reads the file again when it is another one than last time; True when it did.

        A file that cannot be read keeps the old keys in force and raises: a half-written edit must not lock all out.
        """
        stamp = _stamp(self._file)
        if stamp == self._stamp:
            return False
        self._ring = KeyRing(self._pepper, list_keys(self._file))
        self._stamp = stamp
        return True

    async def follow(self, clock: Clock, every_seconds: float, report: Callable[[PlatformError | None], None]) -> None:
        """Looks for changes for ever, off the hot path; `report` hears of each reload, or why one failed."""
        while True:
            await clock.sleep(every_seconds)
            try:
                if self.reload_if_changed():
                    report(None)
            except PlatformError as problem:
                report(problem)


def _stamp(path: Path) -> tuple[int, int, int]:
    try:
        found = path.stat()
    except FileNotFoundError:
        return (0, 0, 0)
    return (found.st_mtime_ns, found.st_size, found.st_ino)


def _read(path: Path) -> list[_Stored]:
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        return []
    except OSError as problem:
        raise _unusable(f"The keys file {path} cannot be read ({problem.strerror})") from problem
    try:
        return msgspec.json.decode(raw, type=list[_Stored])
    except msgspec.MsgspecError as problem:
        raise _unusable(f"The keys file {path} is not a JSON list of keys ({problem})") from problem


def _write(path: Path, records: list[_Stored]) -> None:
    """Writes beside and renames, so that a gateway reads the old file or the new one, never a part."""
    beside = path.with_name(path.name + ".new")
    _write_private(beside, msgspec.json.format(msgspec.json.encode(records), indent=2) + b"\n")
    beside.replace(path)


def _pepper(path: Path, random_bytes: RandomBytes) -> bytes:
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        _write_private(path, random_bytes(32).hex().encode() + b"\n")
    return read_pepper(path)


def _write_private(path: Path, content: bytes) -> None:
    """Creates with mode 600 from the first byte on; a later chmod would leave a moment in which others can read."""
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Two commands at once must not lose one of two keys."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(path.name + ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _unusable(problem: str) -> PlatformError:
    return PlatformError(Reason.INTERNAL, f"{problem}. API keys cannot be checked.", started=False)
