"""Names of holds: the request's id, and a mark where one request holds more than once."""

from __future__ import annotations

# Another model answers after all / an earlier hold was given back / one was charged, for its gateway was lost.
_MODEL, _AGAIN, _BESIDE = "~", "+", "="


def for_model(request_id: str, number: int) -> str:
    """The hold for the `number`-th model that is to answer a request, 0 = the first."""
    return f"{request_id}{_MODEL}{number}" if number else request_id


def again(hold: str, number: int) -> str:
    """The hold after one that was given back."""
    return f"{hold.partition(_AGAIN)[0]}{_AGAIN}{number}"


def beside(hold: str, number: int) -> str:
    """The hold beside one that was charged already: it keeps room for the rest, and what it pays is the other's."""
    return f"{hold.partition(_BESIDE)[0]}{_BESIDE}{number}"


def charged_as(hold: str) -> str:
    """The hold that a call is charged under: itself, or the one that it stands beside."""
    return hold.partition(_BESIDE)[0]


def request_of(hold: str) -> str:
    """The id of the request that a hold is for."""
    return charged_as(hold).partition(_AGAIN)[0].partition(_MODEL)[0]
