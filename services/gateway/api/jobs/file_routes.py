"""`/v1/files`, as OpenAI's clients call it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from libs.errors import PlatformError, Reason
from libs.files import FileStore, FileViewer, StoredFile
from services.gateway.api.gone import ClientGoneError, UntilGone
from services.gateway.api.jobs.asked import Asked, choice, integer
from services.gateway.api.jobs.form import Form
from services.gateway.api.jobs.routes import Route
from services.gateway.domain.accounts.records import Role
from services.gateway.domain.turns import Principal
from services.gateway.wire.openai_files import (
    LIMIT_DEFAULT,
    LIMIT_MAX,
    check_purpose,
    check_whole,
    disposition,
    file_document,
    files_document,
    upload_of,
)

_ORDERS = {"asc": True, "desc": False}


@dataclass(frozen=True, slots=True)
class UploadLimits:
    """`at_once`: each holds a part of its file in memory. `bytes_max` of a body: a file and its form. `seconds` may one
    take, so that slow ones do not keep the place of others.
    """

    at_once: int = 16
    bytes_max: int = 201 * 2**20
    seconds: float = 3600.0


class FileDesk:
    """What the routes do."""

    def __init__(self, files: FileStore, limits: UploadLimits) -> None:
        self._files, self._limits = files, limits
        self._uploads = 0

    def routes(self) -> Sequence[Route]:
        """All of them."""
        return (
            Route("POST", "/v1/files", self.upload),
            Route("GET", "/v1/files", self.list),
            Route("GET", "/v1/files/{id}", self.get),
            Route("GET", "/v1/files/{id}/content", self.content),
            Route("DELETE", "/v1/files/{id}", self.delete),
        )

    async def upload(self, asked: Asked) -> None:
        """Takes a form with `purpose` and `file`, in pieces; the file exists once the whole form has come."""
        self._check_length(asked)
        if self._uploads >= self._limits.at_once:
            message = f"{self._limits.at_once} files are being uploaded to this gateway already. Try again shortly."
            raise PlatformError(Reason.OVERLOADED, message, retry_after_seconds=2.0, started=False)
        self._uploads += 1
        try:
            async with asyncio.timeout(self._limits.seconds):
                file = await self._stored(asked)
        except TimeoutError:
            asked.connection.abort()
            raise ClientGoneError from None
        finally:
            self._uploads -= 1
        await asked.reply(file_document(file))

    async def _stored(self, asked: Asked) -> StoredFile:
        form = Form(asked.header(b"content-type") or "", asked.pieces())
        filename = await form.filename()
        check_purpose(form.fields)
        upload = upload_of(filename, form.fields)
        return await self._files.create(viewer_of(asked.principal), upload, _content(form, dict(form.fields)))

    def _check_length(self, asked: Asked) -> None:
        """What says that it is too large is not read. What does not say is counted by the store of files."""
        length = asked.header(b"content-length") or ""
        if length.isdigit() and int(length[:18]) > self._limits.bytes_max:
            message = f"The body is larger than {self._limits.bytes_max} bytes. Split the file."
            raise PlatformError(Reason.PAYLOAD_TOO_LARGE, message, started=False, param="file")

    async def list(self, asked: Asked) -> None:
        """The caller's files, newest first."""
        given = asked.query("after", "limit", "order", "purpose")
        page = await self._files.list(
            viewer_of(asked.principal),
            purpose=given.get("purpose", ""),
            after=given.get("after", ""),
            limit=integer(given, "limit", LIMIT_DEFAULT, range(1, LIMIT_MAX + 1)),
            ascending=bool(choice(given, "order", _ORDERS)),
        )
        await asked.reply(files_document(page))

    async def get(self, asked: Asked) -> None:
        """What is known of a file."""
        await asked.reply(file_document(await self._files.get(viewer_of(asked.principal), asked.args["id"])))

    async def content(self, asked: Asked) -> None:
        """The bytes of a file."""
        file = await self._files.get(viewer_of(asked.principal), asked.args["id"])
        headers = [
            (b"content-type", b"application/octet-stream"),
            (b"content-length", b"%d" % file.size),
            (b"content-disposition", disposition(file)),
        ]
        with UntilGone(asked.connection):
            async with aclosing(self._files.content(file)) as pieces:
                # Its first piece comes before the headers: what is wrong is told by the status.
                piece = await anext(pieces, b"")
                await asked.begin(200, headers)
                while piece and not asked.head_only:
                    await asked.write(piece)
                    piece = await anext(pieces, b"")
            await asked.write(b"", last=True)

    async def delete(self, asked: Asked) -> None:
        """Deletes a file. A batch that has not read it yet fails."""
        await self._files.delete(viewer_of(asked.principal), asked.args["id"])
        await asked.reply({"id": asked.args["id"], "object": "file", "deleted": True})


async def _content(form: Form, before: Mapping[str, str]) -> AsyncIterator[bytes]:
    """The bytes of the file. Ends only when the whole form has come and is right, so that else no file is made."""
    async for piece in form.file():
        yield piece
    check_whole(await form.rest(), before)


def viewer_of(principal: Principal) -> FileViewer:
    """Whose files a caller sees."""
    return FileViewer(
        tenant=principal.tenant,
        key_id=principal.key_id,
        user=principal.account_user,
        manages_tenant=principal.role in (Role.ADMIN, Role.TENANT_ADMIN),
    )
