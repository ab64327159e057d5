"""Lines of a batch's input file: what they must say, and how they are cut into parts. The format is OpenAI's."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from services.jobs.domain.job import FileSlice, LineError, PartSpec
from services.jobs.domain.submission import CUSTOM_ID_CHARS_MAX

LINES_MAX = 50_000
LINE_BYTES_MAX = 2**20
# How many faults of a file are told; as many as a person will mend before trying again.
FAULTS_MAX = 20
# Not settings: two replicas that cut the same file differently would do some lines twice and others never.
PART_REQUESTS = 50
PART_BYTES = 256 * 2**10

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_FIELDS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_TEXT = msgspec.json.Decoder(str)


@dataclass(frozen=True, slots=True)
class BatchLine:
    """A line that asks for something; `body` is its request's JSON as it was sent."""

    custom_id: str
    body: bytes


def parsed(data: bytes, line: int, endpoint: str) -> BatchLine | LineError | None:
    """What a line (without its end) asks for, what is wrong with it, or None where it is blank."""
    data = data.removeprefix(_BYTE_ORDER_MARK)
    if len(data) > LINE_BYTES_MAX:
        return LineError("line_too_long", f"A line has {LINE_BYTES_MAX} bytes at most. Shorten the request.", line)
    if not data.strip():
        return None
    try:
        data.decode()
        fields = _FIELDS.decode(data)
    except UnicodeDecodeError:
        return LineError("invalid_encoding", "The line is not UTF-8. Save the file as UTF-8.", line)
    except (msgspec.MsgspecError, RecursionError):
        message = "The line is no JSON object. Each line is one, without line breaks inside."
        return LineError("invalid_json_line", message, line)
    fault = _method(fields, line) or _url(fields, line, endpoint)
    return fault or _request(fields, line)


def _method(fields: dict[str, msgspec.Raw], line: int) -> LineError | None:
    if (method := _text(fields, "method")) == "POST":
        return None
    if method is None:
        return _missing("method", "the text POST", line)
    return LineError("invalid_method", "The 'method' of a request must be POST.", line, "method")


def _url(fields: dict[str, msgspec.Raw], line: int, endpoint: str) -> LineError | None:
    if (url := _text(fields, "url")) == endpoint:
        return None
    if url is None:
        return _missing("url", f"the text {endpoint}", line)
    return LineError("url_mismatch", f"The 'url' must be the batch's endpoint, {endpoint}, in every line.", line, "url")


def _request(fields: dict[str, msgspec.Raw], line: int) -> BatchLine | LineError:
    custom_id = _text(fields, "custom_id")
    if not custom_id:
        return _missing("custom_id", "a text of your choice, unique in the file", line)
    if len(custom_id) > CUSTOM_ID_CHARS_MAX:
        message = f"A 'custom_id' has {CUSTOM_ID_CHARS_MAX} characters at most."
        return LineError("invalid_custom_id", message, line, "custom_id")
    body = bytes(fields.get("body", b""))
    if not body.startswith(b"{"):
        return _missing("body", "the JSON object of a request", line)
    return BatchLine(custom_id, body)


def _text(fields: dict[str, msgspec.Raw], name: str) -> str | None:
    try:
        return _TEXT.decode(fields[name])
    except (KeyError, msgspec.MsgspecError):
        return None


def _missing(name: str, wanted: str, line: int) -> LineError:
    return LineError("missing_required_parameter", f"The line needs '{name}': {wanted}.", line, name)


