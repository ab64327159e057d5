"""The gateway without its money: any key is taken for one principal, and every hold is granted in process.

`python -m loadtests.ledger_cost.bare` takes the arguments of `services.gateway.main` and composes the same service but
for these two parts. It exists to be compared with; nothing of the service leads here.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from libs.app import App
from libs.valkey import Valkey
from services.gateway import main as gateway
from services.gateway.adapters.accounts.assembly import AccountParts
from services.gateway.adapters.ledger.assembly import LedgerParts
from services.gateway.composition.accounts import make_ledger, open_accounts
from services.gateway.domain.accounts.records import RecordPolicy
from services.gateway.domain.turns import Principal
from services.gateway.ports import PriceBook
from services.gateway.settings import GatewaySettings
from services.gateway.usecases.ledger.testing import null_charges

_ANYBODY = Principal("bench", "bench", account_user="ada", records=RecordPolicy(enabled=False))


class AnyKey:
    """See Authenticator: takes every key for the same one."""

    def known(self, presented: str) -> Principal | None:
        """See Authenticator."""
        del presented
        return _ANYBODY

    async def authenticate(self, presented: str) -> Principal:
        """See Authenticator."""
        del presented
        return _ANYBODY


async def _open_accounts(settings: GatewaySettings, valkey: Valkey, pepper: bytes, app: App) -> AccountParts:
    door: Any = AnyKey()
    return replace(await open_accounts(settings, valkey, pepper, app), authenticator=door)


def _make_ledger(settings: GatewaySettings, valkey: Valkey, prices: PriceBook, app: App) -> LedgerParts:
    return replace(make_ledger(settings, valkey, prices, app), charges=null_charges(app.clock))


def main() -> None:
    """The gateway's own main, with two of its parts exchanged."""
    gateway.open_accounts = _open_accounts  # type: ignore[attr-defined]
    gateway.make_ledger = _make_ledger  # type: ignore[attr-defined]
    gateway.main()


if __name__ == "__main__":
    main()
