"""The record of one request: who, where, how long, how many tokens, what it cost, and on demand what was said.

Everything but the texts is known in numbers and names; texts have been through the redactor before they are in here.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import msgspec

from libs.money import to_dollars
from services.gateway.domain.record import CallRecord
from services.gateway.domain.route_record import RouteRecord, route_record
from services.gateway.domain.turns import Principal


class TextState(StrEnum):
    """What became of prompt and answer. `PENDING`: not written yet; `DROPPED`: there was too much to write."""

    STORED = "stored"
    OFF = "off"
    NONE = "none"
    PENDING = "pending"
    DROPPED = "dropped"


class AttemptRecord(msgspec.Struct, frozen=True):
    """One attempt: where, how it ended ("answered", or as in domain/attempts.py), and the error's reason.

    `first_token_ms` is from its opening to its first delta; None = it gave none.
    """

    worker: str
    outcome: str
    reason: str = ""
    first_token_ms: float | None = None


class TurnText(msgspec.Struct, frozen=True, omit_defaults=True):
    """One turn of the prompt."""

    role: str
    text: str
    reasoning: str = ""
    name: str = ""
    tool_calls: tuple[dict[str, str], ...] = ()


class ChoiceTexts(msgspec.Struct, frozen=True, omit_defaults=True):
    """The answer of one choice."""

    content: str
    reasoning: str = ""
    tool_calls: tuple[dict[str, str], ...] = ()


class RequestRecord(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One request. `at` is Unix seconds of its beginning, other times milliseconds; None = it did not come to it.

    New fields have a default: records of older versions are read for as long as they are kept.
    """

    id: str
    tenant: str
    key: str
    at: float
    user: str = ""
    end_user: str = ""
    session: str = ""
    session_source: str = "none"
    root_session: str = ""
    model: str = ""
    worker: str = ""
    placed_by: str = ""
    route: RouteRecord | None = None
    streamed: bool = False
    attempts: tuple[AttemptRecord, ...] = ()
    resumes: int = 0
    reproducible: bool = True
    queued_ms: float = 0.0
    first_token_ms: float | None = None
    total_ms: float = 0.0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    reasoning_tokens: int = 0
    reprefill_tokens: int = 0
    cost_nanodollars: int = 0
    finish_reasons: tuple[str, ...] = ()
    truncated: str = ""
    error: str = ""
    tags: dict[str, str] = {}
    text: TextState = TextState.NONE
    text_cut: bool = False
    prompt: tuple[TurnText, ...] = ()
    answers: tuple[ChoiceTexts, ...] = ()

    def shown(self, *, with_text: bool = True) -> dict[str, Any]:
        """The record as clients see it."""
        found: dict[str, Any] = {
            "id": self.id,
            "object": "request",
            "created": int(self.at),
            "tenant": self.tenant,
            "key_id": self.key,
            "user": self.user or None,
            "end_user": self.end_user or None,
            "session_id": self.session or None,
            "session_source": self.session_source,
            "root_session_id": self.root_session or None,
            "model": self.model,
            "worker": self.worker or None,
            "placed_by": self.placed_by or None,
            "route": self.route.shown() if self.route is not None else None,
            "streamed": self.streamed,
            "attempts": [msgspec.to_builtins(attempt) for attempt in self.attempts],
            "resumes": self.resumes,
            "reproducible": self.reproducible,
            "times": self._times(),
            "tokens": self._tokens(),
            "cost_usd": to_dollars(self.cost_nanodollars),
            "finish_reasons": list(self.finish_reasons),
            "truncated": self.truncated or None,
            "error": self.error or None,
            "tags": self.tags,
            "text": self.text.value,
        }
        if with_text and self.text is TextState.STORED:
            found |= {"text_cut": self.text_cut, "prompt": msgspec.to_builtins(self.prompt)}
            found["answers"] = msgspec.to_builtins(self.answers)
        return found

    def _times(self) -> dict[str, float | None]:
        return {"queued_ms": self.queued_ms, "first_token_ms": self.first_token_ms, "total_ms": self.total_ms}

    def _tokens(self) -> dict[str, int]:
        return {
            "prompt": self.prompt_tokens,
            "cached": self.cached_tokens,
            "completion": self.completion_tokens,
            "reasoning": self.reasoning_tokens,
            "reprefill": self.reprefill_tokens,
        }


def numbers_of(record: CallRecord, principal: Principal, *, unix: float, text: TextState) -> RequestRecord:
    """All of a call's record but the texts; `unix` is the time at its end."""
    total = record.ended_at - record.started_at
    first = record.first_delta_at - record.started_at
    request = record.request
    return RequestRecord(
        id=record.request_id,
        tenant=record.tenant,
        key=principal.key_id,
        at=round(unix - total, 3),
        user=principal.account_user,
        end_user=request.user if request else "",
        session=record.session,
        session_source=record.session_source,
        root_session=request.session.root if request else "",
        model=record.model,
        worker=record.worker,
        placed_by=record.placed_by,
        route=route_record(record.route) if record.route is not None else None,
        streamed=record.streamed,
        attempts=_attempts(record),
        resumes=record.resumes,
        reproducible=record.reproducible,
        queued_ms=round(record.queued_ms, 3),
        first_token_ms=round(first * 1000, 3) if record.first_delta_at else None,
        total_ms=round(total * 1000, 3),
        prompt_tokens=record.prompt_tokens,
        cached_tokens=record.cached_tokens,
        completion_tokens=record.completion_tokens,
        reasoning_tokens=record.reasoning_tokens,
        reprefill_tokens=record.reprefill_tokens,
        cost_nanodollars=record.cost,
        finish_reasons=record.finishes,
        truncated=record.truncated,
        error=record.error,
        tags=dict(principal.tags) | (request.metadata if request else {}),
        text=text,
    )


def _attempts(record: CallRecord) -> tuple[AttemptRecord, ...]:
    past = [AttemptRecord(one.worker, one.outcome.value, one.reason, _ms(one.first_token_ms)) for one in record.past]
    if record.worker and len(past) < record.attempts:
        outcome = "answered" if not record.error else "given up"
        past.append(AttemptRecord(record.worker, outcome, record.error, _ms(record.first_token_ms)))
    return tuple(past)


def _ms(milliseconds: float | None) -> float | None:
    return None if milliseconds is None else round(milliseconds, 3)
