"""The keys file and the pepper file: made by the command line, imported by the gateway.

The keys file is a JSON list of `{id, tenant, hmac, created, name, role, revoked}`. It holds no
key, so reading it gives no access;
the pepper is the secret that turns a key into its `hmac`, and its file must be readable by its owner alone.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from libs.errors import PlatformError, Reason
from libs.ids import RandomBytes
from services.gateway.domain.accounts.ids import check_id, key_id
from services.gateway.domain.accounts.records import Role
from services.gateway.domain.auth import SECRET_BYTES, KeyRecord, format_key, hash_key

MISSING = (0, 0, 0)


class _Stored(msgspec.Struct):
    id: str
    tenant: str
    hmac: str
    created: str = ""
    name: str = ""
    role: Role = Role.SERVICE
    revoked: bool = False


def create_key(
    keys_file: Path,
    pepper_file: Path,
    tenant: str,
    name: str,
    *,
    role: Role = Role.SERVICE,
    random_bytes: RandomBytes = secrets.token_bytes,
) -> str:
    """Adds a key to the keys file and returns its plaintext, which is stored nowhere.

    Both files are made (mode 600) when missing; running gateways import the key within a second. Raises
    PlatformError when a file cannot be used, or INVALID_REQUEST for a tenant that is no id.
    """
    check_id(tenant, "tenant")
    with _locked(keys_file):
        pepper = _pepper(pepper_file, random_bytes)
        key = format_key(random_bytes(SECRET_BYTES))
        now = datetime.now(UTC).isoformat(timespec="seconds")
        record = _Stored(key_id(random_bytes), tenant, hash_key(pepper, key), now, name, role)
        _write(keys_file, [*_read(keys_file), record])
    return key


def revoke_key(keys_file: Path, record_id: str) -> bool:
    """Revokes a key; False when there is none of that id. Running gateways refuse it within a second.

    Its record stays, marked, so that a gateway that was away when the key was revoked learns of it, too.
    """
    with _locked(keys_file):
        before = _read(keys_file)
        after = [_revoked(record) if record.id == record_id else record for record in before]
        _write(keys_file, after)
    return after != before


def list_keys(keys_file: Path) -> list[KeyRecord]:
    """The keys of the file that are not revoked, in the order they were made; empty where the file is missing."""
    return [record for record in _records(keys_file) if not record.revoked]


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
    """The keys file as the gateway sees it: whether it has changed, and what it holds."""

    def __init__(self, keys_file: Path) -> None:
        self._file = keys_file
        self._stamp: tuple[int, int, int] | None = None

    def changed(self) -> bool:
        """Whether it is another one than at the last `read` that went well; True before the first."""
        return _stamp(self._file) != self._stamp

    def read(self) -> list[KeyRecord]:
        """All records, revoked ones too. Raises PlatformError; `changed` then stays as it was.

        A file that was there and is gone is an accident, not the revocation of all keys.
        """
        stamp = _stamp(self._file)
        if stamp == MISSING and self._stamp not in (None, MISSING):
            raise _unusable(f"The keys file {self._file} is gone; its keys stay in force until `headrace keys revoke`")
        records = _records(self._file)
        self._stamp = stamp
        return records


def _records(keys_file: Path) -> list[KeyRecord]:
    return [KeyRecord(s.id, s.tenant, s.hmac, s.created, s.name, s.role, s.revoked) for s in _read(keys_file)]


def _revoked(record: _Stored) -> _Stored:
    return msgspec.structs.replace(record, revoked=True)


def _stamp(path: Path) -> tuple[int, int, int]:
    try:
        found = path.stat()
    except FileNotFoundError:
        return MISSING
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
