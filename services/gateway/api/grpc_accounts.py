"""`headrace.gateway.v1.AccountService` on the public gRPC port: the same desk as REST, so the same rules."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from google.protobuf import message_factory
from headrace.gateway.v1 import accounts_pb2 as pb

from libs.clock import Clock
from libs.errors import PlatformError
from libs.rpc.api import CallInfo, Handler
from libs.rpc.method import method
from services.gateway.api.accounts.desk import Desk
from services.gateway.api.accounts.desk.reports import Days, summed
from services.gateway.api.ports import Authenticator, admitted
from services.gateway.domain.accounts.access import Target
from services.gateway.domain.accounts.records import TOTAL
from services.gateway.domain.accounts.spend import SpendRow
from services.gateway.domain.turns import Principal
from services.gateway.metrics import RestMetrics
from services.gateway.wire import grpc_accounts as wire
from services.gateway.wire.key_texts import scrub

SERVICE = pb.DESCRIPTOR.services_by_name["AccountService"]
ROUTE = "grpc_accounts"
_LIMIT_DEFAULT = 100

Serve = Callable[[Principal, Any], Awaitable[Any]]


class GrpcAccounts:
    """Serves every method of the service; each is named as its RPC, in lower case."""

    def __init__(self, desk: Desk, door: Authenticator, clock: Clock, metrics: RestMetrics) -> None:
        self._desk, self._door, self._clock, self._metrics = desk, door, clock, metrics

    def handlers(self) -> Sequence[Handler]:
        """What an RpcServer serves. Raises AttributeError when the proto has a method that is not here."""
        return [self._handler(name) for name in SERVICE.methods_by_name]

    def _handler(self, name: str) -> Handler:
        found = SERVICE.methods_by_name[name]
        request, response = (message_factory.GetMessageClass(kind) for kind in (found.input_type, found.output_type))
        serve: Serve = getattr(self, name.lower())

        async def served(asked: Any, info: CallInfo) -> Any:
            return await self._serve(serve, asked, info)

        return Handler(method(SERVICE, name, request, response), served)

    async def _serve(self, serve: Serve, asked: Any, info: CallInfo) -> Any:
        began, status = self._clock.monotonic(), 499
        try:
            answer = await serve(await admitted(self._door, info.metadata.get("authorization", "")), asked)
            status = 200
        except PlatformError as problem:
            status = problem.http_status
            # Errors name ids, and a client may send a key's text in the place of its id.
            problem.message = scrub(problem.message)
            raise
        else:
            return answer
        finally:
            self._metrics.request(ROUTE, status, self._clock.monotonic() - began)

    async def whoami(self, actor: Principal, _: pb.WhoAmIRequest) -> pb.WhoAmIResponse:
        """Whose key this is."""
        found = await self._desk.reports.me(actor)
        return pb.WhoAmIResponse(
            tenant=actor.tenant,
            key=actor.key_id,
            user=actor.account_user,
            role=wire.role_number(actor.role),
            models=sorted(actor.models or ()),
            all_models=actor.models is None,
            spend=[wire.scope_message(spend) for spend in found.spend],
        )

    async def createtenant(self, actor: Principal, asked: pb.CreateTenantRequest) -> pb.CreateTenantResponse:
        """See TenantDesk; so for all methods, each for its kind."""
        made = await self._desk.tenants.create(actor, asked.id, wire.tenant_spec(asked))
        return pb.CreateTenantResponse(tenant=wire.tenant_message(made))

    async def gettenant(self, actor: Principal, asked: pb.GetTenantRequest) -> pb.GetTenantResponse:
        """One tenant."""
        return pb.GetTenantResponse(tenant=wire.tenant_message(await self._desk.tenants.get(actor, asked.id)))

    async def listtenants(self, actor: Principal, asked: pb.ListTenantsRequest) -> pb.ListTenantsResponse:
        """Tenants."""
        page = await self._desk.tenants.list(actor, after=asked.after, limit=asked.limit or _LIMIT_DEFAULT)
        return pb.ListTenantsResponse(tenants=[wire.tenant_message(tenant) for tenant in page.items], next=page.next)

    async def updatetenant(self, actor: Principal, asked: pb.UpdateTenantRequest) -> pb.UpdateTenantResponse:
        """Changes what is said."""
        found = await self._desk.tenants.update(actor, asked.id, wire.tenant_spec(asked))
        return pb.UpdateTenantResponse(tenant=wire.tenant_message(found))

    async def blocktenant(self, actor: Principal, asked: pb.BlockTenantRequest) -> pb.BlockTenantResponse:
        """Blocks."""
        return pb.BlockTenantResponse(tenant=wire.tenant_message(await self._desk.tenants.block(actor, asked.id)))

    async def unblocktenant(self, actor: Principal, asked: pb.UnblockTenantRequest) -> pb.UnblockTenantResponse:
        """Unblocks."""
        return pb.UnblockTenantResponse(tenant=wire.tenant_message(await self._desk.tenants.unblock(actor, asked.id)))

    async def deletetenant(self, actor: Principal, asked: pb.DeleteTenantRequest) -> pb.DeleteTenantResponse:
        """Deletes."""
        await self._desk.tenants.delete(actor, asked.id)
        return pb.DeleteTenantResponse()

    async def createuser(self, actor: Principal, asked: pb.CreateUserRequest) -> pb.CreateUserResponse:
        """Makes a user."""
        made = await self._desk.users.create(actor, asked.tenant, asked.id, wire.user_spec(asked))
        return pb.CreateUserResponse(user=wire.user_message(made))

    async def getuser(self, actor: Principal, asked: pb.GetUserRequest) -> pb.GetUserResponse:
        """One user."""
        return pb.GetUserResponse(user=wire.user_message(await self._desk.users.get(actor, asked.tenant, asked.id)))

    async def listusers(self, actor: Principal, asked: pb.ListUsersRequest) -> pb.ListUsersResponse:
        """Users of a tenant."""
        limit = asked.limit or _LIMIT_DEFAULT
        page = await self._desk.users.list(actor, asked.tenant, after=asked.after, limit=limit)
        return pb.ListUsersResponse(users=[wire.user_message(user) for user in page.items], next=page.next)

    async def updateuser(self, actor: Principal, asked: pb.UpdateUserRequest) -> pb.UpdateUserResponse:
        """Changes what is said."""
        found = await self._desk.users.update(actor, asked.tenant, asked.id, wire.user_spec(asked))
        return pb.UpdateUserResponse(user=wire.user_message(found))

    async def blockuser(self, actor: Principal, asked: pb.BlockUserRequest) -> pb.BlockUserResponse:
        """Blocks."""
        return pb.BlockUserResponse(user=wire.user_message(await self._desk.users.block(actor, asked.tenant, asked.id)))

    async def unblockuser(self, actor: Principal, asked: pb.UnblockUserRequest) -> pb.UnblockUserResponse:
        """Unblocks."""
        found = await self._desk.users.unblock(actor, asked.tenant, asked.id)
        return pb.UnblockUserResponse(user=wire.user_message(found))

    async def deleteuser(self, actor: Principal, asked: pb.DeleteUserRequest) -> pb.DeleteUserResponse:
        """Deletes."""
        await self._desk.users.delete(actor, asked.tenant, asked.id)
        return pb.DeleteUserResponse()

    async def createkey(self, actor: Principal, asked: pb.CreateKeyRequest) -> pb.CreateKeyResponse:
        """Makes a key, whose text is in this answer and nowhere else."""
        key, secret = await self._desk.keys.create(actor, asked.tenant, asked.user, wire.key_spec(asked))
        return pb.CreateKeyResponse(key=wire.key_message(key), secret=secret)

    async def getkey(self, actor: Principal, asked: pb.GetKeyRequest) -> pb.GetKeyResponse:
        """One key."""
        return pb.GetKeyResponse(key=wire.key_message(await self._desk.keys.get(actor, asked.tenant, asked.id)))

    async def listkeys(self, actor: Principal, asked: pb.ListKeysRequest) -> pb.ListKeysResponse:
        """Keys of a tenant or a user."""
        limit = asked.limit or _LIMIT_DEFAULT
        page = await self._desk.keys.list(actor, asked.tenant, user=asked.user, after=asked.after, limit=limit)
        return pb.ListKeysResponse(keys=[wire.key_message(key) for key in page.items], next=page.next)

    async def updatekey(self, actor: Principal, asked: pb.UpdateKeyRequest) -> pb.UpdateKeyResponse:
        """Changes what is said."""
        found = await self._desk.keys.update(actor, asked.tenant, asked.id, wire.key_spec(asked))
        return pb.UpdateKeyResponse(key=wire.key_message(found))

    async def rotatekey(self, actor: Principal, asked: pb.RotateKeyRequest) -> pb.RotateKeyResponse:
        """Gives the key another text."""
        keys = self._desk.keys
        key, secret = await keys.rotate(actor, asked.tenant, asked.id, grace_seconds=asked.grace_seconds)
        return pb.RotateKeyResponse(key=wire.key_message(key), secret=secret)

    async def blockkey(self, actor: Principal, asked: pb.BlockKeyRequest) -> pb.BlockKeyResponse:
        """Blocks."""
        return pb.BlockKeyResponse(key=wire.key_message(await self._desk.keys.block(actor, asked.tenant, asked.id)))

    async def unblockkey(self, actor: Principal, asked: pb.UnblockKeyRequest) -> pb.UnblockKeyResponse:
        """Unblocks."""
        return pb.UnblockKeyResponse(key=wire.key_message(await self._desk.keys.unblock(actor, asked.tenant, asked.id)))

    async def deletekey(self, actor: Principal, asked: pb.DeleteKeyRequest) -> pb.DeleteKeyResponse:
        """Revokes for good."""
        await self._desk.keys.delete(actor, asked.tenant, asked.id)
        return pb.DeleteKeyResponse()

    async def getbudgets(self, actor: Principal, asked: pb.GetBudgetsRequest) -> pb.GetBudgetsResponse:
        """Budgets, and where they stand."""
        view = await self._desk.budgets.get(actor, _target(asked.owner))
        state = wire.scope_message(view.state) if view.state else None
        return pb.GetBudgetsResponse(budgets=[wire.budget_message(budget) for budget in view.budgets], state=state)

    async def setbudget(self, actor: Principal, asked: pb.SetBudgetRequest) -> pb.SetBudgetResponse:
        """Sets the budget of one duration."""
        view = await self._desk.budgets.set(actor, _target(asked.owner), wire.budget_of(asked.budget))
        return pb.SetBudgetResponse(budgets=[wire.budget_message(budget) for budget in view.budgets])

    async def clearbudget(self, actor: Principal, asked: pb.ClearBudgetRequest) -> pb.ClearBudgetResponse:
        """Takes it away."""
        view = await self._desk.budgets.clear(actor, _target(asked.owner), asked.duration or TOTAL)
        return pb.ClearBudgetResponse(budgets=[wire.budget_message(budget) for budget in view.budgets])

    async def listprices(self, actor: Principal, asked: pb.ListPricesRequest) -> pb.ListPricesResponse:
        """Stored prices."""
        page = await self._desk.prices.list(actor, after=asked.after, limit=asked.limit or _LIMIT_DEFAULT)
        return pb.ListPricesResponse(prices=[wire.price_message(price) for price in page.items], next=page.next)

    async def setprice(self, actor: Principal, asked: pb.SetPriceRequest) -> pb.SetPriceResponse:
        """Sets a price."""
        found = await self._desk.prices.set(actor, wire.price_of(asked.price))
        return pb.SetPriceResponse(price=wire.price_message(found))

    async def deleteprice(self, actor: Principal, asked: pb.DeletePriceRequest) -> pb.DeletePriceResponse:
        """Takes a price away."""
        await self._desk.prices.delete(actor, asked.model)
        return pb.DeletePriceResponse()

    async def getusage(self, actor: Principal, asked: pb.GetUsageRequest) -> pb.GetUsageResponse:
        """Sums per day and value."""
        return pb.GetUsageResponse(rows=[wire.row_message(row) for row in await self._rows(actor, asked)])

    async def getspend(self, actor: Principal, asked: pb.GetSpendRequest) -> pb.GetSpendResponse:
        """Sums per value."""
        rows = summed(await self._rows(actor, asked))
        cost = sum(row.cost_nanodollars for row in rows)
        return pb.GetSpendResponse(rows=[wire.row_message(row) for row in rows], cost_nanodollars=cost)

    async def listauditentries(
        self, actor: Principal, asked: pb.ListAuditEntriesRequest
    ) -> pb.ListAuditEntriesResponse:
        """Who changed what."""
        limit = asked.limit or _LIMIT_DEFAULT
        page = await self._desk.reports.audit(actor, asked.tenant, after=asked.after, limit=limit)
        entries = [wire.audit_message(entry) for entry in page.items]
        return pb.ListAuditEntriesResponse(entries=entries, next=page.next)

    async def _rows(self, actor: Principal, asked: pb.GetUsageRequest | pb.GetSpendRequest) -> list[SpendRow]:
        today = datetime.fromtimestamp(self._clock.unix(), UTC).date()
        days = Days.of(asked.first_day, asked.last_day, today)
        return await self._desk.reports.usage(actor, asked.tenant, wire.dimension_of(asked.by), days)


def _target(owner: pb.BudgetOwner) -> Target:
    return Target(owner.tenant, owner.user, owner.key)
