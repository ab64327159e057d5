"""`/v1/admin` as its callers see it: what comes back, what is refused, and how that is said."""

from __future__ import annotations

import pytest

from libs.errors import PlatformError, Reason
from libs.testing.loop import run
from services.gateway.domain.accounts.records import Budget, Key
from services.gateway.domain.accounts.spend import Dimension, SpendRow
from services.gateway.usecases.accounts import KeySpec, LimitsSpec, Owner, TenantSpec, UserSpec
from tests.unit.services.gateway.api.accounts.world import INSTALL, World


def scripted(script, name="admin"):
    async def main():
        world = await World.shared()
        async with world.client(name) as client:
            return await script(world, client)

    return run(main())


def asked(name, method, path, body=None, prepare=None):
    async def main():
        world = await World.shared()
        if prepare:
            await prepare(world)
        return await world.call(name, method, path.format(**world.ids), body)

    return run(main())


def error_of(reply):
    return reply.json()["error"]


def test_a_keys_text_is_shown_once():
    async def script(world, client):
        made = (await client.post("/v1/admin/keys", json={"name": "ci", "metadata": {"feature": "ci"}})).json()
        secret, key = made["secret"], made["key"]
        assert key["hint"] == secret[-4:]
        shown = [
            await client.get(path) for path in (f"/v1/admin/keys/{key['id']}", "/v1/admin/keys", "/v1/admin/audit")
        ]
        assert all(secret not in reply.text and "hmac" not in reply.text for reply in shown)
        async with world.client() as other:
            me = await other.get("/v1/me", headers={"authorization": f"Bearer {secret}"})
        assert (me.status_code, me.json()["key"]) == (200, key["id"])

    scripted(script)


def test_rotation_has_a_grace_and_then_ends():
    async def script(world, client):
        key, old = world.ids["acme.ada"], world.keys["acme.ada"]
        path = f"/v1/admin/keys/{key}/rotate"
        made = (await client.post(path, json={"grace_seconds": 60})).json()
        assert made["key"]["previous_until"] == world.clock.unix() + 60
        for text, later, status in ((made["secret"], 0, 200), (old, 0, 200), (old, 61, 401), (made["secret"], 0, 200)):
            world.clock.advance(later)
            async with world.client() as other:
                reply = await other.get("/v1/me", headers={"authorization": f"Bearer {text}"})
            assert reply.status_code == status

    scripted(script)


def test_amounts_are_exact_decimals_both_ways():
    async def script(_, client):
        body = {"name": "x", "limits": {"budgets": [{"limit_usd": "0.000000001", "duration": "30d"}]}}
        made = (await client.post("/v1/admin/keys", json=body)).json()["key"]
        assert made["limits"]["budgets"][0]["limit_usd"] == "0.000000001"
        for given, wanted in ((0.1, "0.1"), (3, "3"), ("12.50", "12.5")):
            budget = {"key": made["id"], "duration": "30d", "limit_usd": given}
            found = (await client.put("/v1/admin/budgets", json=budget)).json()
            assert [each["limit_usd"] for each in found["budgets"]] == [wanted]

    scripted(script)


@pytest.mark.parametrize(
    "amount", ["-1", -0.5, "1e3", "0.0000000001", "99999999999", 1e300, True, [], {}, "sk-hr-abcdefabcdef", "NaN", None]
)
def test_what_is_no_amount_is_refused_and_not_repeated(amount):
    reply = asked("admin", "PUT", "/v1/admin/budgets", {"limit_usd": amount})
    assert reply.status_code == 422
    assert error_of(reply)["param"] == "limit_usd"
    assert "sk-hr-abc" not in reply.text


def test_budgets_say_what_is_left():
    async def prepare(world):
        world.spend.settled["acme", "u:ada"] = 4_500_000_000
        limits = LimitsSpec(budgets=())
        await world.accounts.users.update("acme", "ada", UserSpec(limits=limits), INSTALL)

    async def script(world, client):
        await prepare(world)
        budget = {"user": "ada", "duration": "1h", "limit_usd": "10", "soft_usd": "8"}
        found = (await client.put("/v1/admin/budgets", json=budget)).json()
        state = found["state"]["budgets"][0]
        assert (found["tenant"], found["user"], found["key"]) == ("acme", "ada", None)
        assert (state["settled_usd"], state["remaining_usd"], state["soft_usd"]) == ("4.5", "5.5", "8")
        assert state["resets_at"] > world.clock.unix()
        cleared = await client.delete("/v1/admin/budgets", params={"user": "ada", "duration": "1h"})
        assert cleared.json()["budgets"] == []
        again = await client.delete("/v1/admin/budgets", params={"user": "ada", "duration": "1h"})
        assert (again.status_code, again.json()) == (200, cleared.json())
        wrong = await client.delete("/v1/admin/budgets", params={"user": "ada", "duration": "1mo"})
        assert (wrong.status_code, error_of(wrong)["param"]) == (400, "duration")

    scripted(script)


