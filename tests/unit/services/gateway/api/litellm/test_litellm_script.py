"""Scripts as they are written for LiteLLM's proxy, run against the routes here: requests and shapes are LiteLLM's."""

from __future__ import annotations

import pytest

from libs.testing.loop import run
from services.gateway.domain.accounts.records import Role
from services.gateway.domain.accounts.spend import Dimension, SpendRow
from tests.unit.services.gateway.api.accounts.world import World


def scripted(script, name="admin"):
    async def main():
        world = await World.shared()
        async with world.client(name) as client:
            return await script(world, client)

    return run(main())


async def ok(request):
    reply = await request
    assert reply.status_code == 200, reply.text
    return reply.json()


async def refused(request, status, code=None):
    reply = await request
    assert reply.status_code == status, reply.text
    if code:
        assert reply.json()["error"]["code"] == code
    return reply.json()["error"]


TEAM = {
    "team_alias": "Search",
    "max_budget": 100,
    "budget_duration": "30d",
    "tpm_limit": 100_000,
    "rpm_limit": 1000,
    "models": ["small", "smollm2"],
    "metadata": {"cost_centre": "42", "nested": {"a": 1}},
    "members_with_roles": [{"role": "admin", "user_id": "lea"}],
}
KEY = {
    "key_alias": "crawler",
    "max_budget": 0.1,
    "budget_duration": "1w",
    "duration": "30d",
    "models": ["small"],
    "tpm_limit": 500,
    "rpm_limit": 5,
    "max_parallel_requests": 2,
    "metadata": {"feature": "crawl"},
    "tags": ["nightly"],
    "aliases": {},
    "config": {},
    "permissions": {},
    "some_future_field": 1,
}


def test_a_team_from_beginning_to_end():
    async def script(_, client):
        team = await ok(client.post("/team/new", json=TEAM))
        assert team["team_alias"] == "Search"
        assert (team["max_budget"], team["budget_duration"], team["spend"]) == (100.0, "30d", 0.0)
        assert team["members_with_roles"] == [{"user_id": "lea", "user_email": None, "role": "admin"}]
        assert team["metadata"] == {"cost_centre": "42", "nested": '{"a":1}'}
        named = {"team_id": team["team_id"]}
        await ok(client.post("/key/generate", json=KEY | named))
        info = await ok(client.get("/team/info", params=named))
        assert info["team_id"] == info["team_info"]["team_id"] == team["team_id"]
        assert [key["key_alias"] for key in info["keys"]] == ["crawler"]
        changed = await ok(client.post("/team/update", json={**named, "tpm_limit": 7}))
        assert changed["team_id"] == team["team_id"]
        assert (changed["data"]["tpm_limit"], changed["data"]["max_budget"]) == (7, 100.0)
        teams = await ok(client.get("/team/list"))
        assert [team["team_alias"] for team in teams] == ["Acme", "Other", "Search"]
        assert all({"keys", "team_memberships", "members_with_roles"} <= set(team) for team in teams)

    scripted(script)


def test_a_key_is_made_and_found_by_its_text_and_by_its_token():
    async def script(world, client):
        made = await ok(client.post("/key/generate", json=KEY))
        assert made["key"].startswith("sk-")
        assert made["token"] == made["token_id"]
        assert made["key_name"] == f"sk-...{made['key'][-4:]}"
        assert made["expires"] == "2023-12-14T22:13:20+00:00"
        assert made["team_id"] == "acme"
        assert (made["max_budget"], made["budget_duration"]) == (0.1, "7d")
        assert (made["tpm_limit"], made["rpm_limit"], made["max_parallel_requests"]) == (500, 5, 2)
        assert made["models"] == ["small"]
        assert made["metadata"] == {"feature": "crawl", "nightly": "true"}
        stored = await world.accounts.keys.get("acme", made["token"])
        assert stored.limits.budgets[0].limit_nanodollars == 100_000_000
        for selector in (made["key"], made["token"]):
            info = await ok(client.get("/key/info", params={"key": selector}))
            assert info["key"] == selector
            assert (info["info"]["key_alias"], info["info"]["status"]) == ("crawler", "active")
            assert "token" not in info["info"]

    scripted(script)


