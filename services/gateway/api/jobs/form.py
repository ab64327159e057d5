"""A multipart form with one file, read as it comes (RFC 7578): what is in memory is a piece of the body."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header

from libs.errors import PlatformError
from services.gateway.wire.refusals import invalid

FILE = "file"
# All fields beside the file, names and values.
_FIELD_BYTES_MAX = 16 * 1024
_FIELDS_MAX = 32
Headers = dict[bytes, bytes]


class Form:
    """Reads fields up to the file, then the file, then what is behind it; each once, in this order.

    Raises INVALID_REQUEST for what is no such form, and what `pieces` raises.
    """

    def __init__(self, content_type: str, pieces: AsyncIterator[bytes]) -> None:
        kind, options = parse_options_header(content_type)
        boundary = options.get(b"boundary")
        if kind != b"multipart/form-data" or not boundary:
            message = "The body is no form. Send multipart/form-data with the fields 'purpose' and 'file'."
            raise invalid(None, message)
        self.fields: dict[str, str] = {}
        self._pieces = pieces
        self._items: deque[bytes | None] = deque()
        self._part = _Part(self._data)
        try:
            self._parser = MultipartParser(boundary, self._part.callbacks(self._begun, self._ended))  # type: ignore[arg-type]
        except Exception as problem:
            raise invalid(None, "The boundary of the form is not valid.") from problem
        self._filename: str | None = None
        self._in_file = False
        self._over = False
        self._bytes = 0
        self._name, self._value = "", bytearray()

    async def filename(self) -> str:
        """The name of the file, whose bytes come next; `fields` has what came before it."""
        while self._filename is None:
            if not await self._read():
                raise invalid(FILE, f"The form has no file. Send the form field '{FILE}' with a file name.")
        return self._filename

    async def file(self) -> AsyncIterator[bytes]:
        """The bytes of the file."""
        while True:
            while self._items:
                item = self._items.popleft()
                if item is None:
                    return
                yield item
            if not await self._read():
                raise invalid(FILE, "The form ends in the middle of the file. Send it again.")

    async def rest(self) -> Mapping[str, str]:
        """All fields, those behind the file too. Raises INVALID_REQUEST for a form that does not end."""
        while await self._read():
            pass
        if not self._over:
            raise invalid(None, "The form ends before its last boundary. Send it again.")
        return self.fields

    async def _read(self) -> bool:
        piece = await anext(self._pieces, None)
        if piece is None:
            return False
        try:
            self._parser.write(piece)
        except MultipartParseError as problem:
            raise invalid(None, "The form is broken: its parts do not follow RFC 7578.") from problem
        return True

    def _begun(self, headers: Headers) -> None:
        _, options = parse_options_header(headers.get(b"content-disposition", b""))
        name = options.get(b"name", b"").decode("utf-8", "replace")
        self._in_file = name == FILE and self._filename is None
        if self._in_file:
            self._filename = options.get(b"filename", b"").decode("utf-8", "replace")
            return
        self._bytes += len(name)
        if len(self.fields) >= _FIELDS_MAX:
            raise _too_much()
        self._name = name
        self._value.clear()

    def _data(self, data: bytes) -> None:
        if self._in_file:
            self._items.append(data)
            return
        self._bytes += len(data)
        if self._bytes > _FIELD_BYTES_MAX:
            raise _too_much()
        self._value += data

    def _ended(self, *, form: bool) -> None:
        if form:
            self._over = True
        elif self._in_file:
            self._items.append(None)
            self._in_file = False
        else:
            self.fields[self._name] = self._value.decode("utf-8", "replace")


def _too_much() -> PlatformError:
    return invalid(None, "The form has too many or too large fields beside its file.")


class _Part:
    """Collects a part's headers from the parser's calls."""

    def __init__(self, data: Callable[[bytes], None]) -> None:
        self._data = data
        self._headers: Headers = {}
        self._name, self._value = b"", b""

    def callbacks(self, begun: Callable[[Headers], None], ended: Callable[..., None]) -> Mapping[str, Any]:
        """What the parser calls."""
        return {
            "on_part_begin": self._clear,
            "on_header_field": self._on_name,
            "on_header_value": self._on_value,
            "on_header_end": self._on_header,
            "on_headers_finished": lambda: begun(self._headers),
            "on_part_data": lambda data, start, end: self._data(bytes(data[start:end])),
            "on_part_end": lambda: ended(form=False),
            "on_end": lambda: ended(form=True),
        }

    def _clear(self) -> None:
        self._headers = {}
        self._name, self._value = b"", b""

    def _on_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _on_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _on_header(self) -> None:
        self._headers[self._name.lower()] = self._value
        self._name, self._value = b"", b""