def test_me_says_what_bounds_the_caller_and_no_more():
    me = asked("acme.ada", "GET", "/v1/me").json()
    assert (me["tenant"], me["user"], me["role"], me["models"]) == ("acme", "ada", "member", None)
    assert {scope.split(":")[0] for scope in me["limits"]} == {"u", "k"}
    boss = asked("acme.boss", "GET", "/v1/me").json()
    assert {scope["scope"].split(":")[0] for scope in boss["spend"]} == {"t", "u", "k"}
    service = asked("acme.service", "GET", "/v1/me").json()
    assert (service["user"], len(service["limits"])) == (None, 1)


def row(day, value, cost):
    return SpendRow(
        day=day, value=value, requests=2, prompt_tokens=10, cached_tokens=4, completion_tokens=3, cost_nanodollars=cost
    )


async def spent(world):
    ada, bob = world.ids["acme.ada"], world.ids["acme.bob"]
    world.spend.rows = {
        ("acme", Dimension.KEY): [row("2023-11-13", ada, 10), row("2023-11-14", ada, 5), row("2023-11-14", bob, 40)],
        ("acme", Dimension.USER): [row("2023-11-13", "ada", 10), row("2023-11-14", "bob", 40)],
        ("acme", Dimension.TAG): [row("2023-11-14", "feature=search", 7)],
        ("acme", Dimension.TENANT): [row("2023-11-14", "acme", 55)],
        ("other", Dimension.TENANT): [row("2023-11-14", "other", 9)],
        ("other", Dimension.KEY): [row("2023-11-14", world.ids["other.ada"], 9)],
    }


def test_usage_has_days_and_spend_has_sums():
    usage = asked("acme.boss", "GET", "/v1/admin/usage?by=key", prepare=spent).json()
    assert [(r["day"], r["cost_usd"]) for r in usage["data"]][:2] == [
        ("2023-11-13", "0.00000001"),
        ("2023-11-14", "0.000000005"),
    ]
    assert (usage["first_day"], usage["last_day"], usage["cost_usd"]) == ("2023-10-16", "2023-11-14", "0.000000055")
    spend = asked("acme.boss", "GET", "/v1/admin/spend?by=key", prepare=spent).json()
    assert [(r["day"], r["cost_usd"], r["requests"]) for r in spend["data"]] == [
        (None, "0.00000004", 2),
        (None, "0.000000015", 4),
    ]
    tags = asked("admin", "GET", "/v1/admin/spend?by=tag", prepare=spent).json()
    assert tags["data"][0]["value"] == "feature=search"


def test_admins_sum_over_all_tenants_and_others_over_what_is_theirs():
    everybody = asked("admin", "GET", "/v1/admin/spend?by=tenant", prepare=spent).json()
    assert [row["value"] for row in everybody["data"]] == ["acme", "other"]
    own = asked("acme.boss", "GET", "/v1/admin/spend?by=tenant", prepare=spent).json()
    assert [row["value"] for row in own["data"]] == ["acme"]
    ada = asked("acme.ada", "GET", "/v1/admin/usage?by=key", prepare=spent).json()
    assert [row["cost_usd"] for row in ada["data"]] == ["0.00000001", "0.000000005"]
    users = asked("acme.ada", "GET", "/v1/admin/usage?by=user", prepare=spent).json()
    assert [row["value"] for row in users["data"]] == ["ada"]
    assert asked("acme.service", "GET", "/v1/admin/usage?by=key", prepare=spent).json()["data"] == []
    for by in ("model", "tag", "tenant", "session", "end_user"):
        assert asked("acme.ada", "GET", f"/v1/admin/usage?by={by}", prepare=spent).status_code == 403


