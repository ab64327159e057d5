"""Every route and every RPC with every caller on every object, against a table that was written by hand.

Routes come from the application's own OpenAPI and RPCs from the protos: one without an entry fails.
"""

from __future__ import annotations

import json
from functools import cache

import grpc
import httpx
import pytest
from headrace.gateway.v1 import accounts_pb2, chat_pb2
from headrace.jobs.v1 import jobs_pb2

from libs.errors import PlatformError
from libs.telemetry.metrics import Registry
from libs.testing.inmem import InMemoryChannel
from libs.testing.loop import run, run_real
from services.gateway.api.testing import ScriptedPipeline, public_face
from services.gateway.composition.face import Ports, compose
from services.gateway.domain.accounts.records import Key, Price, Role
from services.gateway.settings import GatewaySettings
from services.gateway.usecases.accounts import KeySpec, TenantSpec, UserSpec
from tests.unit.services.gateway.api.accounts.expectations import CALLERS, OPEN, REST, RPCS
from tests.unit.services.gateway.api.accounts.requests_of import CHAT, Object, rest_request, rpc_request
from tests.unit.services.gateway.api.accounts.world import INSTALL, World
from tests.unit.services.gateway.usecases.records.world import Records, writing

KEYS = {"service": "acme.service", "member": "acme.ada", "tenant_admin": "acme.boss", "admin": "admin"}
SIBLINGS = {"member": "acme.ada2", "tenant_admin": "acme.boss2"}
USERS = {"member": "ada", "tenant_admin": "boss"}
STRANGERS = ("nobody", "unknown", "deleted", "blocked", "expired", "of a blocked user", "of a blocked tenant")
CHAT_ROUTE = "POST /v1/chat/completions"
JOBS = ("/v1/jobs", "/v1/files", "/v1/batches")
_STATUS = {200: "A", 201: "A", 403: "D", 404: "H", 409: "C", 401: "refused"}
_CODES = {
    grpc.StatusCode.PERMISSION_DENIED: "D",
    grpc.StatusCode.NOT_FOUND: "H",
    grpc.StatusCode.ABORTED: "C",
    grpc.StatusCode.UNAUTHENTICATED: "refused",
}


