"""Who stands behind work for which nobody waits."""

from __future__ import annotations

from dataclasses import replace

from services.gateway.domain.accounts.records import Role
from services.gateway.domain.ledger.types import Terms
from services.gateway.domain.turns import Principal, Reserved


def in_background(holder: Principal, reservation: str, terms: Terms) -> Principal:
    """The key's holder as the work's principal: what it may call, and nothing else that it may.

    A stored answer stands in for nothing here: whoever can wait gets one that is made for it.
    """
    reserved = Reserved(reservation, terms.price_ppm)
    return replace(holder, role=Role.SERVICE, reserved=reserved, cached_answers=False)
