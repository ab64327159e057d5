"""Lines of a batch's output and error files, in OpenAI's format."""

from __future__ import annotations

import hashlib

import msgspec

from services.jobs.domain.job import JobState, StepResult

_ENCODER = msgspec.json.Encoder()
_JSON = msgspec.json.Decoder(msgspec.Raw)

# Why a request of an ended batch has no result, by the batch's state.
_UNANSWERED = {
    JobState.EXPIRED: (
        "batch_expired",
        "The batch expired before this request was answered. Send it in another batch.",
    ),
    JobState.CANCELLED: ("batch_cancelled", "The batch was cancelled before this request was answered."),
}
_LOST = ("result_lost", "The answer was made and charged, and is no longer stored. Ask the operator what became of it.")


class LineResponse(msgspec.Struct, frozen=True):
    """What a request was answered with."""

    status_code: int
    request_id: str
    body: msgspec.Raw


class OutputError(msgspec.Struct, frozen=True):
    """Why a request was not answered."""

    code: str
    message: str


class OutputLine(msgspec.Struct, frozen=True):
    """One line; `custom_id` is None only where the input file has gone."""

    id: str
    custom_id: str | None
    response: LineResponse | None
    error: OutputError | None


def line_id(job: str, step: int) -> str:
    """The id of a request of a batch, the same whenever it is written."""
    return "batch_req_" + hashlib.sha256(f"{job}/{step}".encode()).hexdigest()[:24]


def answered(job: str, result: StepResult, body: bytes) -> bytes:
    """The line of a request that has a result, an answer or an error; `body` is its JSON."""
    response = LineResponse(result.status_code, result.request_id, _one_line(body))
    return _encoded(OutputLine(line_id(job, result.step), result.custom_id or None, response, None))


def lost(job: str, result: StepResult) -> bytes:
    """The line of a request whose result's body is no longer there."""
    return _encoded(OutputLine(line_id(job, result.step), result.custom_id or None, None, OutputError(*_LOST)))


def unanswered(job: str, step: int, custom_id: str | None, state: JobState) -> bytes:
    """The line of a request that the end of its batch came before."""
    code, message = _UNANSWERED.get(state, ("request_failed", "The batch failed before this request was answered."))
    return _encoded(OutputLine(line_id(job, step), custom_id, None, OutputError(code, message)))


def _encoded(line: OutputLine) -> bytes:
    return _ENCODER.encode(line) + b"\n"


def _one_line(body: bytes) -> msgspec.Raw:
    """The body as JSON without line breaks; what is no JSON becomes a text."""
    try:
        text = body.decode()
        found = _JSON.decode(body)
    except (UnicodeDecodeError, msgspec.MsgspecError, RecursionError):
        return msgspec.Raw(_ENCODER.encode(body.decode(errors="replace")))
    # Inside JSON's strings line breaks are escaped: a bare one stands between tokens.
    return msgspec.Raw(msgspec.json.format(body, indent=-1)) if "\n" in text or "\r" in text else found