class Matrix:
    """The gateway as it is composed, over a world that is put back before each request."""

    def __init__(self):
        self.world = World()
        settings = GatewaySettings()
        self.records = Records(clock=self.world.clock)
        ports = Ports(
            ScriptedPipeline(), self.world.door, Registry(), self.world.clock, self.world.desk,
            records=self.records.reader,
        )  # fmt: skip
        self.gateway = compose(settings, ports)
        self.app = self.gateway.rest.other
        self.world.app = self.app
        self.services = (accounts_pb2.DESCRIPTOR.services_by_name, chat_pb2.DESCRIPTOR.services_by_name)

    async def populate(self):
        world = self.world
        await world.populate()
        await world.accounts.users.create("acme", "root", UserSpec(role=Role.ADMIN), INSTALL)
        await world.make_key("acme.boss2", "acme", "boss", Role.SERVICE)
        await world.make_key("root", "acme", "root", Role.ADMIN)
        await world.accounts.users.create("other", "cleo", UserSpec(), INSTALL)
        price = Price(model="small", input_nanodollars=1, cached_nanodollars=1, output_nanodollars=1)
        await world.accounts.prices.set(price, INSTALL)
        await self._make_strangers()
        await self._record_requests()
        self._records, self._changes = dict(world.store.records), len(world.store.changes)
        return self

    async def _record_requests(self):
        """A request of every key, with the key's id as its own."""
        for key in [record for record in self.world.store.records.values() if isinstance(record, Key)]:
            self.records.put(key.id, tenant=key.tenant, key=key.id, user=key.user)
        async with writing(self.records):
            pass

    async def _make_strangers(self):
        world = self.world
        world.keys |= {"nobody": None, "unknown": "sk-hr-" + "f" * 48}
        for name, tenant, user in (
            ("deleted", "acme", ""),
            ("blocked", "acme", ""),
            ("of a blocked user", "acme", "gone"),
            ("of a blocked tenant", "gone", ""),
        ):
            if tenant == "gone":
                await world.accounts.tenants.create("gone", TenantSpec(), INSTALL)
            if user:
                await world.accounts.users.create("acme", user, UserSpec(role=Role.ADMIN), INSTALL)
            await world.make_key(name, tenant, user, Role.ADMIN)
        spec = KeySpec(role=Role.ADMIN, expires_at=world.clock.unix() + 1)
        key, world.keys["expired"] = await world.accounts.keys.create("acme", spec, INSTALL)
        world.ids["expired"] = key.id
        world.clock.advance(2)
        await world.accounts.keys.delete("acme", world.ids["deleted"], INSTALL)
        await world.accounts.keys.block("acme", world.ids["blocked"], INSTALL)
        await world.accounts.users.block("acme", "gone", INSTALL)
        await world.accounts.tenants.block("gone", INSTALL)

    def reset(self):
        self.world.store.records = dict(self._records)
        del self.world.store.changes[self._changes :]

    def object(self, route, caller, name):
        """The object of that name, as a route or an RPC of its kind takes it."""
        if name == "none":
            return Object()
        if name in {"tenant", "foreign tenant"}:
            return Object(tenant="acme" if name == "tenant" else "other")
        kind = kind_of(route)
        tenant = "other" if name == "foreign" else "acme"
        if kind == "key":
            keys = {"own": KEYS.get(caller), "sibling": SIBLINGS.get(caller)}
            key = {**keys, "peer": "acme.bob", "above": "root", "foreign": "other.ada"}[name]
            return Object(tenant, key=self.world.ids[key])
        if kind == "user":
            users = {"own": USERS.get(caller), "peer": "bob", "above": "root", "foreign": "cleo"}
            return Object(tenant, users[name])
        return Object(tenant)


def kind_of(route):
    """What a route's objects are: keys, users (also where a key is made for one), or tenants."""
    if any(part in route for part in ("CreateKey", "POST /v1/admin/keys", "/key/generate", "/user/info", "/users/{")):
        return "user" if "/admin/keys/" not in route else "key"
    if route.endswith(("GetUser", "UpdateUser", "BlockUser", "UnblockUser", "DeleteUser")):
        return "user"
    if "{request_id}" in route:
        return "key"
    if route.endswith("ListKeys") or route in {"GET /v1/admin/keys", "GET /key/list"}:
        return "tenant"
    return "key" if "key" in route.lower() or "budget" in route.lower() else "tenant"


@cache
def matrix():
    return run(Matrix().populate())


def cases(table):
    return [
        (route, name, caller, wanted)
        for route, row in table.items()
        if row is not OPEN
        for name, outcomes in row.items()
        for caller, wanted in zip(CALLERS, outcomes, strict=True)
        if wanted != "-"
    ]


def routes_of(app):
    """But those of jobs, which are no part of the application and are tried beside their code, in `api/jobs`."""
    paths = {path: m for path, m in app.openapi()["paths"].items() if not path.startswith(JOBS)}
    return {f"{method.upper()} {path}" for path, methods in paths.items() for method in methods}


def rpcs_of(services):
    return {f"{name}/{rpc}" for group in services for name in group for rpc in group[name].methods_by_name}


def test_every_route_and_rpc_has_an_entry():
    assert routes_of(matrix().app) == set(REST)
    assert rpcs_of(matrix().services) == set(RPCS)
    served = {handler.method.path for handler in matrix().gateway.handlers}
    jobs = {f"/headrace.jobs.v1.{rpc}" for rpc in rpcs_of([jobs_pb2.DESCRIPTOR.services_by_name])}
    assert served - jobs == {f"/headrace.gateway.v1.{rpc}" for rpc in RPCS}


async def _rest(caller, route, at):
    world = matrix().world
    method, path, query, body = rest_request(route, at)
    async with world.client(caller if world.keys[caller] else None) as client:
        return await client.request(method, path, params=query, json=body)


