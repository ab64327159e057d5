"""Entries of an outbox as events of the usage topic, and back."""

from __future__ import annotations

from google.protobuf.message import DecodeError
from headrace.events.v1 import usage_pb2 as pb

from services.gateway.domain.ledger.types import OutboxEntry, UsageMeta
from services.gateway.ports.usage import TenantEntry

_KINDS = {
    "settled": pb.LEDGER_EVENT_KIND_SETTLED,
    "refunded": pb.LEDGER_EVENT_KIND_REFUNDED,
    "expired": pb.LEDGER_EVENT_KIND_EXPIRED,
    "corrected": pb.LEDGER_EVENT_KIND_CORRECTED,
    "soft_budget": pb.LEDGER_EVENT_KIND_SOFT_BUDGET,
    "account": pb.LEDGER_EVENT_KIND_ACCOUNT,
}
_NAMES = {number: name for name, number in _KINDS.items()}


class UnreadableEventError(Exception):
    """A record of the topic is no event that this version knows. Passing it over would lose money silently."""


def event_of(tenant: str, entry: OutboxEntry) -> pb.LedgerEvent:
    """The event; raises KeyError for a kind that has none."""
    event = pb.LedgerEvent(
        tenant=tenant,
        request_id=entry.request_id,
        sequence=entry.sequence,
        kind=_KINDS[entry.kind],
        at_unix_us=entry.at_us,
        cost_nanodollars=entry.cost,
        platform_nanodollars=entry.platform,
        prompt_tokens=entry.prompt_tokens,
        cached_tokens=entry.cached_tokens,
        completion_tokens=entry.completion_tokens,
        reasoning_tokens=entry.reasoning_tokens,
        windows=[pb.ScopeWindows(scope=scope, windows=starts) for scope, starts in entry.windows.items()],
        account_json=entry.account,
        outbox_id=entry.id,
    )
    if entry.meta is not None:
        event.meta.CopyFrom(_meta_event(entry.meta))
    return event


def entry_of(value: bytes) -> TenantEntry:
    """The tenant and the entry of a record's value; raises UnreadableEventError."""
    try:
        event = pb.LedgerEvent.FromString(value)
    except DecodeError:
        raise UnreadableEventError("A record of the usage topic is no event of the ledger. Check the topic.") from None
    if event.kind not in _NAMES or not event.tenant or not event.request_id:
        raise UnreadableEventError(
            f"The usage topic holds an event of kind {event.kind} that this version does not know. "
            "Use the version that wrote it, or a later one."
        )
    return event.tenant, OutboxEntry(
        id=event.outbox_id,
        kind=_NAMES[event.kind],
        request_id=event.request_id,
        sequence=event.sequence,
        at_us=event.at_unix_us,
        cost=event.cost_nanodollars,
        platform=event.platform_nanodollars,
        prompt_tokens=event.prompt_tokens,
        cached_tokens=event.cached_tokens,
        completion_tokens=event.completion_tokens,
        reasoning_tokens=event.reasoning_tokens,
        meta=_meta_of(event.meta) if event.HasField("meta") else None,
        windows={each.scope: dict(each.windows) for each in event.windows},
        account=event.account_json,
    )


def _meta_event(meta: UsageMeta) -> pb.UsageMeta:
    return pb.UsageMeta(
        key=meta.key,
        user=meta.user,
        end_user=meta.end_user,
        model=meta.model,
        session=meta.session,
        root_session=meta.root_session,
        tags=meta.tags,
        input_price=meta.input_price,
        cached_price=meta.cached_price,
        output_price=meta.output_price,
    )


def _meta_of(meta: pb.UsageMeta) -> UsageMeta:
    return UsageMeta(
        key=meta.key,
        user=meta.user,
        end_user=meta.end_user,
        model=meta.model,
        session=meta.session,
        root_session=meta.root_session,
        tags=dict(meta.tags),
        input_price=meta.input_price,
        cached_price=meta.cached_price,
        output_price=meta.output_price,
    )