def test_a_key_is_changed_blocked_turned_and_deleted():
    async def script(world, client):
        made = await ok(client.post("/key/generate", json=KEY))
        updated = await ok(client.post("/key/update", json={"key": made["key"], "max_budget": 2.5, "rpm_limit": None}))
        assert updated["key"] == made["key"]
        assert (updated["max_budget"], updated["budget_duration"], updated["rpm_limit"]) == (2.5, "7d", None)
        assert (updated["tpm_limit"], updated["models"]) == (500, ["small"])
        assert (await ok(client.post("/key/block", json={"key": made["key"]})))["blocked"] is True
        assert (await ok(client.get("/key/info", params={"key": made["token"]})))["info"]["status"] == "revoked"
        assert (await ok(client.post("/key/unblock", json={"key": made["token"]})))["blocked"] is False

        fresh = await ok(client.post(f"/key/{made['key']}/regenerate", json={"max_budget": 3}))
        assert fresh["key"] != made["key"]
        assert (fresh["token"], fresh["max_budget"]) == (made["token"], 3.0)
        again = await ok(client.post("/key/regenerate", json={"key": fresh["key"], "grace_period": "1h"}))
        assert again["key"] not in {fresh["key"], made["key"]}
        assert (await world.accounts.keys.by_text(fresh["key"])).id == made["token"]

        gone = await ok(client.post("/key/delete", json={"keys": [again["key"]]}))
        assert gone == {"deleted_keys": [again["key"]]}
        await refused(client.get("/key/info", params={"key": made["token"]}), 404, "not_found")

    scripted(script)


def test_a_user_comes_with_a_key_of_its_role():
    async def script(world, client):
        made = await ok(
            client.post(
                "/user/new",
                json={
                    "user_email": "kim@acme.example",
                    "max_budget": 5,
                    "user_role": "internal_user",
                    "key_alias": "k",
                },
            )
        )
        assert made["key"].startswith("sk-")
        assert (made["user_email"], made["user_role"], made["max_budget"]) == ("kim@acme.example", "internal_user", 5.0)
        assert made["teams"] == ["acme"]
        key = await world.accounts.keys.by_text(made["key"])
        assert (key.user, key.role, key.name) == (made["user_id"], Role.MEMBER, "k")

        info = await ok(client.get("/user/info", params={"user_id": made["user_id"]}))
        assert info["user_id"] == info["user_info"]["user_id"] == made["user_id"]
        assert [row["token"] for row in info["keys"]] == [made["token"]]
        assert info["teams"] == [{"team_id": "acme"}]

        other = await ok(
            client.post(
                "/user/new",
                json={
                    "user_id": "zoe",
                    "teams": [{"team_id": "other", "user_role": "admin"}],
                    "auto_create_key": False,
                },
            )
        )
        assert (other["key"], other["user_role"], other["teams"]) == (None, "org_admin", ["other"])
        assert (await ok(client.get("/user/info", params={"user_id": "zoe"})))["user_info"]["team_id"] == "other"

    scripted(script)


def test_lists_are_numbered_pages():
    async def script(world, client):
        first = await ok(client.get("/key/list", params={"page": 1, "size": 4}))
        assert (first["total_count"], first["current_page"], first["total_pages"]) == (11, 1, 3)
        assert len(first["keys"]) == 4
        assert all(isinstance(key, str) for key in first["keys"])
        last = await ok(client.get("/key/list", params={"page": 3, "size": 4, "return_full_object": True}))
        assert len(last["keys"]) == 3
        assert all({"token", "key_alias", "team_id", "spend"} <= set(row) for row in last["keys"])
        of_ada = await ok(client.get("/key/list", params={"team_id": "acme", "user_id": "ada"}))
        assert set(of_ada["keys"]) == {world.ids["acme.ada"], world.ids["acme.ada2"]}
        named = await ok(client.get("/key/list", params={"key_alias": "other.bob"}))
        assert named["keys"] == [world.ids["other.bob"]]

    scripted(script)


def test_members_see_and_make_their_own():
    async def script(world, client):
        made = await ok(client.post("/key/generate", json={"key_alias": "mine"}))
        assert (made["user_id"], made["team_id"]) == ("ada", "acme")
        listed = await ok(client.get("/key/list"))
        assert set(listed["keys"]) == {world.ids["acme.ada"], world.ids["acme.ada2"], made["token"]}
        own = await ok(client.get("/key/info"))
        assert own["key"] == world.ids["acme.ada"]
        for text in (world.keys["acme.bob"], world.keys["other.ada"], world.keys["admin"]):
            error = await refused(client.get("/key/info", params={"key": text}), 404)
            assert text not in error["message"]
            assert "no key with that text" in error["message"]
        await refused(client.post("/key/update", json={"key": made["key"], "max_budget": 1}), 403, "permission_denied")
        await refused(client.post("/key/unblock", json={"key": made["key"]}), 403)
        await refused(client.post("/key/generate", json={"user_id": "bob"}), 404)
        await refused(client.post("/key/generate", json={"team_id": "other"}), 404)
        await refused(client.post("/team/new", json={}), 403)
        await refused(client.post("/user/new", json={"user_role": "proxy_admin"}), 403)

    scripted(script, "acme.ada")


