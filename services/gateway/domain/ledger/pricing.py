"""What a call costs: the prompt once, cached tokens at their own price, and every delivered token."""

from __future__ import annotations

from libs.money import TOKENS_PER_PRICE
from services.gateway.domain.accounts.records import Price
from services.gateway.domain.ledger.types import Progress, UsageMeta

# Millionths of a price that are the whole of it.
MILLION = 1_000_000


def shared(price: Price, ppm: int) -> Price:
    """A share of a price, in millionths. Each part is rounded up, so that nothing that costs something is free."""
    if ppm == MILLION:
        return price
    return Price(
        model=price.model,
        input_nanodollars=-(-price.input_nanodollars * ppm // MILLION),
        cached_nanodollars=-(-price.cached_nanodollars * ppm // MILLION),
        output_nanodollars=-(-price.output_nanodollars * ppm // MILLION),
    )


def most(price: Price, prompt_tokens: int, output_tokens: int) -> int:
    """Nano-dollars that a call can cost at most: nothing of the prompt is cached, every output token is delivered."""
    dearest = max(price.input_nanodollars, price.cached_nanodollars)
    return _up(prompt_tokens * dearest + output_tokens * price.output_nanodollars)


def affordable(price: Price, prompt_tokens: int, nanodollars: int) -> int:
    """Output tokens that so much pays for behind the prompt, none of which is cached; 0 = not even the prompt."""
    dearest = max(price.input_nanodollars, price.cached_nanodollars)
    left = nanodollars * TOKENS_PER_PRICE - prompt_tokens * dearest
    return max(0, left // max(1, price.output_nanodollars))


def more(meta: UsageMeta, tokens: int) -> int:
    """Nano-dollars for further output tokens, at the prices of a hold."""
    return _up(tokens * meta.output_price)


def used(meta: UsageMeta, prompt: int, cached: int, completion: int, reasoning: int = 0) -> Progress:
    """What tokens cost at the prices of their hold. Rounded up once, so that no use is free and no part is rounded."""
    sum_of_all = (prompt - cached) * meta.input_price + cached * meta.cached_price + completion * meta.output_price
    return Progress(_up(sum_of_all), prompt, cached, completion, reasoning)


def _up(millionths: int) -> int:
    return -(-millionths // TOKENS_PER_PRICE)
