"""Accounts behind the real routes, in memory: two tenants with people and keys of every role."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache, cached_property, partial

import httpx

from libs.telemetry.metrics import Registry
from libs.testing.clock import FakeClock
from services.gateway.adapters.accounts.memory import MemoryAccounts
from services.gateway.api.accounts.desk import desk_over
from services.gateway.api.accounts.routes import add_account_routes
from services.gateway.api.admin import admin_app
from services.gateway.api.litellm.routes import add_litellm_routes
from services.gateway.api.testing import ScriptedPipeline
from services.gateway.domain.accounts.records import Role
from services.gateway.domain.accounts.spend import BudgetState, ScopeSpend
from services.gateway.domain.turns import Principal
from services.gateway.usecases.accounts import KeySecrets, KeySpec, LimitsSpec, TenantSpec, UserSpec, accounts_over
from services.gateway.usecases.accounts.authenticator import KeyAuthenticator

PEPPER = b"pepper"
STARTED = 1_700_000_000.0
INSTALL = Principal("acme", "install", role=Role.ADMIN)


class CountingBytes:
    """Bytes that differ each time and are the same in each run."""

    def __init__(self):
        self.made = 0

    def __call__(self, count):
        self.made += 1
        return self.made.to_bytes(count, "big")


@dataclass
class MemorySpend:
    """ports.Spend with what tests put in: `rows` by (tenant, dimension), `settled` by (tenant, scope)."""

    accounts: MemoryAccounts
    rows: dict = field(default_factory=dict)
    settled: dict = field(default_factory=dict)

    async def of_scopes(self, tenant, scopes):
        return [self._scope(tenant, scope) for scope in scopes]

    async def by(self, tenant, dimension, first_day, last_day):
        return [row for row in self.rows.get((tenant, dimension), ()) if first_day <= row.day <= last_day]

    def _scope(self, tenant, scope):
        spent = self.settled.get((tenant, scope), 0)
        wanted = {"t": tenant, "u": scope[2:], "k": scope[2:]}[scope[0]]
        records = (record for place, record in self.accounts.records.items() if place[1:] == (tenant, wanted))
        record = next(records, None)
        budgets = tuple(
            BudgetState(
                duration=budget.duration,
                limit_nanodollars=budget.limit_nanodollars,
                settled_nanodollars=spent,
                held_nanodollars=0,
                resets_at=None if budget.duration == "total" else budget.anchor_at + 86_400,
            )
            for budget in (record.limits.budgets if record else ())
        )
        return ScopeSpend(scope=scope, settled_nanodollars=spent, held_nanodollars=0, running=0, budgets=budgets)


@dataclass
class Door:
    """The real authenticator without its memory: each call is looked up, so no test waits for news to arrive."""

    store: MemoryAccounts
    clock: FakeClock

    def known(self, presented):
        return None

    async def authenticate(self, presented):
        return await KeyAuthenticator(self.store, self.clock, PEPPER).authenticate(presented)


@cache
def _shared():
    return World()


class World:
    """`keys[name]` is a key's text, `ids[name]` its id. Names: see `populate`."""

    def __init__(self):
        self.clock = FakeClock()
        self.store = MemoryAccounts()
        self.spend = MemorySpend(self.store)
        secrets = KeySecrets(PEPPER, CountingBytes())
        self.accounts = accounts_over(self.store, self.store, self.store, self.clock, secrets)
        self.desk = desk_over(self.accounts, self.spend, self.clock)
        self.door = Door(self.store, self.clock)
        self.keys, self.ids = {}, {}

    @property
    def extend(self):
        """What `admin_app` takes to have the routes."""
        return [
            partial(add_account_routes, desk=self.desk, door=self.door),
            partial(add_litellm_routes, desk=self.desk, door=self.door),
        ]

    @classmethod
    async def shared(cls):
        """One populated world for all tests, put back as it was: making the application takes a while."""
        world = _shared()
        if not world.ids:
            await world.populate()
            world.saved = dict(world.store.records), len(world.store.changes), dict(world.keys), dict(world.ids)
        records, changes, keys, ids = world.saved
        world.store.records, world.keys, world.ids = dict(records), dict(keys), dict(ids)
        del world.store.changes[changes:]
        world.spend.rows, world.spend.settled = {}, {}
        world.clock.advance(STARTED - world.clock.unix())
        return world

    @cached_property
    def app(self):
        """The application; it stays the same for the life of this world."""
        return admin_app(ScriptedPipeline(), self.door, Registry(), created=1, version="0", extend=self.extend)

    async def populate(self):
        """Tenants acme and other; in each a tenant admin, a member (with two keys), another member, a service."""
        for tenant in ("acme", "other"):
            await self.accounts.tenants.create(tenant, TenantSpec(name=tenant.title()), INSTALL)
            for user, role in (("boss", Role.TENANT_ADMIN), ("ada", Role.MEMBER), ("bob", Role.MEMBER)):
                await self.accounts.users.create(tenant, user, UserSpec(role=role), INSTALL)
            for name, user, role in (
                ("boss", "boss", Role.TENANT_ADMIN),
                ("ada", "ada", Role.MEMBER),
                ("ada2", "ada", Role.SERVICE),
                ("bob", "bob", Role.MEMBER),
                ("service", "", Role.SERVICE),
            ):
                await self.make_key(f"{tenant}.{name}", tenant, user, role)
        await self.make_key("admin", "acme", "", Role.ADMIN)
        return self

    async def make_key(self, name, tenant, user="", role=Role.SERVICE, **limits):
        spec = KeySpec(name=name, role=role, limits=LimitsSpec(**limits))
        key, self.keys[name] = await self.accounts.keys.create(tenant, spec, INSTALL, user=user)
        self.ids[name] = key.id
        return key

    @asynccontextmanager
    async def client(self, name=None):
        """An HTTP client on the application, with that key."""
        headers = {"authorization": f"Bearer {self.keys[name]}"} if name else {}
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway", headers=headers) as client:
            yield client

    async def call(self, name, method, path, body=None, **more):
        async with self.client(name) as client:
            return await client.request(method, path, json=body, **more)