# Without a key beside it, which would be refused for a reason of its own.
ROOT = {"user_role": "proxy_admin", "auto_create_key": False}


def test_a_teams_admin_makes_no_administrator_of_all():
    async def script(_, client):
        await refused(client.post("/user/new", json=ROOT), 403, "permission_denied")
        assert (await ok(client.post("/user/new", json={"user_role": "org_admin"})))["user_role"] == "org_admin"

    scripted(script, "acme.boss")


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("/key/generate", {"key": "sk-my-own-choice"}, "key"),
        ("/key/generate", {"model_max_budget": {"small": {"max_budget": 1}}}, "model_max_budget"),
        ("/key/generate", {"allowed_routes": ["/chat"]}, "allowed_routes"),
        ("/key/generate", {"tpd_limit": 5}, "tpd_limit"),
        ("/key/generate", {"soft_budget": 5}, "soft_budget"),
        ("/key/generate", {"max_budget": 5, "budget_duration": "1mo"}, "budget_duration"),
        (
            "/key/generate",
            {"max_budget": 1, "budget_limits": [{"budget_duration": "x", "max_budget": 1}]},
            "budget_limits",
        ),
        ("/key/update", {"key": "{acme.ada}", "spend": 1.5}, "spend"),
        ("/key/update", {"key": "{acme.ada}", "team_id": "other"}, "team_id"),
        ("/key/update", {"key": "{acme.ada}", "user_id": "bob"}, "user_id"),
        ("/key/regenerate", {"key": "{acme.ada}", "new_key": "sk-mine"}, "new_key"),
        ("/user/new", {"user_role": "proxy_admin_viewer"}, "user_role"),
        ("/user/new", {"teams": ["acme", "other"]}, "teams"),
        ("/team/new", {"team_member_budget": 1}, "team_member_budget"),
    ],
)
def test_what_would_be_a_lie_to_take_is_refused(path, body, param):
    async def script(world, client):
        sent = {name: world.ids.get(str(value)[1:-1], value) for name, value in body.items()}
        error = await refused(client.post(path, json=sent), 400)
        assert error["param"].split(".")[0] == param

    scripted(script)


def test_what_says_nothing_is_taken():
    async def script(_, client):
        body = {"model_max_budget": {}, "permissions": {}, "allowed_routes": [], "spend": 0, "guardrails": None}
        made = await ok(client.post("/key/generate", json={**body, "duration": None, "team_id": "", "user_id": None}))
        assert made["team_id"] == "acme"
        assert (await ok(client.post("/key/generate")))["key"]

    scripted(script)


@pytest.mark.parametrize("amount", [-1, 1e30, "12,5", True, 0.00000000001, "NaN"])
def test_amounts_that_are_none_are_refused_without_being_repeated(amount):
    async def script(_, client):
        await refused(client.post("/key/generate", json={"max_budget": amount}), 422)

    scripted(script)


def test_several_windows_beside_the_one_budget():
    async def script(world, client):
        windows = [{"budget_duration": "1h", "max_budget": 1}, {"budget_duration": "daily", "max_budget": 5}]
        made = await ok(
            client.post("/key/generate", json={"max_budget": 10, "soft_budget": 8, "budget_limits": windows})
        )
        assert (made["max_budget"], made["soft_budget"], made["budget_duration"]) == (10.0, 8.0, None)
        assert made["budget_limits"] == [
            {"budget_duration": "1h", "max_budget": 1.0},
            {"budget_duration": "24h", "max_budget": 5.0},
        ]
        lowered = await ok(client.post("/key/update", json={"key": made["token"], "max_budget": 4}))
        assert (lowered["max_budget"], lowered["soft_budget"], len(lowered["budget_limits"])) == (4.0, 4.0, 2)
        without = await ok(client.post("/key/update", json={"key": made["token"], "max_budget": None}))
        assert (without["max_budget"], without["soft_budget"]) == (1.0, None)

    scripted(script)


def test_nothing_is_deleted_where_one_of_them_is_not_to_be_found():
    async def script(world, client):
        ids = [world.ids["acme.ada2"], world.ids["other.bob"]]
        await refused(client.post("/key/delete", json={"keys": ids}), 404)
        assert await world.accounts.keys.get("acme", world.ids["acme.ada2"])
        await refused(client.post("/key/delete", json={}), 400)

    scripted(script, "acme.boss")


