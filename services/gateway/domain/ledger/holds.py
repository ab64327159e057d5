"""Names of holds: the request's id, and a mark where one request holds more than once."""

from __future__ import annotations

# Another model answers after all / the gateway of an earlier hold was lost.
_MODEL, _AGAIN = "~", "+"


def for_model(request_id: str, number: int) -> str:
    """The hold for the `number`-th model that is to answer a request, 0 = the first."""
    return f"{request_id}{_MODEL}{number}" if number else request_id


def again(hold: str, number: int) -> str:
    """The hold beside one that has ended."""
    return f"{hold.partition(_AGAIN)[0]}{_AGAIN}{number}"


def request_of(hold: str) -> str:
    """The id of the request that a hold is for."""
    return hold.partition(_AGAIN)[0].partition(_MODEL)[0]
