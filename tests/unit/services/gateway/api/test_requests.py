"""Who may read which record, one by one and as a list, over the real routes."""

from __future__ import annotations

import asyncio
import json
from functools import partial

import httpx
import pytest

from libs.errors import PlatformError, Reason
from libs.telemetry.metrics import Registry
from libs.testing.loop import run
from services.gateway.api.accounts.desk.reports import Days
from services.gateway.api.admin import admin_app
from services.gateway.api.litellm.request_log import RecordLog
from services.gateway.api.requests import add_request_routes
from services.gateway.api.testing import ScriptedPipeline
from services.gateway.domain.accounts.records import Role
from services.gateway.domain.turns import Principal
from tests.unit.services.gateway.usecases.records.world import NOW, Records, writing

CALLERS = {
    "service": Principal("acme", "k1", role=Role.SERVICE),
    "service of ada": Principal("acme", "k2", account_user="ada", role=Role.SERVICE),
    "ada": Principal("acme", "k9", account_user="ada", role=Role.MEMBER),
    "bob": Principal("acme", "k8", account_user="bob", role=Role.MEMBER),
    "member without user": Principal("acme", "k1", role=Role.MEMBER),
    "boss": Principal("acme", "k7", account_user="boss", role=Role.TENANT_ADMIN),
    "other boss": Principal("other", "k1", role=Role.TENANT_ADMIN),
    "admin": Principal("acme", "k6", role=Role.ADMIN),
}
# Records of acme: of a key without user, and of three keys of ada; one of the other tenant, of a key with k1's name.
SEEN = {
    "service": {"r1"},
    "service of ada": {"r2"},
    "ada": {"r2", "r3", "r9"},
    "bob": set(),
    "member without user": {"r1"},
    "boss": {"r1", "r2", "r3", "r9"},
    "other boss": {"foreign"},
    "admin": {"r1", "r2", "r3", "r9"},
}


class Door:
    """A key is the name of its principal."""

    def known(self, presented):
        return CALLERS.get(presented)

    async def authenticate(self, presented):
        raise AssertionError(presented)


class Face:
    def __init__(self, records):
        add = partial(add_request_routes, reader=records.reader, door=Door(), clock=records.clock)
        app = admin_app(ScriptedPipeline(), Door(), Registry(), created=1, version="0", extend=[add])
        self.app, self.records = app, records

    async def get(self, path, caller="admin", **query):
        transport = httpx.ASGITransport(app=self.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
            return await client.get(path, params=query, headers={"authorization": f"Bearer {caller}"})

    async def lines(self, caller="admin", **query):
        reply = await self.get("/v1/requests", caller, **query)
        assert reply.status_code == 200, reply.text
        assert reply.headers["content-type"].startswith("application/x-ndjson")
        return [json.loads(line) for line in reply.text.splitlines()]


def face(work):
    """What `work(face)` gives, over a gateway with some records."""

    async def scenario():
        records = Records()
        async with writing(records):
            records.put("r1", key="k1", prompt="Mail john@example.com", answer="Done.")
            for key, name in (("k2", "r2"), ("k3", "r3"), ("k9", "r9")):
                records.put(name, key=key, user="ada")
            records.put("foreign", tenant="other", key="k1")
            await asyncio.sleep(3)
        return await work(Face(records))

    return run(scenario())


@pytest.mark.parametrize("caller", CALLERS)
def test_each_caller_sees_its_own_alone(caller):
    async def work(here):
        one_by_one = {name for name in ("r1", "r2", "r3", "r9", "foreign")
                      if (await here.get(f"/v1/requests/{name}", caller)).status_code == 200}  # fmt: skip
        return one_by_one, {line["id"] for line in await here.lines(caller)}

    assert face(work) == (SEEN[caller], SEEN[caller])


def test_what_is_anothers_looks_like_what_is_not_there():
    async def work(here):
        replies = [await here.get(f"/v1/requests/{name}", "bob") for name in ("r2", "nothing")]
        tenants = [
            await here.get("/v1/requests/foreign", caller, tenant="other") for caller in ("boss", "ada", "service")
        ]
        lists = [await here.get("/v1/requests", caller, tenant="other") for caller in ("boss", "ada", "service")]
        filters = [
            await here.get("/v1/requests", "ada", user="bob"),
            await here.get("/v1/requests", "service", key="k2"),
        ]
        return replies, [reply.status_code for reply in [*tenants, *lists, *filters]]

    (theirs, nothing), statuses = face(work)
    assert (theirs.status_code, nothing.status_code) == (404, 404)
    assert theirs.text.replace("r2", "X") == nothing.text.replace("nothing", "X")
    assert statuses == [404] * 8


def test_an_administrator_names_the_tenant():
    async def work(here):
        one = await here.get("/v1/requests/foreign", tenant="other")
        return one.json()["tenant"], [line["id"] for line in await here.lines(tenant="other")]

    assert face(work) == ("other", ["foreign"])


def test_a_record_explains_its_request():
    async def work(here):
        return (await here.get("/v1/requests/r1", "service")).json()

    shown = face(work)
    assert shown["object"] == "request"
    (attempt,) = shown["attempts"]
    assert (attempt["worker"], attempt["outcome"], attempt["first_token_ms"]) == ("w", "answered", None)
    assert shown["route"] is None
    assert shown["tokens"] == {"prompt": 5, "cached": 0, "completion": 3, "reasoning": 0, "reprefill": 0}
    assert (shown["cost_usd"], shown["created"], shown["error"]) == ("0.0000025", int(NOW), None)
    assert shown["tags"] == {"team": "red", "feature": "x"}
    assert shown["prompt"] == [{"role": "user", "text": "Mail [EMAIL]"}]
    assert shown["answers"] == [{"content": "Done."}]


def test_a_list_has_texts_on_request_and_can_be_narrowed():
    async def work(here):
        return (
            await here.lines("boss", key="k1"),
            await here.lines("boss", key="k1", text="true"),
            {line["id"] for line in await here.lines("boss", user="ada")},
            await here.lines("boss", to=str(NOW - 1)),
            await here.lines("boss", **{"from": "2023-11-14T00:00:00Z", "to": "2023-11-14T22:13:19+00:00"}),
        )

    (plain,), (texts,), of_ada, before, early = face(work)
    assert "prompt" not in plain
    assert texts["prompt"] == [{"role": "user", "text": "Mail [EMAIL]"}]
    assert of_ada == {"r2", "r3", "r9"}
    assert before == early == []


def test_pages_go_on_behind_the_cursor():
    async def work(here):
        found, after = [], {}
        while True:
            *lines, last = await here.lines("boss", limit=3, **after)
            found += lines
            if last["object"] != "cursor":
                return [line["id"] for line in [*found, last]]
            after = {"after": last["after"]}

    assert sorted(face(work)) == ["r1", "r2", "r3", "r9"]


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({"after": "x"}, 400),
        ({"from": "yesterday"}, 400),
        ({"to": "1e400"}, 400),
        ({"to": "9" * 30}, 400),
        ({"from": "-5"}, 400),
        ({"limit": "0"}, 422),
        ({"limit": "100001"}, 422),
    ],
)
def test_what_is_no_query_is_refused_by_name(query, status):
    async def work(here):
        return await here.get("/v1/requests", "boss", **query)

    reply = face(work)
    assert reply.status_code == status
    assert reply.json()["error"]["param"] == next(iter(query))


