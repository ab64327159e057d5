"""The books of one tenant when all is over: every charge against what clients got and what workers sent."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from headrace.inference.v1 import inference_pb2

from libs.rpc.dial import dial
from libs.valkey import Valkey
from loadtests.common.stack import TOKEN, Stack
from loadtests.overspend.callers import Try
from services.gateway import convert
from services.gateway.adapters.ledger.outbox import ValkeyOutbox
from services.gateway.adapters.ledger.replay import LedgerReplay
from services.gateway.adapters.sent import COUNT_SENT
from services.gateway.domain.ledger.types import OutboxEntry, ScopeTotals
from services.gateway.domain.sent import Sent, merged

_PAGE = 500
_ASKED = 1000
_CALLS = ("settled", "refunded", "expired", "corrected")


@dataclass
class Charged:
    """What one request was charged over all its events; `ends` counts those that ended its hold."""

    cost: int = 0
    platform: int = 0
    completion_tokens: int = 0
    ends: int = 0
    kinds: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Books:
    """A tenant's outbox, its ledger, a ledger rebuilt from the outbox, and the workers' word, all of one moment."""

    entries: Sequence[OutboxEntry]
    ledger: dict[str, ScopeTotals]
    rebuilt: dict[str, ScopeTotals]
    sent: dict[str, Sent]

    def charges(self) -> dict[str, Charged]:
        """By request id, whatever the number of holds that it had."""
        found: dict[str, Charged] = {}
        for entry in self.entries:
            if entry.kind in _CALLS:
                charged = found.setdefault(entry.request_id.partition("~")[0], Charged())
                charged.cost += entry.cost
                charged.platform += entry.platform
                charged.completion_tokens += entry.completion_tokens
                charged.ends += entry.sequence == 1
                charged.kinds.append(entry.kind)
        return found


async def read_books(valkey: Valkey, empty: Valkey, stack: Stack, tenant: str) -> Books:
    """Reads everything, and replays the outbox into the store `empty`. Raises PlatformError."""
    outbox, entries = ValkeyOutbox(valkey), list[OutboxEntry]()
    while page := await outbox.read(tenant, entries[-1].id if entries else "", _PAGE):
        entries += page
    replay = LedgerReplay(empty)
    await replay.apply(tenant, entries)
    ids = {entry.request_id.partition("~")[0] for entry in entries if entry.kind in _CALLS}
    return Books(
        entries, await LedgerReplay(valkey).dump(tenant), await replay.dump(tenant), await ask_workers(stack, ids)
    )


async def ask_workers(stack: Stack, ids: Iterable[str]) -> dict[str, Sent]:
    """What all workers together say they have sent of these requests."""
    wanted, found = sorted(ids), dict[str, Sent]()
    for index in range(stack.layout.workers):
        channel = dial(f"127.0.0.1:{stack.worker_port(index)}", "grpc", identity="gateway", token=TOKEN)
        try:
            for at in range(0, len(wanted), _ASKED):
                request = inference_pb2.CountSentRequest(request_ids=wanted[at : at + _ASKED])
                for given in (await channel.call(COUNT_SENT, request, timeout=10.0)).sent:
                    sent, before = convert.sent(given), found.get(given.request_id)
                    found[given.request_id] = sent if before is None else merged(before, sent)
        finally:
            await channel.close()
            await asyncio.sleep(0)
    return found


def faults_of(books: Books, tries: Sequence[Try], scope: str, limit: int) -> list[str]:
    """Everything that must not be, in words; [] = the books are right."""
    charges = books.charges()
    return [
        *_sums(books, charges, scope, limit),
        *_once(books, charges),
        *_against_clients(charges, tries),
        *_against_workers(charges, books.sent),
    ]


def _sums(books: Books, charges: dict[str, Charged], scope: str, limit: int) -> list[str]:
    found, logged = [], sum(charged.cost for charged in charges.values())
    for name, totals in books.ledger.items():
        if totals.settled != logged:
            found.append(f"{name} has settled {totals.settled}, the outbox says {logged}")
        if totals.held or totals.running:
            found.append(f"leaked: {name} holds {totals.held} for {totals.running} calls")
    settled = books.ledger[scope].settled if scope in books.ledger else 0
    if settled > limit:
        found.append(f"overspent: {settled} settled of {limit}")
    if books.ledger != books.rebuilt:
        found.append(f"rebuilt is another ledger: {books.rebuilt} for {books.ledger}")
    return found


def _once(books: Books, charges: dict[str, Charged]) -> list[str]:
    numbers = Counter((entry.request_id, entry.sequence) for entry in books.entries if entry.kind in _CALLS)
    found = [f"event {identity} is in the outbox {count} times" for identity, count in numbers.items() if count > 1]
    return found + [f"{name} has ended {one.ends} times: {one.kinds}" for name, one in charges.items() if one.ends != 1]


def _against_clients(charges: dict[str, Charged], tries: Sequence[Try]) -> list[str]:
    found = []
    for one in tries:
        if not one.request_id or one.outcome in ("held", "spent", "limited", "unavailable"):
            continue
        charged = charges.get(one.request_id, Charged())
        if one.outcome == "completed" and charged.cost != one.cost:
            found.append(f"{one.request_id} was told {one.cost} and charged {charged.cost}: {charged.kinds}")
        if one.received > charged.completion_tokens:
            tokens = f"received {one.received} tokens and was charged {charged.completion_tokens}"
            found.append(f"{one.request_id} {tokens}: {one.outcome}, {charged.kinds}")
    return found


def _against_workers(charges: dict[str, Charged], sent: dict[str, Sent]) -> list[str]:
    found = []
    for name, charged in charges.items():
        produced = sent[name].completion_tokens if name in sent else 0
        if charged.completion_tokens > produced:
            found.append(f"{name} was charged {charged.completion_tokens} tokens, and {produced} were produced")
    return found


def false_refusals(tries: Sequence[Try], needed: int) -> list[str]:
    """Refusals whose own numbers say that a call had room. `needed` is what its hold took at most, in nano-dollars."""
    return [
        f"refused ({one.outcome}) with {one.remaining} left of the budget, {needed} needed"
        for one in tries
        if one.outcome in ("held", "spent") and not -1 < one.remaining < needed
    ]


def broken_streams(books: Books, tries: Sequence[Try]) -> tuple[int, int, int, int]:
    """Streams that broke off in their middle: how many, and output tokens received, charged and produced."""
    charges = books.charges()
    broken = [one for one in tries if one.outcome in ("lost", "failed") and one.received]
    charged = [charges.get(one.request_id, Charged()).completion_tokens for one in broken]
    produced = [books.sent[one.request_id].completion_tokens for one in broken if one.request_id in books.sent]
    return len(broken), sum(one.received for one in broken), sum(charged), sum(produced)
