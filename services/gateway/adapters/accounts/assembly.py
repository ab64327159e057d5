"""Accounts put together: the store, who calls, what it costs, and what follows changes."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from libs.clock import Clock
from libs.errors import PlatformError
from libs.ids import RandomBytes
from libs.telemetry import get_logger
from libs.valkey import Valkey
from services.gateway.adapters.accounts.valkey import ValkeyAccounts
from services.gateway.adapters.keys import KeysFile
from services.gateway.domain.accounts.records import Price
from services.gateway.usecases.accounts import Accounts, KeySecrets, accounts_over
from services.gateway.usecases.accounts.anonymous import AnonymousDoor
from services.gateway.usecases.accounts.authenticator import AuthLimits, KeyAuthenticator
from services.gateway.usecases.accounts.bootstrap import ANONYMOUS, Declared, KeysImport
from services.gateway.usecases.accounts.follow import AccountsFollower
from services.gateway.usecases.accounts.holders import KeyHolders
from services.gateway.usecases.accounts.price_book import StoredPrices

_log = get_logger("gateway.accounts")


@dataclass(frozen=True, slots=True)
class AccountOptions:
    """What accounts are made of. `anonymous`: callers without a key are served, all as the tenant `anonymous`."""

    keys_file: Path
    pepper: bytes = field(repr=False)
    anonymous: bool = False
    poll_seconds: float = 0.25
    stale_seconds: float = 300.0
    limits: AuthLimits = field(default_factory=AuthLimits)
    prices: Iterable[Price] = ()
    random_bytes: RandomBytes = secrets.token_bytes


@dataclass(frozen=True, slots=True)
class AccountParts:
    """What the rest of the gateway uses. `follower.look()` once before the first call, then `follower.run()`."""

    store: ValkeyAccounts
    accounts: Accounts
    authenticator: KeyAuthenticator | AnonymousDoor
    prices: StoredPrices
    holders: KeyHolders
    follower: AccountsFollower


def account_parts(valkey: Valkey, clock: Clock, options: AccountOptions) -> AccountParts:
    """Nothing is asked of the store yet: it may be away."""
    store = ValkeyAccounts(valkey)
    keys = KeyAuthenticator(store, clock, options.pepper, options.limits)
    prices, holders = StoredPrices(store, options.prices), KeyHolders(store, clock, options.limits.known_max)
    imports = [KeysImport(KeysFile(options.keys_file), store, clock, _not_imported)]
    if options.anonymous:
        imports.append(KeysImport(Declared((ANONYMOUS,)), store, clock, _not_imported))
    follower = AccountsFollower(
        store,
        clock,
        [keys, prices, holders, *imports],
        first=imports[0].look,
        every_seconds=options.poll_seconds,
        stale_seconds=options.stale_seconds,
        report=_followed,
    )
    accounts = accounts_over(store, store, store, clock, KeySecrets(options.pepper, options.random_bytes))
    door = AnonymousDoor(keys) if options.anonymous else keys
    return AccountParts(store, accounts, door, prices, holders, follower)


def _not_imported(what: str, problem: PlatformError) -> None:
    _log.error("keys not imported", record=what, why=problem.message)


def _followed(problem: PlatformError | None) -> None:
    if problem is None:
        _log.info("accounts are followed")
    else:
        _log.error("accounts cannot be followed; remembered keys stand for a while", why=problem.message)
