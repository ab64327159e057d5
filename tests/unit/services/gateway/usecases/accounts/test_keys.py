"""API keys: their text is seen once, two texts are valid at most, and nothing brings a deleted one back."""

from __future__ import annotations

import math

import pytest

from libs.errors import Reason
from services.gateway.domain.accounts.records import Key, Role
from services.gateway.domain.auth import hash_key, well_formed
from services.gateway.usecases.accounts import KeySpec
from services.gateway.usecases.accounts.keys import GRACE_SECONDS_MAX
from tests.unit.services.gateway.usecases.accounts.world import PEPPER, ROOT, on_accounts, refused


def test_a_new_key_is_stored_as_its_hmac_under_the_pepper():
    async def scenario(world):
        hers, _, text = await world.populate()
        assert well_formed(text)
        assert hers == Key(
            tenant="acme", id=hers.id, hmac=hash_key(PEPPER, text), user="ada", name="hers", hint=text[-4:],
            role=Role.SERVICE, created_at=world.clock.unix(),
        )  # fmt: skip
        assert await world.keys.by_text(text) == await world.keys.locate(hers.id) == hers

    on_accounts(scenario)


def test_a_rotated_key_has_a_new_text_and_the_old_one_its_grace():
    async def scenario(world):
        hers, _, old = await world.populate()
        rotated, new = await world.keys.rotate("acme", hers.id, ROOT, grace_seconds=60)
        assert new != old
        assert (rotated.id, rotated.hmac, rotated.hint) == (hers.id, hash_key(PEPPER, new), new[-4:])
        assert (rotated.previous_hmac, rotated.previous_until) == (hers.hmac, world.clock.unix() + 60)
        assert await world.keys.by_text(old) == await world.keys.by_text(new) == rotated

    on_accounts(scenario)


def test_without_grace_and_after_another_rotation_the_old_text_is_nothing():
    async def scenario(world):
        hers, _, old = await world.populate()
        await world.keys.rotate("acme", hers.id, ROOT, grace_seconds=60)
        _, third = await world.keys.rotate("acme", hers.id, ROOT, grace_seconds=60)
        with refused(Reason.NOT_FOUND):
            await world.keys.by_text(old)
        last, _ = await world.keys.rotate("acme", hers.id, ROOT)
        assert (last.previous_hmac, last.previous_until) == ("", 0.0)
        with refused(Reason.NOT_FOUND):
            await world.keys.by_text(third)

    on_accounts(scenario)


@pytest.mark.parametrize("grace", [-1.0, math.nan, math.inf, GRACE_SECONDS_MAX + 1])
def test_a_grace_has_two_ends(grace):
    async def scenario(world):
        hers, *_ = await world.populate()
        with refused(Reason.INVALID_REQUEST):
            await world.keys.rotate("acme", hers.id, ROOT, grace_seconds=grace)
        assert await world.keys.get("acme", hers.id) == hers

    on_accounts(scenario)


@pytest.mark.parametrize("at", [0.0, -5.0, math.nan, math.inf, 1.8e12, 1_699_999_999.0])
def test_an_expiry_lies_ahead(at):
    async def scenario(world):
        hers, *_ = await world.populate()
        with refused(Reason.INVALID_REQUEST):
            await world.keys.create("acme", KeySpec(expires_at=at), ROOT)
        with refused(Reason.INVALID_REQUEST):
            await world.keys.update("acme", hers.id, KeySpec(expires_at=at), ROOT)

    on_accounts(scenario)


def test_an_expiry_can_be_set_and_taken_away():
    async def scenario(world):
        hers, *_ = await world.populate()
        later = world.clock.unix() + 5
        assert (await world.keys.update("acme", hers.id, KeySpec(expires_at=later), ROOT)).expires_at == later
        assert (await world.keys.update("acme", hers.id, KeySpec(expires_at=None), ROOT)).expires_at is None

    on_accounts(scenario)


def test_a_deleted_key_is_gone():
    async def scenario(world):
        hers, nobodys, text = await world.populate()
        await world.keys.delete("acme", hers.id, ROOT)
        assert list(await world.keys.list("acme")) == [nobodys]
        for ask in (world.keys.by_text(text), world.keys.locate(hers.id), world.keys.delete("acme", hers.id, ROOT)):
            with refused(Reason.NOT_FOUND):
                await ask

    on_accounts(scenario)


def test_a_key_of_another_tenant_is_not_found_by_its_id():
    async def scenario(world):
        hers, *_ = await world.populate()
        for ask in (world.keys.get("other", hers.id), world.keys.block("other", hers.id, ROOT)):
            with refused(Reason.NOT_FOUND):
                await ask

    on_accounts(scenario)


@pytest.mark.parametrize("presented", ["", "sk-hr-", "\ud800", "sk-hr-" + "g" * 48, "x" * 10_000])
def test_text_that_is_no_key_is_not_even_looked_up(presented):
    async def scenario(world):
        await world.populate()
        reads = world.store.reads
        with refused(Reason.NOT_FOUND) as caught:
            await world.keys.by_text(presented)
        assert world.store.reads == reads
        assert not presented or presented not in caught.value.message

    on_accounts(scenario)


def test_a_user_that_does_not_exist_has_no_keys():
    async def scenario(world):
        await world.populate()
        with refused(Reason.CONFLICT, "Make the user first"):
            await world.keys.create("acme", KeySpec(), ROOT, user="eve")

    on_accounts(scenario)
