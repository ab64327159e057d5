"""What the gateway does for the jobs service: the inside port."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import dataclass

from libs.app import App
from libs.rpc.server import RpcServer
from libs.rpc.settings import RpcServerSettings
from libs.telemetry import get_logger
from libs.valkey import Valkey
from services.gateway.adapters.accounts.assembly import AccountParts
from services.gateway.adapters.assembly import OpenPipeline
from services.gateway.adapters.idempotency import AnswerLimits, ValkeyAnswers
from services.gateway.adapters.ledger.assembly import LedgerParts
from services.gateway.api.grpc_work import GrpcWork, WorkDecoder, WorkLimits
from services.gateway.composition.face import bounds_of
from services.gateway.metrics import WorkMetrics
from services.gateway.settings import GatewaySettings
from services.gateway.usecases.answer_log import LogTimes
from services.gateway.usecases.idempotent import KeyedChat
from services.gateway.usecases.ledger.reservations import ReservationDesk
from services.gateway.usecases.maker import Chat, MakerMeans
from services.gateway.usecases.work.performing import Performing
from services.gateway.usecases.work.reserving import Reserving, ReservingMeans
from services.gateway.wire.openai_chat_decode import ChatDecoder

_log = get_logger("gateway")


@dataclass(frozen=True, slots=True)
class WorkPorts:
    """What work is done with: `chat` records what it answers, `opened` is the pipeline below it."""

    valkey: Valkey
    accounts: AccountParts
    money: LedgerParts
    opened: OpenPipeline
    chat: Chat


async def open_work(settings: GatewaySettings, ports: WorkPorts, stack: AsyncExitStack, app: App) -> None:
    """Opens the inside port where there is a jobs service."""
    if not settings.jobs.addresses:
        return
    work = compose_work(settings, ports, stack, app)
    inside = RpcServerSettings(**settings.inside.model_dump())
    telemetry, token = app.telemetry, settings.internal_token()
    server = RpcServer(
        "gateway", work.handlers(), inside,
        clock=app.clock, token=token, hooks=telemetry.hooks, trunks=telemetry.trunks,
    )  # fmt: skip
    app.serve(server)
    _log.info("inside", address=f"{inside.host}:{await server.start()}")


def compose_work(settings: GatewaySettings, ports: WorkPorts, stack: AsyncExitStack, app: App) -> GrpcWork:
    """The service without its port. Answers go on for the drain's grace; what there is of the others is kept."""
    clock, money, accounts = app.clock, ports.money, ports.accounts
    desk = ReservationDesk(money.store, money.keeper.lives)
    reserving = Reserving(
        ReservingMeans(
            catalog=ports.opened.catalog,
            preparer=ports.opened.preparer,
            charges=money.charges,
            holders=accounts.holders,
            desk=desk,
            clock=clock,
            batch_ppm=settings.work.batch_price_ppm,
        )
    )
    keep, work = settings.idempotency, settings.work
    answers = ValkeyAnswers(ports.valkey, AnswerLimits(keep.lease_seconds, keep.keep_seconds, work.answer_bytes_max))
    # Each part that is kept renews the lease. Who looks on at an answer that another gateway makes has time.
    flush = min(work.checkpoint_seconds, keep.lease_seconds / 3)
    times = LogTimes(lease=keep.lease_seconds, flush=flush, poll=flush)
    lives = money.keeper.lives
    keyed = KeyedChat(MakerMeans(ports.chat, answers, clock, times, lambda: lives.open, resumes=True))
    stack.push_async_callback(keyed.close)
    app.on_drain(keyed.drain)
    performing = Performing(accounts.holders, desk, keyed, answers)
    bounds = bounds_of(settings)
    metrics = WorkMetrics(app.telemetry.registry, lambda: len(keyed))
    decoder, limits = WorkDecoder(ChatDecoder(bounds), bounds), WorkLimits(batch_ppm=work.batch_price_ppm)
    return GrpcWork(reserving, performing, desk, decoder, clock, metrics, limits)
