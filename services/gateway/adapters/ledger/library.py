"""The ledger's function library, put together from its Lua files."""

from __future__ import annotations

from importlib import resources

from libs.valkey import FunctionLibrary

_FILES = ("1_scopes.lua", "2_draws.lua", "2_ends.lua", "2_holds.lua", "3_reservations.lua", "4_reports.lua")


def ledger_library() -> FunctionLibrary:
    """The functions of docs/ledger.md; all take the tenant's prefix as their one key."""
    folder = resources.files("services.gateway.adapters.ledger") / "functions"
    return FunctionLibrary("ledger", "\n".join((folder / name).read_text(encoding="utf-8") for name in _FILES))


LEDGER = ledger_library()


def prefix_of(tenant: str) -> str:
    """The key that all of a tenant's ledger keys begin with; its hash tag keeps them in one slot."""
    return f"hr:ledger:{{{tenant}}}"
