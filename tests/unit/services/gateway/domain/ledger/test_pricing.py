from hypothesis import given
from hypothesis import strategies as st

from services.gateway.domain.accounts.records import Price
from services.gateway.domain.ledger.pricing import MILLION, more, most, shared, used
from services.gateway.domain.ledger.types import UsageMeta

tokens = st.integers(0, 2_000_000)
prices = st.integers(0, 100_000_000_000)


def meta(price):
    return UsageMeta(
        "", "", "", "m", "", "", {}, price.input_nanodollars, price.cached_nanodollars, price.output_nanodollars
    )


def test_cached_tokens_cost_their_own_price_and_all_is_rounded_up_once():
    price = Price(model="m", input_nanodollars=37_500_000, cached_nanodollars=3_750_000, output_nanodollars=150_000_000)
    assert used(meta(price), 100, 60, 10).cost == -(-(40 * 37_500_000 + 60 * 3_750_000 + 10 * 150_000_000) // 10**6)
    assert used(meta(price), 1, 1, 0).cost == 4


@given(prices, prices, prices, tokens, tokens, tokens, st.integers(0, 100))
def test_what_is_held_covers_whatever_comes_of_it(input_price, cached, output, prompt, answer, extension, share):
    cached = min(cached, input_price)
    price = Price(model="m", input_nanodollars=input_price, cached_nanodollars=cached, output_nanodollars=output)
    held = most(price, prompt, answer) + more(meta(price), extension)
    assert used(meta(price), prompt, prompt * share // 100, answer + extension).cost <= held


@given(prices, prices, prices, tokens, tokens, st.integers(1, MILLION))
def test_a_share_of_a_price_costs_that_share_and_nothing_is_free(cheap, cached, output, prompt, answer, ppm):
    whole = Price(model="m", input_nanodollars=cheap, cached_nanodollars=cached, output_nanodollars=output)
    part = shared(whole, ppm)
    full, share = most(whole, prompt, answer), most(part, prompt, answer)
    assert (full - 1) * ppm <= share * MILLION  # the whole is rounded up by less than one, too
    # Each price is rounded up by less than one, and the sum by less than one.
    assert share <= full * ppm / MILLION + (prompt + answer) / MILLION + 1
    assert (share > 0) == (full > 0)
    assert shared(whole, MILLION) is whole