def test_a_dead_store_is_503_and_a_list_that_breaks_says_so_at_its_end():
    async def work(here):
        here.records.index.down = True
        dead = [await here.get("/v1/requests/r1", "boss"), await here.get("/v1/requests", "boss")]
        here.records.index.down = False
        gets, real = [], here.records.blobs.get

        async def once(name, *part):
            gets.append(name)
            here.records.blobs.down = len(gets) > 1
            return await real(name, *part)

        here.records.blobs.get = once
        async with writing(here.records):
            here.records.put("later", key="k1")
            await asyncio.sleep(3)
        return [reply.status_code for reply in dead], await here.lines("boss", key="k1")

    statuses, lines = face(work)
    assert statuses == [503, 503]
    assert [line.get("id") for line in lines] == ["r1", None]
    assert lines[-1]["error"]["code"] == "store_unavailable"


def test_litellms_log_has_the_newest_first_and_no_others():
    async def work(here):
        log = RecordLog(here.records.reader, here.records.clock)
        days, before = Days("2023-11-14", "2023-11-14"), Days("2023-11-12", "2023-11-13")

        async def rows(caller, key="", user="", days=None, tenant=""):
            found = await log.newest(CALLERS[caller], tenant, key=key, user=user, days=days, limit=9)
            return [row.request_id for row in found]

        assert await rows("admin", tenant="other", key="k1") == ["foreign"]
        with pytest.raises(PlatformError):
            await rows("boss", tenant="other", key="k1")

        with pytest.raises(PlatformError) as theirs:
            await rows("ada", user="bob")
        return (
            sorted(await rows("boss")), await rows("boss", key="k3", days=days), await rows("boss", days=before),
            await rows("service"), await log.find(CALLERS["service"], "r2"), await log.find(CALLERS["ada"], "r2"),
            theirs.value.reason,
        )  # fmt: skip

    every, one, none, own, hidden, found, theirs = face(work)
    assert (every, one, none, own) == (["r1", "r2", "r3", "r9"], ["r3"], [], ["r1"])
    assert (hidden, theirs) == (None, Reason.NOT_FOUND)
    assert (found.request_id, found.key, found.cost_nanodollars, found.started_at) == ("r2", "k2", 2_500, NOW)
