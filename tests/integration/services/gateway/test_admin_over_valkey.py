"""The admin routes of two gateways over one real store: what is changed at one counts at the other, ledger included."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

import httpx
import pytest

from libs.clock import SystemClock
from libs.testing.loop import run_real
from libs.testing.valkey import ValkeyProcess
from libs.valkey import Valkey
from services.gateway.adapters.accounts.assembly import AccountOptions, account_parts
from services.gateway.adapters.ledger.spend import ValkeySpend
from services.gateway.adapters.ledger.store import LeaseTimes, ValkeyLedger
from services.gateway.api.accounts.desk import desk_over
from services.gateway.api.accounts.routes import add_account_routes
from services.gateway.api.litellm.routes import add_litellm_routes
from services.gateway.api.testing import ScriptedPipeline, public_face
from services.gateway.domain.accounts.records import Role
from services.gateway.domain.ledger.types import Ask, Progress, Settlement, UsageMeta
from services.gateway.domain.turns import Principal
from services.gateway.usecases.accounts import KeySpec, TenantSpec

INSTALL = Principal("acme", "install", role=Role.ADMIN)
# What the issue promises of revocation, on a machine that does other things too.
EVERYWHERE_SECONDS = 1.0


@pytest.fixture(scope="module")
def server():
    with ValkeyProcess() as process:
        yield process


@asynccontextmanager
async def gateway(server, tmp_path):
    """A gateway's accounts, its admin routes on a port, and what follows changes made by others."""
    async with AsyncExitStack() as stack:
        clock, valkey = SystemClock(), Valkey(server.settings(op_timeout_ms=2000))
        stack.push_async_callback(valkey.close)
        parts = account_parts(valkey, clock, AccountOptions(tmp_path / "keys.json", b"p"))
        await parts.follower.look()
        following = asyncio.get_running_loop().create_task(parts.follower.run())
        stack.callback(following.cancel)
        desk = desk_over(parts.accounts, ValkeySpend(valkey), clock)
        door = parts.authenticator
        extend = [partial(add, desk=desk, door=door) for add in (add_account_routes, add_litellm_routes)]
        face = await stack.enter_async_context(public_face(ScriptedPipeline(), authenticator=door, extend=extend))
        client = await stack.enter_async_context(httpx.AsyncClient(base_url=face.base))
        yield parts, client, valkey


def bearer(text):
    return {"authorization": f"Bearer {text}"}


async def admin_key(parts, tenant):
    await parts.accounts.tenants.create(tenant, TenantSpec(), INSTALL)
    return (await parts.accounts.keys.create(tenant, KeySpec(role=Role.ADMIN), INSTALL))[1]


async def until(condition, seconds):
    deadline = asyncio.get_running_loop().time() + seconds
    while not await condition():
        assert asyncio.get_running_loop().time() < deadline, f"not within {seconds} s"
        await asyncio.sleep(0.02)


def test_what_one_gateway_changes_counts_at_the_other_within_a_second(server, tmp_path):
    async def scenario():
        async with gateway(server, tmp_path) as (one, client, _), gateway(server, tmp_path) as (_, other, _):
            admin = bearer(await admin_key(one, "alpha"))
            made = (await client.post("/v1/admin/keys", json={"name": "x"}, headers=admin)).json()
            caller = bearer(made["secret"])

            async def status():
                return (await other.get("/v1/me", headers=caller)).status_code

            assert await status() == 200
            for act, wanted in (("block", 401), ("unblock", 200)):
                await client.post(f"/v1/admin/keys/{made['key']['id']}/{act}", headers=admin)
                await until(partial(_is, status, wanted), EVERYWHERE_SECONDS)
            fresh = (await client.post(f"/v1/admin/keys/{made['key']['id']}/rotate", headers=admin)).json()
            await until(partial(_is, status, 401), EVERYWHERE_SECONDS)
            caller = bearer(fresh["secret"])
            assert await status() == 200
            await client.delete(f"/v1/admin/keys/{made['key']['id']}", headers=admin)
            await until(partial(_is, status, 401), EVERYWHERE_SECONDS)

    run_real(scenario())


async def _is(status, wanted):
    return await status() == wanted


def test_budgets_stand_where_the_ledger_has_them(server, tmp_path):
    async def scenario():
        async with gateway(server, tmp_path) as (one, client, valkey):
            admin = bearer(await admin_key(one, "beta"))
            await client.post("/v1/admin/users", json={"id": "ada"}, headers=admin)
            made = (await client.post("/v1/admin/keys", json={"user": "ada"}, headers=admin)).json()["key"]
            budget = {"user": "ada", "duration": "30d", "limit_usd": "0.00001", "soft_usd": "0.000009"}
            assert (await client.put("/v1/admin/budgets", json=budget, headers=admin)).status_code == 200
            ledger = ValkeyLedger(valkey, LeaseTimes())
            life = await ledger.hello()
            scopes = ("t", "u:ada", f"k:{made['id']}")
            meta = UsageMeta(made["id"], "ada", "customer", "small", "", "", {"feature": "search"}, 1000, 500, 2000)
            await ledger.hold(life, Ask("beta", "r1", scopes, 4000, 10, meta, Progress()), expire=False)
            held = (await client.get("/v1/admin/budgets", params={"user": "ada"}, headers=admin)).json()
            state = held["state"]["budgets"][0]
            assert (state["settled_usd"], state["held_usd"], state["remaining_usd"]) == ("0", "0.000004", "0.000006")
            assert held["state"]["running"] == 1
            await ledger.settle([Settlement("beta", "r1", progress=Progress(1500, 7, 0, 3))])
            after = (await client.get("/v1/admin/budgets", params={"user": "ada"}, headers=admin)).json()
            state = after["state"]["budgets"][0]
            assert (state["settled_usd"], state["held_usd"], state["soft_usd"]) == ("0.0000015", "0", "0.000009")
            assert state["resets_at"] > SystemClock().unix()
            for by, value in (
                ("user", "ada"),
                ("key", made["id"]),
                ("tag", "feature=search"),
                ("end_user", "customer"),
            ):
                spend = (await client.get("/v1/admin/spend", params={"by": by}, headers=admin)).json()
                assert [(row["value"], row["cost_usd"]) for row in spend["data"]] == [(value, "0.0000015")]
            row = (await client.get("/key/info", params={"key": made["id"]}, headers=admin)).json()["info"]
            assert (row["spend"], row["user_id"]) == (1.5e-6, "ada")
            cleared = await client.delete("/v1/admin/budgets", params={"user": "ada", "duration": "30d"}, headers=admin)
            assert cleared.json()["budgets"] == []

    run_real(scenario())


def test_a_store_that_is_gone_is_503_with_a_time(server, tmp_path):
    async def scenario():
        with ValkeyProcess() as own:
            async with gateway(own, tmp_path) as (one, client, _):
                admin = bearer(await admin_key(one, "gamma"))
                assert (await client.get("/v1/admin/keys", headers=admin)).status_code == 200
                own.kill()
                reply = await client.get("/v1/admin/keys", headers=admin)
                assert (reply.status_code, reply.json()["error"]["code"]) == (503, "store_unavailable")
                assert reply.headers["retry-after"]

    run_real(scenario())