@pytest.mark.parametrize(
    "query",
    ["first_day=yesterday", "first_day=2023-11-14&last_day=2023-11-13", "first_day=2020-01-01", "last_day=20231114"],
)
def test_days_that_are_none_are_refused(query):
    assert asked("admin", "GET", f"/v1/admin/usage?{query}").status_code == 400


def test_lists_go_page_by_page():
    async def script(world, client):
        seen, after = [], ""
        while True:
            page = (await client.get("/v1/admin/keys", params={"limit": 2, "after": after})).json()
            seen += [key["id"] for key in page["data"]]
            assert page["has_more"] is (page["next"] is not None)
            if not page["has_more"]:
                break
            after = page["next"]
        own = sorted(key for name, key in world.ids.items() if name.startswith("acme.") or name == "admin")
        assert seen == own
        entries = (await client.get("/v1/admin/audit", params={"limit": 3})).json()
        older = (await client.get("/v1/admin/audit", params={"limit": 3, "after": entries["next"]})).json()
        assert not {e["id"] for e in entries["data"]} & {e["id"] for e in older["data"]}

    scripted(script)


@pytest.mark.parametrize("limit", [0, -1, 1001])
def test_pages_are_bounded(limit):
    reply = asked("admin", "GET", f"/v1/admin/keys?limit={limit}")
    assert (reply.status_code, error_of(reply)["param"]) == (400, "limit")


def test_changes_are_audited_with_who_what_before_and_after():
    async def script(world, client):
        await client.patch("/v1/admin/users/ada", json={"name": "Ada L."})
        entry = (await client.get("/v1/admin/audit", params={"limit": 1})).json()["data"][0]
        assert (entry["actor"], entry["kind"], entry["record"]) == (world.ids["admin"], "user", "ada")
        assert (entry["before"].get("name", ""), entry["after"]["name"]) == ("", "Ada L.")

    scripted(script)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/admin/keys", {"name": "x", "hmac": "00"}),
        ("/v1/admin/keys", {"name": "x", "blocked": False}),
        ("/v1/admin/keys", {"name": "x", "limits": {"requests_per_minute": 1, "priority": 9}}),
        ("/v1/admin/keys", {"name": "x", "created_at": 0}),
        ("/v1/admin/users", {"id": "eve", "blocked": False}),
        ("/v1/admin/tenants", {"id": "x", "tenant": "acme"}),
        ("/v1/admin/keys", {"name": "x", "limits": {"requests_per_minute": "5"}}),
        ("/v1/admin/keys", {"name": "x", "limits": {"requests_per_minute": True}}),
        ("/v1/admin/keys", {"name": 5}),
        ("/v1/admin/keys", {"role": "root"}),
        ("/v1/admin/keys", {"metadata": {"a": 1}}),
    ],
)
def test_fields_that_are_not_offered_are_refused(path, body):
    assert asked("admin", "POST", path, body).status_code == 422


async def bounded(world):
    """ada's key: 10 requests a minute, 5 dollars in all, the model small, and an end."""
    spec = KeySpec(limits=LimitsSpec(requests_per_minute=10, models=("small",)), expires_at=world.clock.unix() + 1000)
    await world.accounts.keys.update("acme", world.ids["acme.ada"], spec, INSTALL)
    owner = Owner(Key, "acme", world.ids["acme.ada"])
    await world.accounts.budgets.set(owner, Budget(limit_nanodollars=5_000_000_000), INSTALL)


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"role": "admin"}, "role"),
        ({"role": "tenant_admin"}, "role"),
        ({"limits": {"requests_per_minute": 11}}, "requests_per_minute"),
        ({"limits": {"budgets": [{"limit_usd": "5.000000001"}]}}, "budgets"),
        ({"limits": {"models": ["small", "big"]}}, "models"),
        ({"expires_at": 1_700_001_001}, "expires_at"),
    ],
)
def test_a_member_makes_no_key_that_may_more_than_its_own(body, param):
    reply = asked("acme.ada", "POST", "/v1/admin/keys", body, prepare=bounded)
    assert (reply.status_code, error_of(reply)["code"], error_of(reply)["param"]) == (403, "permission_denied", param)


def test_a_member_inherits_what_it_does_not_say():
    made = asked("acme.ada", "POST", "/v1/admin/keys", {"name": "x"}, prepare=bounded).json()["key"]
    assert (made["user"], made["role"], made["limits"]["models"]) == ("ada", "service", ["small"])
    assert made["limits"]["requests_per_minute"] == 10
    assert made["limits"]["budgets"][0]["limit_usd"] == "5"
    assert made["expires_at"] == 1_700_001_000


