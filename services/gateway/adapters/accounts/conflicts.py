"""What hinders a change, in words. The store's function and the twin in memory name it in the same way."""

from __future__ import annotations

from libs.errors import PlatformError, Reason
from services.gateway.domain.accounts.records import Change, Kind

_WHY = {
    "there": "exists already. Change that one, or choose another id",
    "changed": "was changed, made or deleted by another meanwhile. Read it again and repeat",
    "gone": "was deleted, and ids of deleted keys are never used again. Make another key",
    "tenant": "belongs to a tenant that does not exist. Make the tenant first",
    "user": "belongs to a user that does not exist. Make the user first",
    "used": "still has users or keys. Delete those first",
}
# What a record belongs to and is not there.
MISSING = ("tenant", "user")


def conflict(change: Change, why: str) -> PlatformError:
    """The 409 for a change that did not happen; its param names what is missing, where something is."""
    if why == "changed" and change.before is None:
        why = "there"
    name = f"{change.kind.value} {change.id}" if change.kind is not Kind.PRICE else f"price of {change.id}"
    return PlatformError(
        Reason.CONFLICT, f"The {name} {_WHY[why]}.", started=False, param=why if why in MISSING else None
    )
