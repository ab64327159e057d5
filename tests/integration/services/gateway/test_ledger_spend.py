"""Sums by day as the store keeps them: who is named in them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from libs.testing.loop import run_real
from libs.testing.valkey import ValkeyProcess
from libs.valkey import Valkey
from services.gateway.adapters.accounts.valkey import ValkeyAccounts
from services.gateway.adapters.ledger.spend import ValkeySpend
from services.gateway.adapters.ledger.store import LeaseTimes, ValkeyLedger
from services.gateway.domain.accounts.records import Change, Kind, Tenant
from services.gateway.domain.accounts.spend import Dimension
from services.gateway.domain.ledger.types import Ask, End, Outcome, Progress, Settlement, UsageMeta

META = UsageMeta("key_1", "", "eve", "small", "s1", "", {"feature": "search"}, 100, 10, 400)


async def spent(process):
    """By (tenant, dimension): value -> nano-dollars, after one call of each of two tenants."""
    valkey = Valkey(process.settings(op_timeout_ms=5_000))
    accounts, ledger, spend = ValkeyAccounts(valkey), ValkeyLedger(valkey, LeaseTimes()), ValkeySpend(valkey)
    today = datetime.now(UTC)
    days = [(today + timedelta(days=shift)).date().isoformat() for shift in (-1, 1)]
    found = {}
    try:
        life = await ledger.hello()
        for tenant, cost in (("acme", 5), ("globex", 7)):
            record = Tenant(id=tenant, created_at=1.0)
            await accounts.change(Change(kind=Kind.TENANT, tenant=tenant, id=tenant, actor="a", at=1.0, after=record))
            ask = Ask(tenant, f"r-{tenant}", ("t",), 10, 10, META, Progress())
            assert (await ledger.hold(life, ask, expire=False)).outcome is Outcome.OK
            await ledger.settle([Settlement(tenant, ask.request_id, End.SETTLED, Progress(cost, 3, 1, 2))])
            for dimension in Dimension:
                rows = await spend.by(tenant, dimension, *days)
                found[tenant, dimension] = {row.value: row.cost_nanodollars for row in rows}
    finally:
        await valkey.close()
    return found


def test_a_call_is_summed_under_all_its_names():
    with ValkeyProcess() as process:
        found = run_real(spent(process))
    assert found["acme", Dimension.KEY] == {"key_1": 5}
    assert found["acme", Dimension.END_USER] == {"eve": 5}
    assert found["acme", Dimension.SESSION] == {"s1": 5}
    assert found["acme", Dimension.TAG] == {"feature=search": 5}
    assert found["acme", Dimension.USER] == {}


def test_tenants_are_told_apart_where_all_of_them_are_listed():
    with ValkeyProcess() as process:
        found = run_real(spent(process))
    assert found["acme", Dimension.TENANT] | found["globex", Dimension.TENANT] == {"acme": 5, "globex": 7}