async def _chat(text):
    """The hot route is no part of the application, so it is asked on its socket."""
    headers = {"authorization": f"Bearer {text}"} if text else {}
    face, client = (
        public_face(ScriptedPipeline(), authenticator=matrix().world.door),
        httpx.AsyncClient(headers=headers),
    )
    async with face as opened, client:
        return await client.post(f"{opened.base}/v1/chat/completions", json=CHAT)


def outcome(caller, route, at):
    matrix().reset()
    chat = route == CHAT_ROUTE
    reply = run_real(_chat(matrix().world.keys[caller])) if chat else run(_rest(caller, route, at))
    return _STATUS.get(reply.status_code, reply.status_code), reply


@pytest.mark.parametrize("route", [route for route in REST if REST[route] is not OPEN])
def test_routes_do_what_the_table_says(route):
    deviations = []
    for _, name, caller, wanted in cases({route: REST[route]}):
        found, reply = outcome(KEYS[caller], route, matrix().object(route, caller, name))
        if found != wanted:
            deviations.append((name, caller, f"wanted {wanted}, got {found}: {reply.text[:200]}"))
        if reply.status_code < 400:
            assert not others_in(reply.text, caller), (route, name, caller)
    assert not deviations


@pytest.mark.parametrize("route", REST)
def test_routes_are_closed_to_strangers(route):
    wanted = "A" if REST[route] is OPEN else "refused"
    at = matrix().object(route, "admin", "peer" if kind_of(route) != "tenant" else "own")
    found = {stranger: outcome(stranger, route, at)[0] for stranger in STRANGERS}
    assert found == dict.fromkeys(STRANGERS, wanted)


def others_in(text, caller):
    """Ids in an answer that the caller may know nothing of."""
    world = matrix().world
    foreign = [name for name in world.ids if name.startswith("other.")]
    mates = ["acme.bob", "root", "acme.boss", *([] if caller == "member" else ["acme.ada", "acme.ada2"])]
    hidden = {"admin": [], "tenant_admin": foreign}.get(caller, [*foreign, *mates])
    return [name for name in hidden if world.ids[name] in text]


async def _rpc(text, name, at):
    channel = InMemoryChannel(matrix().gateway.handlers, clock=matrix().world.clock)
    method = next(handler.method for handler in matrix().gateway.handlers if handler.method.path.endswith(f".{name}"))
    metadata = {"authorization": f"Bearer {text}"} if text else {}
    try:
        if method.streaming:
            stream = channel.stream(method, rpc_request(name, at), timeout=5.0, metadata=metadata)
            answers = [answer async for answer in stream]
        else:
            answers = [await channel.call(method, rpc_request(name, at), timeout=5.0, metadata=metadata)]
    except PlatformError as problem:
        return _CODES.get(problem.status, str(problem)), ""
    return "A", "".join(map(str, answers))


def called(caller, name, at):
    matrix().reset()
    return run(_rpc(matrix().world.keys[caller], name, at))


@pytest.mark.parametrize("name", RPCS)
def test_rpcs_do_what_the_table_says(name):
    deviations = []
    for _, thing, caller, wanted in cases({name: RPCS[name]}):
        found, text = called(KEYS[caller], name, matrix().object(name, caller, thing))
        if found != wanted:
            deviations.append((thing, caller, f"wanted {wanted}, got {found}"))
        assert not others_in(text, caller), (name, thing, caller)
    assert not deviations


@pytest.mark.parametrize("name", RPCS)
def test_rpcs_are_closed_to_strangers(name):
    at = matrix().object(name, "admin", "peer" if kind_of(name) != "tenant" else "own")
    found = {stranger: called(stranger, name, at)[0] for stranger in STRANGERS}
    assert found == dict.fromkeys(STRANGERS, "refused")


def test_the_table_is_as_large_as_it_says():
    """So that a change which empties the table, or the objects, does not pass for a matrix without deviations."""
    assert len(cases(REST)) > 400
    assert len(cases(RPCS)) > 250
    assert json.dumps(sorted(REST)).count("/v1/admin/") >= 30
