"""Where account records are in the store. Each function call of the adapter stays within one slot.

Of each tenant, under the hash tag `{tenant}`:

    hr:accounts:{tenant}:records   hash: "t" the tenant, "u:<id>", "k:<id>", "p:<model>" (of the platform)
    hr:accounts:{tenant}:users     sorted ids; so too :keys, :prices
    hr:accounts:{tenant}:owned     hash: user -> how many keys it has
    hr:accounts:{tenant}:gone      set of the ids of deleted keys: none is ever used again
    hr:accounts:{tenant}:audit     stream of changes, without HMACs
    hr:ledger:{tenant}:<scope>     field "lim": what the ledger enforces
    hr:ledger:{tenant}:outbox      stream of what is published

Of all, under the tag of the platform:

    hr:accounts:{_platform}:tenants   sorted ids; one whose record is missing is passed over
    hr:accounts:{_platform}:index     hash: HMAC -> "tenant/key", "id/<key>" -> tenant; without the record it is nothing
    hr:accounts:{_platform}:version   grows after each change
    hr:accounts:{_platform}:changing  sorted set: changes that have begun, by the store's time
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from services.gateway.domain.accounts.records import PLATFORM, Change, Key, Kind, Record

_GLOBAL = f"hr:accounts:{{{PLATFORM}}}:"
TENANTS, INDEX, VERSION, CHANGING = (_GLOBAL + name for name in ("tenants", "index", "version", "changing"))
_LETTERS = {Kind.TENANT: "t", Kind.USER: "u", Kind.KEY: "k", Kind.PRICE: "p"}
_LISTS = {Kind.USER: "users", Kind.KEY: "keys", Kind.PRICE: "prices"}


def owner_of(kind: Kind, tenant: str) -> str:
    """The tenant under whose tag a record is."""
    return PLATFORM if kind is Kind.PRICE else tenant


def letter(kind: Kind) -> str:
    """What the store's functions call a kind."""
    return _LETTERS[kind]


def field(kind: Kind, record_id: str) -> str:
    """The field of the records hash."""
    return "t" if kind is Kind.TENANT else f"{_LETTERS[kind]}:{record_id}"


def records(tenant: str) -> str:
    """The hash of a tenant's records."""
    return f"hr:accounts:{{{tenant}}}:records"


def listing(kind: Kind, tenant: str) -> str:
    """The sorted ids of a kind in a tenant."""
    return TENANTS if kind is Kind.TENANT else f"hr:accounts:{{{tenant}}}:{_LISTS[kind]}"


def audit(tenant: str) -> str:
    """The stream of a tenant's changes."""
    return f"hr:accounts:{{{tenant}}}:audit"


def change_keys(change: Change) -> list[str]:
    """The keys of the store's `change`, all in one slot, in its order."""
    tenant = owner_of(change.kind, change.tenant)
    own, ledger = f"hr:accounts:{{{tenant}}}:", f"hr:ledger:{{{tenant}}}:"
    # Tenants have no list in their own slot, prices no scope: the function does not touch what it is given for them.
    listed = own + _LISTS.get(change.kind, "unlisted")
    scope = "unlimited" if change.kind is Kind.PRICE else field(change.kind, change.id)
    return [records(tenant), listed, own + "owned", own + "gone", own + "audit", ledger + scope, ledger + "outbox"]


@dataclass(frozen=True, slots=True)
class IndexEntries:
    """What a change means to the index: `put` before it, `drop` after it."""

    put: dict[str, str]
    drop: dict[str, str]


def index_entries(change: Change) -> IndexEntries:
    """Names of keys in the index, and what they point at."""
    before, after = dict(_pointers(change.before)), dict(_pointers(change.after))
    return IndexEntries(after, {name: target for name, target in before.items() if name not in after})


def key_name(key_id: str) -> str:
    """The index's name of a key id; no HMAC looks like it."""
    return f"id/{key_id}"


def _pointers(record: Record | None) -> Iterator[tuple[str, str]]:
    if not isinstance(record, Key):
        return
    yield key_name(record.id), record.tenant
    for hmac in (record.hmac, record.previous_hmac):
        if hmac:
            yield hmac, f"{record.tenant}/{record.id}"
