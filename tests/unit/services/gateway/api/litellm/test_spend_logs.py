"""Whose requests /spend/logs lists."""

import pytest

from libs.errors import PlatformError, Reason
from libs.testing.loop import run
from services.gateway.api.litellm.lookups import Lookups
from services.gateway.api.litellm.spend import LogQuery, SpendRoutes
from services.gateway.domain.accounts.records import Role
from services.gateway.domain.turns import Principal
from tests.unit.services.gateway.api.accounts.world import World


class Log:
    """Keeps what it was asked for."""

    def __init__(self):
        self.asked = []

    async def newest(self, actor, tenant, *, key, user, days, limit):
        self.asked.append((tenant, key))
        return ()


def asked_for(actor, by):
    async def main():
        world, log = await World.shared(), Log()
        query = LogQuery(api_key=by(world))
        await SpendRoutes(Lookups(world.desk), log).logs(actor(world), query)
        return log.asked, world.ids

    return run(main())


def admin(world):
    return Principal("acme", world.ids["admin"], role=Role.ADMIN)


def boss(world):
    return Principal("acme", world.ids["acme.boss"], account_user="boss", role=Role.TENANT_ADMIN)


@pytest.mark.parametrize("named", ["ids", "keys"])
def test_an_admin_that_names_a_key_gets_the_requests_of_that_keys_tenant(named):
    asked, ids = asked_for(admin, lambda world: getattr(world, named)["other.ada"])
    assert asked == [("other", ids["other.ada"])]


def test_others_get_no_further_than_their_tenant():
    with pytest.raises(PlatformError) as caught:
        asked_for(boss, lambda world: world.ids["other.ada"])
    assert caught.value.reason is Reason.NOT_FOUND


def test_who_names_nothing_gets_its_own_tenants():
    assert asked_for(admin, lambda _: "")[0] == [("", "")]
