"""Accounts and what they pay: keys, prices, the ledger, its way to Kafka, the request records."""

from __future__ import annotations

from contextlib import AsyncExitStack

from libs.app import App
from libs.ids import boot_id
from libs.kafka import TopicSpec
from libs.telemetry import get_logger
from libs.valkey import Valkey
from services.gateway.adapters.accounts.assembly import AccountOptions, AccountParts, account_parts
from services.gateway.adapters.ledger.assembly import LedgerParts, ledger_parts
from services.gateway.adapters.ledger.store import LeaseTimes
from services.gateway.adapters.records.assembly import RecordOptions, RecordParts, record_parts
from services.gateway.adapters.relay_assembly import RelayOptions, open_relay
from services.gateway.ports import PriceBook
from services.gateway.ports.sent import SentCounts
from services.gateway.settings import GatewaySettings
from services.gateway.usecases.accounts.authenticator import AuthLimits
from services.gateway.usecases.ledger.keeper import KeeperLimits
from services.gateway.usecases.records.recorder import RecorderLimits

_log = get_logger("gateway")


async def open_accounts(settings: GatewaySettings, valkey: Valkey, pepper: bytes, app: App) -> AccountParts:
    """Keys are imported before the first call where the store is there, else as soon as it is."""
    limits = AuthLimits(known_max=settings.accounts.keys_cached_max)
    options = AccountOptions(
        keys_file=settings.keys_path,
        pepper=pepper,
        anonymous=settings.anonymous,
        poll_seconds=settings.keys_poll_seconds,
        stale_seconds=settings.accounts.stale_seconds,
        limits=limits,
        prices=settings.price_list(),
    )
    parts = account_parts(valkey, app.clock, options)
    if settings.anonymous:
        _log.warning("anonymous callers are served", why="the setting `anonymous` is on")
    await parts.follower.look()
    app.spawn(parts.follower.run(), "accounts")
    return parts


def make_ledger(settings: GatewaySettings, valkey: Valkey, prices: PriceBook, app: App) -> LedgerParts:
    """Nothing is asked of the store yet."""
    ledger = settings.ledger
    times = LeaseTimes(ledger.lease_seconds, ledger.grace_seconds)
    limits = KeeperLimits(ledger.lease_seconds, ledger.sure_seconds, ledger.barrier_seconds, grace=ledger.grace_seconds)
    name = f"{settings.name or 'gateway'}-{boot_id()}"
    return ledger_parts(valkey, prices, app.clock, app.telemetry.registry, name, times, limits)


def keep_ledger(
    settings: GatewaySettings, money: LedgerParts, sent: SentCounts, stack: AsyncExitStack, app: App
) -> None:
    """Keeps holds alive, sweeps those of gateways that are gone, and publishes what was decided."""
    stack.push_async_callback(money.keeper.close, settings.drain.close_seconds / 2)
    app.spawn(money.keeper.run(), "ledger-keeper")
    app.spawn(money.keeper.lives.follow(), "ledger-lives")
    app.spawn(money.sweeper(sent).run(), "ledger-sweeper")
    _relay(settings, money, stack, app)


def _relay(settings: GatewaySettings, money: LedgerParts, stack: AsyncExitStack, app: App) -> None:
    if not settings.kafka.brokers:
        _log.info("usage is not published", why="kafka.brokers is empty", where="it stays in the store's outbox")
        return
    outbox = settings.outbox
    topic = TopicSpec(outbox.topic, outbox.partitions, outbox.replication)
    holder = f"{settings.name or 'gateway'}-{boot_id()}"
    options = RelayOptions(settings.kafka, topic, holder, outbox.idle_seconds_max, outbox.entries_max)
    relay = open_relay(stack, options, money.outbox, app.clock, app.telemetry.registry)
    money.keeper.listen(relay.wake)
    app.spawn(relay.run(), "outbox-relay")


def open_records(settings: GatewaySettings, accounts: AccountParts, stack: AsyncExitStack, app: App) -> RecordParts:
    """They have a connection of their own: a batch of them is not to delay what calls ask of the store."""
    valkey = Valkey(settings.valkey, app.clock)
    stack.push_async_callback(valkey.close)
    keep = settings.records
    limits = RecorderLimits(
        records_max=keep.waiting_max,
        text_bytes_max=keep.waiting_bytes_max,
        batch_records=keep.batch_records,
        batch_bytes=keep.batch_bytes,
        text_characters_max=keep.text_characters_max,
    )
    options = RecordOptions(
        name=boot_id(),
        directory=settings.blobs_path,
        fsync=keep.fsync,
        flush_seconds=keep.flush_seconds,
        purge_seconds=keep.purge_seconds,
        redact_addresses=keep.redact_addresses,
        limits=limits,
    )
    parts = record_parts(valkey, accounts.store, app.clock, app.telemetry.registry, options)
    app.spawn(parts.purge(), "record-retention")
    parts.writer.start()
    # Before the store's connection is closed, and when the last call has ended.
    stack.push_async_callback(parts.writer.close, settings.drain.close_seconds / 4)
    return parts
