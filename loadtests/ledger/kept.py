"""All that the store keeps of a tenant, and all that the model keeps, in one form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from loadtests.ledger.pipe import Pipe
from loadtests.ledger.world import SCOPES
from services.gateway.adapters.ledger.library import prefix_of
from services.gateway.adapters.ledger.outbox import ValkeyOutbox
from services.gateway.adapters.ledger.replay import LedgerReplay
from services.gateway.domain.ledger.hold_record import HELD, Hold
from services.gateway.domain.ledger.model import TenantLedger
from services.gateway.domain.ledger.scopes import ScopeLimits, unpack_limits
from services.gateway.domain.ledger.types import OutboxEntry, ScopeTotals

# A record as text, "-" = it has none: state, amount, tokens, lease or what is left, charged, events, progress.
_RECORDS = """
local found = {}
for at, key in ipairs(KEYS) do
  local packed = redis.call('GET', key)
  local rec = packed and cmsgpack.unpack(packed) or {}
  local record = {rec.s or '-'}
  local progress = rec.pr or {}
  for place, value in ipairs({'a', 't', 'l', 'c', 'n'}) do
    record[place + 1] = rec[value] and string.format('%.0f', rec[value]) or '-'
  end
  for place = 1, 5 do
    record[place + 6] = progress[place] and string.format('%.0f', progress[place]) or '-'
  end
  found[at] = table.concat(record, ' ')
end
return found
"""


@dataclass(slots=True)
class Kept:
    """`records`: holds and reservations that were asked for, by their key."""

    scopes: dict[str, ScopeTotals]
    leases: dict[str, int]
    entries: list[OutboxEntry]
    records: dict[str, str]
    limits: dict[str, ScopeLimits]


def kept_by_store(pipe: Pipe, tenant: str, after: str, keys: list[str]) -> tuple[Kept, str]:
    """What the store keeps, entries behind the id `after` only; and the id of the last entry."""
    prefix = prefix_of(tenant)
    scopes, leases, entries, records, *limits = pipe.run(
        [
            LedgerReplay(pipe).dump(tenant),
            pipe.command("ZRANGE", f"{prefix}:leases", 0, -1, "WITHSCORES"),
            ValkeyOutbox(pipe).read(tenant, after, 1_000_000),
            pipe.command("EVAL", _RECORDS, len(keys), *(f"{prefix}:{key}" for key in keys)),
            *(pipe.command("HGET", f"{prefix}:{scope}", "lim") for scope in SCOPES),
        ]
    )
    found = Kept(
        scopes,
        _leases(leases),
        bare(entries),
        {key: record.decode() for key, record in zip(keys, records, strict=True)},
        {scope: unpack_limits(packed) for scope, packed in zip(SCOPES, limits, strict=True) if packed},
    )
    return found, entries[-1].id if entries else after


def kept_by_model(model: TenantLedger, after: int, keys: list[str]) -> Kept:
    """What the model keeps, entries behind the `after` first ones only."""
    leases = {name: hold.lease_us for name, hold in model.books.holds.items() if hold.state == HELD}
    entries = bare(model.outbox()[after:])
    return Kept(model.dump(), leases, entries, {key: _record(model, key) for key in keys}, dict(model.books.limits))


def _record(model: TenantLedger, key: str) -> str:
    kind, _, name = key.partition(":")
    if kind == "hold":
        hold = model.books.holds.get(name)
        return _of_hold(hold) if hold else _join()
    found = model.books.reservations.get(name)
    return _join(found.state, found.amount, "-", found.left) if found else _join()


def _of_hold(hold: Hold) -> str:
    if not hold.parts:
        return _join(hold.state, "-", "-", "-", 0)
    used = hold.progress
    progress = (used.cost, used.prompt_tokens, used.cached_tokens, used.completion_tokens, used.reasoning_tokens)
    charged = "-" if hold.state == HELD else hold.charged
    return _join(hold.state, hold.amount, hold.tokens, hold.lease_us, charged, hold.sequence, *progress)


def _join(*values: Any) -> str:
    return " ".join(map(str, (*values, *"-" * (11 - len(values)))))


def bare(entries: Sequence[OutboxEntry]) -> list[OutboxEntry]:
    """Entries without their ids, which are the store's alone."""
    return [msgspec.structs.replace(entry, id="") for entry in entries]


def _leases(flat: list[bytes]) -> dict[str, int]:
    return {name.decode(): int(score) for name, score in zip(flat[::2], flat[1::2], strict=True)}
