"""What a file is, who sees it, and which names it may have."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

import msgspec

from libs.errors import PlatformError, Reason
from libs.ids import RandomBytes

ROOT = "files/"
FILENAME_MAX = 255
_ID = re.compile(r"file-[0-9a-f]{24}", re.ASCII)
_PURPOSE = re.compile(r"[a-z][a-z0-9_-]{0,31}", re.ASCII)
_TIME_HEX = 12


class FileViewer(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks for files, or owns one. A file is seen by callers of its tenant with its key or its user, and by who
    manages the tenant.
    """

    tenant: str
    key_id: str
    user: str = ""
    manages_tenant: bool = False

    def may_see(self, file: StoredFile) -> bool:
        """Whether the file exists for this caller."""
        if self.tenant != file.tenant:
            return False
        return self.manages_tenant or self.key_id == file.key_id or bool(self.user and self.user == file.user)


class NewFile(msgspec.Struct, frozen=True, kw_only=True):
    """What is to become a file. `expires_seconds`: None = the default, 0 = never."""

    filename: str
    purpose: str
    expires_seconds: int | None = None


class StoredFile(msgspec.Struct, frozen=True, kw_only=True):
    """A whole file. Times are milliseconds since the epoch, `expires_ms` 0 = never.

    `generation` is the folder of its content, in parts of `part_bytes` (the last one shorter).
    """

    id: str
    tenant: str
    key_id: str
    user: str
    filename: str
    purpose: str
    size: int
    created_ms: int
    expires_ms: int
    generation: str
    part_bytes: int

    def part(self, number: int) -> str:
        """The blob of a part."""
        return f"{folder(self.tenant, self.id)}{self.generation}/part-{number:05d}"


class FilePage(msgspec.Struct, frozen=True):
    """Some files of a list, and whether there are more behind them."""

    files: Sequence[StoredFile]
    has_more: bool


def folder(tenant: str, file_id: str) -> str:
    """The folder of a file: below it `meta/` and one folder per generation of its content."""
    return f"{ROOT}{tenant}/{file_id}/"


def meta_name(tenant: str, file_id: str) -> str:
    """The blob that makes a file exist; it is written last and deleted first, in a folder of its own."""
    return f"{folder(tenant, file_id)}meta/file.json"


def new_file_id(unix_ms: int, random_bytes: RandomBytes) -> str:
    """The word "file-" and 24 hex digits: the time, so that ids sort by it, and 48 random bits."""
    return f"file-{_time(unix_ms)}{random_bytes(6).hex()}"


def output_file_id(created_ms: int, *names: str) -> str:
    """An id that is a function of a time and of names (a job and what the file is to it): a repeat writes the same."""
    return f"file-{_time(created_ms)}{hashlib.sha256('/'.join(names).encode()).hexdigest()[:12]}"


def new_generation(unix_ms: int, random_bytes: RandomBytes) -> str:
    """A folder for one writing of a file; two writers of the same file never share one."""
    return f"{_time(unix_ms)}-{random_bytes(6).hex()}"


def generation_ms(generation: str) -> int | None:
    """When that writing began; None for a folder that is no generation."""
    digits = generation.split("-", maxsplit=1)[0]
    try:
        return int(digits, 16) if len(digits) == _TIME_HEX else None
    except ValueError:
        return None


def is_file_id(text: str) -> bool:
    """Whether it could be a file's id. What is none is never part of a blob's name."""
    return bool(_ID.fullmatch(text))


def checked(upload: NewFile) -> NewFile:
    """The upload; raises INVALID_REQUEST for a name or a purpose that is none.

    A file's name is shown to people and written into headers; it is never a path here, and must not be one there.
    """
    name = upload.filename
    if not 1 <= len(name) <= FILENAME_MAX or name in {".", ".."} or any(_unfit(each) for each in name):
        message = (
            f"The file's name must have 1 to {FILENAME_MAX} characters, without slashes, backslashes and control "
            "characters. Send the bare name of the file."
        )
        raise PlatformError(Reason.INVALID_REQUEST, message, param="file")
    if not _PURPOSE.fullmatch(upload.purpose):
        message = "The purpose of a file is one lower-case word, such as batch. Send one."
        raise PlatformError(Reason.INVALID_REQUEST, message, param="purpose")
    return upload


def _unfit(character: str) -> bool:
    return character in "/\\" or not character.isprintable()


def _time(unix_ms: int) -> str:
    return f"{max(0, unix_ms):0{_TIME_HEX}x}"
