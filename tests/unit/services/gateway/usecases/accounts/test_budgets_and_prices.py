"""Budgets and prices: set, replaced, taken away."""

from __future__ import annotations

import pytest

from libs.errors import PlatformError, Reason
from libs.testing.loop import run
from services.gateway.domain.accounts.records import Budget, Key, Price, Tenant, User
from services.gateway.usecases.accounts import Owner
from services.gateway.usecases.accounts.price_book import StoredPrices
from tests.unit.services.gateway.usecases.accounts.world import AWAY, ROOT, World, on_accounts, refused

SMALL = Price(model="small", input_nanodollars=1, cached_nanodollars=2, output_nanodollars=3)


@pytest.mark.parametrize("kind", [Tenant, User, Key])
def test_a_budget_is_set_replaced_and_cleared(kind):
    async def scenario(world):
        hers, *_ = await world.populate()
        owner = Owner(kind, "acme", {Tenant: "acme", User: "ada", Key: hers.id}[kind])
        began = world.clock.unix()
        total = Budget(limit_nanodollars=100, anchor_at=began)
        assert await world.budgets.set(owner, Budget(limit_nanodollars=100), ROOT) == (total,)
        await world.budgets.set(owner, Budget(limit_nanodollars=5, duration="1d", soft_nanodollars=4), ROOT)
        world.clock.advance(1000)
        raised = await world.budgets.set(owner, Budget(limit_nanodollars=9, duration="1d"), ROOT)
        assert raised == (total, Budget(limit_nanodollars=9, duration="1d", anchor_at=began))
        assert await world.budgets.of(owner) == raised
        assert await world.budgets.clear(owner, "total", ROOT) == raised[1:]
        with refused(Reason.NOT_FOUND, "no budget of duration"):
            await world.budgets.clear(owner, "total", ROOT)

    on_accounts(scenario)


@pytest.mark.parametrize("amount", [-1, 2**53, True, 0.5])
def test_a_budget_that_cannot_be_kept_is_refused(amount):
    async def scenario(world):
        await world.populate()
        with refused(Reason.INVALID_REQUEST):
            await world.budgets.set(Owner(Tenant, "acme", "acme"), Budget(limit_nanodollars=amount), ROOT)

    on_accounts(scenario)


def test_a_price_is_set_replaced_and_deleted():
    async def scenario(world):
        await world.prices.set(SMALL, ROOT)
        version = await world.store.version()
        await world.prices.set(SMALL, ROOT)
        assert await world.store.version() == version
        dearer = Price(model="small", input_nanodollars=9, cached_nanodollars=2, output_nanodollars=3)
        await world.prices.set(dearer, ROOT)
        assert await world.prices.get("small") == dearer
        assert list(await world.prices.list()) == [dearer]
        await world.prices.delete("small", ROOT)
        with refused(Reason.NOT_FOUND):
            await world.prices.delete("small", ROOT)

    on_accounts(scenario)


def test_stored_prices_win_over_those_of_the_settings():
    async def main():
        world = World()
        seed = Price(model="small", input_nanodollars=7, cached_nanodollars=7, output_nanodollars=7)
        book = StoredPrices(world.store, [seed])
        await book.changed()
        assert book.find("small") == seed
        await world.prices.set(SMALL, ROOT)
        await book.changed()
        assert book.find("small") == SMALL
        await world.prices.delete("small", ROOT)
        await book.changed()
        assert book.find("small") == seed

    run(main())


def test_the_first_name_that_has_a_price_decides():
    async def main():
        world = World()
        large = Price(model="large", input_nanodollars=4, cached_nanodollars=5, output_nanodollars=6)
        book = StoredPrices(world.store, [SMALL, large])
        await book.changed()
        assert book.find("none", "large", "small") == large
        assert book.find("none") is None
        assert book.find() is None

    run(main())


def test_all_prices_are_read_however_many():
    async def main():
        prices = [
            Price(model=f"m{n}", input_nanodollars=n, cached_nanodollars=0, output_nanodollars=0) for n in range(2500)
        ]
        book = StoredPrices(World(*prices).store, [])
        await book.changed()
        assert [book.find(price.model) for price in prices] == prices

    run(main())


def test_before_prices_were_read_nothing_is_said_of_them_and_afterwards_they_stay():
    async def main():
        world = World()
        book = StoredPrices(world.store, [SMALL])
        world.store.unavailable = AWAY
        with pytest.raises(PlatformError):
            await book.changed()
        with refused(Reason.STORE_UNAVAILABLE):
            book.find("small")
        world.store.unavailable = None
        await book.changed()
        world.store.unavailable = AWAY
        with pytest.raises(PlatformError):
            await book.changed()
        book.outdated()
        assert book.find("small") == SMALL

    run(main())
