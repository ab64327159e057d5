"""OpenAI's files: what an upload's form says, and files in their form
(https://platform.openai.com/docs/api-reference/files).
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote

from libs.files import FilePage, NewFile, StoredFile
from services.gateway.wire.job_documents import Document, list_document
from services.gateway.wire.refusals import invalid

PURPOSE = "batch"
LIMIT_DEFAULT, LIMIT_MAX = 10_000, 10_000
_EXPIRES_SECONDS = range(3600, 30 * 86_400 + 1)
_ANCHOR, _SECONDS = "expires_after[anchor]", "expires_after[seconds]"


def check_purpose(fields: Mapping[str, str]) -> None:
    """Raises INVALID_REQUEST for a purpose that no file has here. Form fields may come before the file or after it."""
    if (purpose := fields.get("purpose", PURPOSE)) != PURPOSE:
        message = f"'purpose' is '{purpose[:40]}'; files are kept for '{PURPOSE}' only."
        raise invalid("purpose", message)


def check_whole(fields: Mapping[str, str], before: Mapping[str, str]) -> None:
    """As `check_purpose`, at the form's end, where nothing may be missing. `before`: the fields that the file was begun
    with; those in one piece with its first bytes are among them.
    """
    check_purpose(fields)
    if any(fields.get(name) != before.get(name) for name in (_ANCHOR, _SECONDS)):
        raise invalid("expires_after", "'expires_after' came behind the file. Send that field before it.")
    if "purpose" not in fields:
        raise invalid("purpose", f"'purpose' is missing: send the form field purpose={PURPOSE}.")


def upload_of(filename: str, fields: Mapping[str, str]) -> NewFile:
    """The file that an upload begins; what comes behind its bytes in the form can no longer change it."""
    return NewFile(filename=filename, purpose=PURPOSE, expires_seconds=_expires(fields))


def _expires(fields: Mapping[str, str]) -> int | None:
    if _SECONDS not in fields:
        return None
    if fields.get(_ANCHOR, "created_at") != "created_at":
        raise invalid("expires_after.anchor", "'expires_after.anchor' must be 'created_at'.")
    text = fields[_SECONDS]
    seconds = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0
    if seconds not in _EXPIRES_SECONDS:
        least, most = _EXPIRES_SECONDS[0], _EXPIRES_SECONDS[-1]
        raise invalid("expires_after.seconds", f"'expires_after.seconds' must be {least} to {most}.")
    return seconds


def file_document(file: StoredFile) -> Document:
    """A file in OpenAI's form."""
    return {
        "id": file.id,
        "object": "file",
        "bytes": file.size,
        "created_at": file.created_ms // 1000,
        "expires_at": file.expires_ms // 1000 or None,
        "filename": file.filename,
        "purpose": file.purpose,
        "status": "processed",
        "status_details": None,
    }


def files_document(page: FilePage) -> Document:
    """A page of files."""
    return list_document([file_document(file) for file in page.files], has_more=page.has_more)


def disposition(file: StoredFile) -> bytes:
    """The header that names a download (RFC 6266); the name was checked to hold no control characters."""
    return f"attachment; filename*=UTF-8''{quote(file.filename, safe='')}".encode()
