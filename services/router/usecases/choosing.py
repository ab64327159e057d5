"""Which model a turn goes to."""

from __future__ import annotations

from libs.errors import PlatformError, Reason
from services.router.usecases.fleet import Fleet

AUTO = "auto"


def choose(fleet: Fleet, model: str) -> list[tuple[str, str]]:
    """Models in order, each with its reason. A named one is obeyed; `auto` needs a policy, and none is configured.

    Raises PlatformError(MODEL_NOT_FOUND).
    """
    if model == AUTO and AUTO not in fleet.catalog.entries:
        known = ", ".join(fleet.catalog.entries) or "none yet"
        why = f"Routing by 'auto' is not configured on this installation. Name a model or a pool; known: {known}."
        raise PlatformError(Reason.MODEL_NOT_FOUND, why, started=False, param="model")
    fleet.pool(model, "")
    return [(model, "named")]