def row(day, value, cost, tokens=10):
    return SpendRow(
        day=day,
        value=value,
        requests=1,
        prompt_tokens=tokens,
        cached_tokens=0,
        completion_tokens=tokens,
        cost_nanodollars=cost,
    )


def spent(world):
    """ada 1.0 and bob 0.5 on the 13th, bob 0.1 on the 14th; somebody in the other tenant 1.0 on the 13th."""
    ada, bob = world.ids["acme.ada"], world.ids["acme.bob"]
    days = ("2023-11-13", "ada", 10**9), ("2023-11-13", "bob", 5 * 10**8), ("2023-11-14", "bob", 10**8)
    keys = {"ada": ada, "bob": bob}
    world.spend.rows = {
        ("acme", Dimension.KEY): [row(day, keys[user], cost) for day, user, cost in days],
        ("acme", Dimension.USER): [row(*each) for each in days],
        ("acme", Dimension.MODEL): [row("2023-11-13", "small", 15 * 10**8), row("2023-11-14", "big", 10**8)],
        ("acme", Dimension.END_USER): [row("2023-11-13", "customer-7", 3 * 10**8)],
        ("other", Dimension.KEY): [row("2023-11-13", world.ids["other.service"], 10**9)],
        ("other", Dimension.MODEL): [row("2023-11-13", "small", 10**9)],
    }


DAYS = {"start_date": "2023-11-13", "end_date": "2023-11-15"}


def test_spend_by_day():
    async def script(world, client):
        spent(world)
        ada, bob = world.ids["acme.ada"], world.ids["acme.bob"]
        days = await ok(client.get("/spend/logs", params=DAYS))
        assert days == [
            {
                "startTime": "2023-11-13",
                "spend": 2.5,
                "users": {"ada": 1.0, "bob": 0.5},
                "models": {"small": 2.5},
                ada: 1.0,
                bob: 0.5,
                world.ids["other.service"]: 1.0,
            },
            {"startTime": "2023-11-14", "spend": 0.1, "users": {"bob": 0.1}, "models": {"big": 0.1}, bob: 0.1},
            {"startTime": "2023-11-15", "spend": 0, "users": {}, "models": {}},
        ]
        of_key = await ok(client.get("/spend/logs", params={**DAYS, "api_key": world.keys["acme.ada"]}))
        assert [(day["startTime"], day["spend"]) for day in of_key][:1] == [("2023-11-13", 1.0)]
        of_user = await ok(client.get("/spend/logs", params={**DAYS, "user_id": "bob"}))
        assert [day["spend"] for day in of_user] == [0.5, 0.1, 0]

    scripted(script)


def test_members_see_their_own_spend_by_day():
    async def script(world, client):
        spent(world)
        days = await ok(client.get("/spend/logs", params=DAYS))
        first = {"startTime": "2023-11-13", "spend": 1.0, "users": {"ada": 1.0}, "models": {}}
        assert days[0] == {**first, world.ids["acme.ada"]: 1.0}
        await refused(client.get("/global/spend/report", params=DAYS), 403)

    scripted(script, "acme.ada")


def test_the_report_groups_by_team_customer_and_key():
    async def script(world, client):
        spent(world)
        teams = await ok(client.get("/global/spend/report", params=DAYS))
        assert [day["group_by_day"] for day in teams] == ["2023-11-13", "2023-11-14"]
        assert {team["team_name"]: team["total_spend"] for team in teams[0]["teams"]} == {"Acme": 1.5, "Other": 1.0}
        assert teams[0]["teams"][0]["metadata"] == [
            {"model": "small", "api_key": None, "spend": 1.5, "total_tokens": 20}
        ]
        customers = await ok(client.get("/global/spend/report", params={**DAYS, "group_by": "customer"}))
        assert customers[0]["customers"] == [{"customer": "customer-7", "total_spend": 0.3, "metadata": []}]
        keys = await ok(client.get("/global/spend/report", params={**DAYS, "group_by": "api_key"}))
        assert [(key["api_key"], key["total_cost"]) for key in keys] == [
            (world.ids["acme.ada"], 1.0),
            (world.ids["other.service"], 1.0),
            (world.ids["acme.bob"], 0.6),
        ]
        one = await ok(client.get("/global/spend/report", params={**DAYS, "api_key": world.keys["acme.bob"]}))
        assert [key["total_cost"] for key in one] == [0.6]
        await refused(client.get("/global/spend/report"), 400)
        await refused(client.get("/global/spend/report", params={**DAYS, "start_date": "yesterday"}), 400)

    scripted(script)
