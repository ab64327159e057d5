"""AccountService: what REST does, in protos. Who may is the matrix's to test."""

from __future__ import annotations

import grpc
import pytest
from headrace.gateway.v1 import accounts_pb2 as pb

from libs.clock import SystemClock
from libs.errors import PlatformError, Reason
from libs.rpc.server import RpcServer
from libs.rpc.settings import RpcServerSettings
from libs.telemetry.metrics import Registry
from libs.testing.inmem import InMemoryChannel
from libs.testing.loop import run, run_real
from services.gateway.api.grpc_accounts import SERVICE, GrpcAccounts
from services.gateway.domain.accounts.spend import Dimension, SpendRow
from services.gateway.metrics import RestMetrics
from tests.unit.services.gateway.api.accounts.world import World


def served(world):
    return GrpcAccounts(world.desk, world.door, world.clock, RestMetrics(Registry())).handlers()


def scripted(script, name="admin"):
    async def main():
        world = await World.shared()
        handlers = served(world)
        channel = InMemoryChannel(handlers, clock=world.clock)
        methods = {handler.method.name: handler.method for handler in handlers}

        async def call(rpc, key=None, **fields):
            metadata = {"authorization": f"Bearer {key or world.keys[name]}"}
            request = methods[rpc].request(**fields)
            return await channel.call(methods[rpc], request, timeout=5.0, metadata=metadata)

        return await script(world, call)

    return run(main())


async def refused(call, reason, param=None):
    with pytest.raises(PlatformError) as caught:
        await call
    assert (caught.value.reason, caught.value.param) == (reason, param)


def test_a_tenant_from_beginning_to_end():
    async def script(_, call):
        limits = pb.Limits(
            tokens_per_minute=500,
            budgets=pb.Budgets(budgets=[pb.Budget(duration="30d", limit_nanodollars=7, soft_nanodollars=5)]),
            models=pb.Models(models=["small"]),
        )
        policy = pb.RecordPolicy(enabled=True, retention_days=7)
        made = (await call("CreateTenant", id="lab", name="Lab", limits=limits, records=policy, priority=3)).tenant
        assert (made.id, made.name, made.priority) == ("lab", "Lab", 3)
        assert (made.limits.tokens_per_minute, made.limits.HasField("requests_per_minute")) == (500, False)
        assert list(made.limits.models.models) == ["small"]
        budget = made.limits.budgets.budgets[0]
        assert (budget.duration, budget.limit_nanodollars, budget.soft_nanodollars) == ("30d", 7, 5)
        assert (made.records.enabled, made.records.store_prompts, made.records.retention_days) == (True, False, 7)

        cleared = pb.Limits(cleared=["tokens_per_minute"], requests_per_minute=9, models=pb.Models())
        found = (await call("UpdateTenant", id="lab", limits=cleared, metadata=pb.Tags(tags={"a": "b"}))).tenant
        assert not found.limits.HasField("tokens_per_minute")
        assert (found.limits.requests_per_minute, list(found.limits.models.models)) == (9, [])
        assert (found.name, dict(found.metadata), len(found.limits.budgets.budgets)) == ("Lab", {"a": "b"}, 1)

        assert (await call("BlockTenant", id="lab")).tenant.blocked
        assert not (await call("UnblockTenant", id="lab")).tenant.blocked
        await call("DeleteTenant", id="lab")
        await refused(call("GetTenant", id="lab"), Reason.NOT_FOUND)

    scripted(script)


def test_a_key_from_beginning_to_end():
    async def script(world, call):
        made = await call("CreateKey", user="ada", name="ci", role=pb.ROLE_MEMBER, metadata={"team": "core"})
        assert (made.key.user, made.key.role, made.key.tenant) == ("ada", pb.ROLE_MEMBER, "acme")
        assert made.secret[-4:] == made.key.hint
        me = await call("WhoAmI", key=made.secret)
        assert (me.key, me.user, me.role, me.all_models) == (made.key.id, "ada", pb.ROLE_MEMBER, True)
        turned = await call("RotateKey", id=made.key.id, grace_seconds=60)
        assert turned.key.previous_until == world.clock.unix() + 60
        assert (await call("WhoAmI", key=made.secret)).key == (await call("WhoAmI", key=turned.secret)).key
        changed = await call("UpdateKey", id=made.key.id, name="cd", expires_at=world.clock.unix() + 5)
        assert (changed.key.name, changed.key.expires_at) == ("cd", world.clock.unix() + 5)
        assert not (await call("UpdateKey", id=made.key.id, never_expires=True)).key.HasField("expires_at")
        assert not changed.key.cached_answers
        for takes in (True, False):
            assert (await call("UpdateKey", id=made.key.id, cached_answers=takes)).key.cached_answers is takes
        assert (await call("BlockKey", id=made.key.id)).key.blocked
        await refused(call("WhoAmI", key=turned.secret), Reason.INVALID_API_KEY)
        assert not (await call("UnblockKey", id=made.key.id)).key.blocked
        await call("DeleteKey", id=made.key.id)
        await refused(call("GetKey", id=made.key.id), Reason.NOT_FOUND)

    scripted(script)