async def tenant_bounded(world):
    await world.accounts.tenants.update("acme", TenantSpec(limits=LimitsSpec(tokens_per_minute=100)), INSTALL)


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/v1/admin/users", {"id": "eve", "limits": {"tokens_per_minute": 101}}, 403),
        ("POST", "/v1/admin/users", {"id": "eve", "limits": {"tokens_per_minute": 100}}, 201),
        ("POST", "/v1/admin/users", {"id": "eve", "role": "admin"}, 403),
        ("PATCH", "/v1/admin/users/ada", {"role": "admin"}, 403),
        ("PATCH", "/v1/admin/users/ada", {"role": "tenant_admin"}, 200),
        ("PATCH", "/v1/admin/keys/{acme.ada}", {"limits": {"tokens_per_minute": 101}}, 403),
        ("PATCH", "/v1/admin/keys/{acme.ada}", {"role": "admin"}, 403),
        ("POST", "/v1/admin/keys/{admin}/rotate", {}, 403),
        ("PATCH", "/v1/admin/tenants/acme", {"limits": {"tokens_per_minute": None}}, 403),
    ],
)
def test_a_tenant_admin_stays_below_its_tenant(method, path, body, status):
    ids = {"{acme.ada}": "acme.ada", "{admin}": "admin"}

    async def main():
        world = await World.shared()
        await tenant_bounded(world)
        place = path
        for mark, name in ids.items():
            place = place.replace(mark, world.ids[name])
        return await world.call("acme.boss", method, place, body)

    reply = run(main())
    assert reply.status_code == status, reply.text


@pytest.mark.parametrize("tenant", ["a{b}", "a:b", "a\nb", "x" * 65, "a b", "ä", "\0"])
def test_ids_that_could_be_more_than_ids_are_refused(tenant):
    made = asked("admin", "POST", "/v1/admin/tenants", {"id": tenant})
    assert made.status_code == 400
    found = asked("admin", "POST", "/v1/admin/users", {"id": "eve", "tenant": tenant})
    assert found.status_code == 400


def test_a_store_that_is_away_is_503_and_says_so():
    async def main():
        world = await World().populate()
        key = await world.door.authenticate(world.keys["admin"])
        world.store.unavailable = PlatformError(Reason.STORE_UNAVAILABLE, "The store does not answer.", 1.0)

        class Open:
            def known(self, presented):
                return key

        world.door = Open()
        async with world.client("admin") as client:
            return await client.get("/v1/admin/keys")

    reply = run(main())
    assert (reply.status_code, error_of(reply)["code"], reply.headers["retry-after"]) == (503, "store_unavailable", "1")


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/v1/admin/tenants/acme/block", None),
        ("DELETE", "/v1/admin/tenants/acme", None),
        ("POST", "/team/update", {"team_id": "acme", "blocked": True}),
    ],
)
def test_an_admin_does_not_stop_its_own_tenant(method, path, body):
    """All admin keys of an installation may be of one tenant: nobody could unblock it, and no new key would help."""

    async def script(_, client):
        refused = await client.request(method, path, json=body)
        assert (refused.status_code, (await client.get("/v1/me")).status_code) == (409, 200)
        elsewhere = await client.request(
            method, path.replace("acme", "other"), json=body and body | {"team_id": "other"}
        )
        assert elsewhere.status_code < 300

    scripted(script)


def test_everything_is_described_with_its_key_and_its_errors():
    document = asked("admin", "GET", "/openapi.json").json()
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            if path.startswith(("/v1/admin", "/v1/me", "/key", "/team", "/user", "/spend", "/global")):
                assert operation["security"] == [{"bearer": []}], (method, path)
                assert {"401", "403", "404"} <= set(operation["responses"])
                assert operation["description"]
    assert document["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"
    ids = [op["operationId"] for methods in document["paths"].values() for op in methods.values()]
    assert len(ids) == len(set(ids))


def test_a_body_that_is_not_called_json_is_told_which_header_it_lacks():
    async def script(_, client):
        headers = {"content-type": "application/x-www-form-urlencoded"}
        reply = await client.post("/v1/admin/keys", content='{"name": "x"}', headers=headers)
        assert reply.status_code == 422
        assert "Content-Type: application/json" in reply.json()["error"]["message"]

    scripted(script)
