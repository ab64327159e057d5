"""Accounts over the store in memory, with randomness and time that tests control."""

from __future__ import annotations

from contextlib import contextmanager

import msgspec
import pytest

from libs.errors import PlatformError, Reason
from libs.testing.clock import FakeClock
from libs.testing.loop import run
from services.gateway.adapters.accounts.memory import MemoryAccounts
from services.gateway.domain.accounts.records import Role
from services.gateway.domain.turns import Principal
from services.gateway.usecases.accounts import KeySecrets, KeySpec, TenantSpec, UserSpec, accounts_over

PEPPER = b"p" * 32
ROOT = Principal("acme", "key_root", role=Role.ADMIN)
AWAY = PlatformError(Reason.STORE_UNAVAILABLE, "away", retry_after_seconds=1.0, started=False)


class CountingBytes:
    """Bytes that differ each time and are the same in each run."""

    def __init__(self):
        self.made = 0

    def __call__(self, count):
        self.made += 1
        return self.made.to_bytes(count, "big")


class World:
    def __init__(self, *records):
        self.clock = FakeClock()
        self.store = MemoryAccounts(*records)
        secrets = KeySecrets(PEPPER, CountingBytes())
        self.accounts = accounts_over(self.store, self.store, self.store, self.clock, secrets)
        self.tenants, self.users, self.keys = self.accounts.tenants, self.accounts.users, self.accounts.keys
        self.budgets, self.prices = self.accounts.budgets, self.accounts.prices

    async def populate(self):
        """Tenant acme with user ada, a key of hers and a key of nobody's: (hers, nobody's, text of hers)."""
        await self.tenants.create("acme", TenantSpec(), ROOT)
        await self.users.create("acme", "ada", UserSpec(), ROOT)
        hers, text = await self.keys.create("acme", KeySpec(name="hers"), ROOT, user="ada")
        nobodys, _ = await self.keys.create("acme", KeySpec(name="nobody's"), ROOT)
        return hers, nobodys, text


def on_accounts(scenario):
    """Runs `scenario(world)` on virtual time."""

    async def main():
        return await scenario(World())

    return run(main())


@contextmanager
def refused(reason, match=None):
    with pytest.raises(PlatformError, match=match) as caught:
        yield caught
    assert caught.value.reason is reason


class Overtaken(MemoryAccounts):
    """Somebody else changes the record just before each of the next `times` changes."""

    def __init__(self, times, *records):
        super().__init__(*records)
        self.times = times

    async def change(self, change):
        if self.times > 0:
            self.times -= 1
            self.overtake(change)
        await super().change(change)

    def overtake(self, change):
        for place, record in self.records.items():
            if place[0] is change.kind and place[2] == change.id:
                self.records[place] = msgspec.structs.replace(record, name=record.name + "+")