def test_budgets_prices_and_lists():
    async def script(world, call):
        owner = pb.BudgetOwner(user="ada")
        world.spend.settled["acme", "u:ada"] = 4
        found = await call("SetBudget", owner=owner, budget=pb.Budget(limit_nanodollars=10))
        assert [(budget.duration, budget.limit_nanodollars) for budget in found.budgets] == [("total", 10)]
        state = (await call("GetBudgets", owner=owner)).state
        assert (state.scope, state.budgets[0].settled_nanodollars) == ("u:ada", 4)
        assert not (await call("ClearBudget", owner=owner)).budgets
        await call("SetPrice", price=pb.Price(model="org/m", input_nanodollars=1, output_nanodollars=2))
        assert [price.model for price in (await call("ListPrices")).prices] == ["org/m"]
        await call("DeletePrice", model="org/m")
        first = await call("ListKeys", limit=2)
        second = await call("ListKeys", limit=1000, after=first.next)
        assert len(first.keys) == 2
        assert len({key.id for key in [*first.keys, *second.keys]}) == 6
        assert not second.next
        entries = (await call("ListAuditEntries", tenant="_platform")).entries
        assert [(entry.kind, bool(entry.before_json), bool(entry.after_json)) for entry in entries] == [
            ("price", True, False),
            ("price", False, True),
        ]

    scripted(script)


def test_usage_and_spend():
    async def script(world, call):
        rows = [
            SpendRow(
                day=f"2023-11-1{n}",
                value="small",
                requests=1,
                prompt_tokens=2,
                cached_tokens=1,
                completion_tokens=3,
                cost_nanodollars=n,
                platform_nanodollars=1,
            )
            for n in (3, 4)
        ]
        world.spend.rows["acme", Dimension.MODEL] = rows
        usage = (await call("GetUsage")).rows
        assert [(row.day, row.cost_nanodollars) for row in usage] == [("2023-11-13", 3), ("2023-11-14", 4)]
        spend = await call("GetSpend", by=pb.DIMENSION_MODEL, first_day="2023-11-13", last_day="2023-11-13")
        assert [(row.value, row.cost_nanodollars, row.platform_nanodollars) for row in spend.rows] == [("small", 3, 1)]
        assert spend.cost_nanodollars == 3
        await refused(call("GetUsage", first_day="x"), Reason.INVALID_REQUEST, "first_day")

    scripted(script)


@pytest.mark.parametrize(
    ("rpc", "fields", "param"),
    [
        ("CreateKey", {"role": 77}, "role"),
        ("GetUsage", {"by": 77}, "by"),
        ("UpdateTenant", {"id": "acme", "limits": pb.Limits(cleared=["models"])}, "limits.cleared"),
        (
            "UpdateTenant",
            {"id": "acme", "limits": pb.Limits(tokens_per_minute=1, cleared=["tokens_per_minute"])},
            "limits.cleared",
        ),
        ("SetBudget", {"budget": pb.Budget(limit_nanodollars=-1)}, "budget"),
        ("SetBudget", {"budget": pb.Budget(limit_nanodollars=2**62)}, "budget"),
        ("ListKeys", {"limit": 5000}, "limit"),
        ("CreateKey", {"expires_at": float("nan")}, "expires_at"),
        ("RotateKey", {"id": "{}", "grace_seconds": -1}, "key"),
    ],
)
def test_what_cannot_be_is_refused(rpc, fields, param):
    async def script(_, call):
        await refused(call(rpc, **fields), Reason.INVALID_REQUEST, param)

    scripted(script)


def test_it_is_served_on_a_real_port_with_a_key_in_the_metadata():
    async def scenario():
        world = await World().populate()
        settings = RpcServerSettings(deadline_default_seconds=60.0)
        server = RpcServer("gateway", served(world), settings, clock=SystemClock())
        port = await server.start()
        try:
            async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
                path = f"/{SERVICE.full_name}/WhoAmI"
                call = channel.unary_unary(path, pb.WhoAmIRequest.SerializeToString, pb.WhoAmIResponse.FromString)
                metadata = (("authorization", f"Bearer {world.keys['acme.ada']}"),)
                answer = await call(pb.WhoAmIRequest(), metadata=metadata)
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await call(pb.WhoAmIRequest())
                return answer, caught.value
        finally:
            await server.stop()

    answer, error = run_real(scenario())
    assert (answer.tenant, answer.user) == ("acme", "ada")
    assert error.code() is grpc.StatusCode.UNAUTHENTICATED
