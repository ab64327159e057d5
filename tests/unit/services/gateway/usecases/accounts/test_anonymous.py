"""Callers without a key are one principal; a key of ours is still checked."""

from __future__ import annotations

import pytest

from libs.errors import Reason
from services.gateway.domain.turns import Principal
from services.gateway.usecases.accounts.anonymous import AnonymousDoor
from services.gateway.usecases.accounts.authenticator import KeyAuthenticator
from tests.unit.services.gateway.usecases.accounts.world import AWAY, PEPPER, on_accounts, refused


@pytest.mark.parametrize("presented", ["", "sk-anything", "\ud800", "k" * 10_000])
def test_who_has_no_key_of_ours_is_nobody_in_particular(presented):
    async def scenario(world):
        world.store.unavailable = AWAY
        door = AnonymousDoor(KeyAuthenticator(world.store, world.clock, PEPPER))
        assert door.known(presented) == await door.authenticate(presented) == Principal("anonymous", "anonymous")

    on_accounts(scenario)


def test_who_has_a_key_is_its_owner_and_a_wrong_key_is_refused():
    async def scenario(world):
        key, _, text = await world.populate()
        door = AnonymousDoor(KeyAuthenticator(world.store, world.clock, PEPPER))
        assert door.known(text) is None
        assert (await door.authenticate(text)).key_id == key.id
        assert door.known(text).key_id == key.id
        with refused(Reason.INVALID_API_KEY):
            await door.authenticate("sk-hr-" + "f" * 48)

    on_accounts(scenario)