@dataclass(slots=True)
class Inspection:
    """Looks at all lines of a file, in order, before any of them is paid for. `faults` are the first that it has."""

    endpoint: str
    lines_max: int = LINES_MAX
    requests: int = 0
    faults: list[LineError] = field(default_factory=list)
    _line: int = 0
    _seen: set[bytes] = field(default_factory=set)

    def take(self, data: bytes) -> bool:
        """Looks at the next line. False: nothing behind it needs to be looked at."""
        self._line += 1
        found = parsed(data, self._line, self.endpoint)
        if isinstance(found, BatchLine):
            self.requests += 1
            found = self._repeated(found) or self._too_many()
        if found is not None:
            self.faults.append(found)
        return len(self.faults) < FAULTS_MAX and self.requests <= self.lines_max

    def end(self) -> Sequence[LineError]:
        """What is wrong with the file, once its lines have been looked at."""
        if not self.requests and not self.faults:
            self.faults.append(LineError("empty_file", "The file has no requests. Write one per line."))
        return self.faults

    def _repeated(self, line: BatchLine) -> LineError | None:
        # A digest, so that fifty thousand long ids take some megabytes and not as many as they like.
        identity = hashlib.blake2b(line.custom_id.encode(), digest_size=16).digest()
        if identity not in self._seen:
            self._seen.add(identity)
            return None
        message = "The 'custom_id' is that of a line before. Make it unique: results are told apart by it."
        return LineError("duplicate_custom_id", message, self._line, "custom_id")

    def _too_many(self) -> LineError | None:
        if self.requests <= self.lines_max:
            return None
        message = f"The file has more than {self.lines_max} requests, the most of one batch. Make several batches."
        return LineError("too_many_tasks", message, self._line)


class LineFaultError(Exception):
    """A line is wrong that was to be cut."""

    def __init__(self, fault: LineError) -> None:
        super().__init__(fault.message)
        self.fault = fault


@dataclass(slots=True)
class Cut:
    """Lines that become a part; `bodies` are their requests."""

    number: int
    first: int
    slice: FileSlice
    bodies: list[bytes] = field(default_factory=list)

    def part(self, job: str, models: Sequence[str]) -> PartSpec:
        """The part as it is stored."""
        return PartSpec(
            number=self.number,
            first=self.first,
            count=len(self.bodies),
            reservation=reservation_of(job, self.number),
            models=tuple(models),
            slice=self.slice,
        )


def reservation_of(job: str, number: int) -> str:
    """The reservation of a part of a file. A function of its number, so that a repeat finds it."""
    return f"{job}:{number}"


class Cutter:
    """Cuts lines into parts, always in the same way: a part ends before the line that would make it too large."""

    def __init__(
        self,
        file_id: str,
        endpoint: str,
        after: PartSpec | None = None,
        *,
        part_requests: int = PART_REQUESTS,
        part_bytes: int = PART_BYTES,
    ) -> None:
        """`after` is the last part that there is; `start` says from where on lines are to be given."""
        self._file_id, self._endpoint = file_id, endpoint
        self._part_requests, self._part_bytes = part_requests, part_bytes
        found = after.slice if after is not None else None
        # The last part's lines are read again, to count them.
        self.start, self._line = (found.start, found.line - 1) if found else (0, 0)
        self._behind = found.start + found.length if found else 0
        self._number, self._first = (after.number + 1, after.first + after.count) if after else (0, 0)
        self._open: Cut | None = None

    def take(self, data: bytes, start: int, length: int) -> Cut | None:
        """Takes the next line, of `length` bytes from byte `start` on; gives the part that ended before it.

        Raises LineFaultError for a line that nobody would have let pass: another version of this inspected the file.
        """
        self._line += 1
        if start < self._behind:
            return None
        found = parsed(data, self._line, self._endpoint)
        if isinstance(found, LineError):
            raise LineFaultError(found)
        if found is None:
            return None
        ended = self.end() if self._is_full(start + length) else None
        self._add(found, start, length)
        return ended

    def end(self) -> Cut | None:
        """The part that is open, which is ended by this."""
        cut, self._open = self._open, None
        return cut

    def _is_full(self, end: int) -> bool:
        cut = self._open
        return cut is not None and (len(cut.bodies) >= self._part_requests or end - cut.slice.start > self._part_bytes)

    def _add(self, line: BatchLine, start: int, length: int) -> None:
        if self._open is None:
            self._open = Cut(self._number, self._first, FileSlice(self._file_id, start, 0, self._line))
            self._number += 1
        cut = self._open
        cut.slice = FileSlice(self._file_id, cut.slice.start, start + length - cut.slice.start, cut.slice.line)
        cut.bodies.append(line.body)
        self._first += 1
