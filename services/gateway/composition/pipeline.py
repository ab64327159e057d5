"""The pipeline that answers chat calls, plain or under an idempotency key."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import AsyncExitStack

from libs.app import App
from libs.resilience.breaker import BreakerRule
from libs.resilience.limiter import LimiterRule
from libs.valkey import Valkey
from services.gateway.adapters.assembly import PipelineOptions
from services.gateway.adapters.cached_answers import CachedLimits, ValkeyCachedAnswers
from services.gateway.adapters.idempotency import AnswerLimits, ValkeyAnswers
from services.gateway.adapters.keyed_metrics import KeyedMetrics
from services.gateway.adapters.placements import PlacementLimits
from services.gateway.adapters.stand_in_metrics import StandInMetrics
from services.gateway.domain.fair_queue import QueueBounds
from services.gateway.domain.pace import PaceRule
from services.gateway.settings import BreakerSettings, GatewaySettings
from services.gateway.usecases.answer_log import LogTimes
from services.gateway.usecases.idempotent import KeyedChat
from services.gateway.usecases.maker import Chat, MakerMeans
from services.gateway.usecases.prepare import PrepareLimits
from services.gateway.usecases.sessions import SessionLimits
from services.gateway.usecases.stand_ins import StandIns
from services.gateway.usecases.waiting import WaitLimits
from services.gateway.usecases.watchdog import WatchRule


def pipeline_options(settings: GatewaySettings, secret: bytes) -> PipelineOptions:
    """What the settings say of the pipeline; `secret` is the install's pepper."""
    sessions = settings.sessions
    return PipelineOptions(
        router_addresses=(settings.router.address, *settings.router.replicas),
        router_transport=settings.router.transport,
        worker_transport=settings.inference.transport,
        token=settings.internal_token(),
        secret=secret,
        tokenizer_dir=settings.state_dir / "tokenizers",
        sessions=SessionLimits(sessions.cached_max, sessions.fresh_seconds, float(sessions.ttl_seconds)),
        placements=PlacementLimits(sessions.placement_seconds, sessions.cached_max),
        prepare=PrepareLimits(settings.limits.default_answer_tokens_max),
        waiting=_wait_limits(settings),
        breakers=_breaker_rule(settings.breakers),
        watch=_watch_rule(settings.breakers),
    )


def _breaker_rule(breakers: BreakerSettings) -> BreakerRule:
    return BreakerRule(
        failures_in_a_row=breakers.failures_in_a_row,
        failure_share=breakers.failure_share,
        calls_min=breakers.calls_min,
        window_seconds=breakers.window_seconds,
        open_seconds=breakers.open_seconds,
        open_seconds_max=breakers.open_seconds_max,
    )


def _watch_rule(breakers: BreakerSettings) -> WatchRule:
    pace = PaceRule(
        factor=breakers.slow_factor,
        first_token_seconds=breakers.slow_first_token_seconds,
        gap_seconds=breakers.slow_gap_seconds,
    )
    return WatchRule(
        suspect_seconds=breakers.suspect_seconds,
        stuck_seconds=breakers.stuck_seconds,
        first_token_seconds=breakers.first_token_seconds,
        gap_seconds=breakers.gap_seconds,
        pace=pace,
    )


def _wait_limits(settings: GatewaySettings) -> WaitLimits:
    queue = settings.queue
    bounds = QueueBounds(queue.waiting_max, queue.tenant_max, queue.ageing_seconds)
    limiter = LimiterRule(queue.inflight_start, queue.inflight_max, queue.worker_wait_ms / 1000)
    return WaitLimits(
        queue.wait_seconds_max,
        queue.retry_seconds,
        bounds,
        limiter,
        queue.tenant_share,
        queue.standing_seconds,
        queue.background_share,
    )


def open_stand_ins(
    settings: GatewaySettings, valkey: Valkey, secret: bytes, stack: AsyncExitStack, app: App
) -> StandIns:
    """Those that are on their way into the store get there before it is closed."""
    keep = settings.cached_answers
    answers = ValkeyCachedAnswers(valkey, CachedLimits(keep.keep_seconds, keep.answers_max), random.random)
    stand_ins = StandIns(answers, secret, app.clock, StandInMetrics(app.telemetry.registry).counted)
    stack.push_async_callback(stand_ins.close)
    return stand_ins


def open_keyed(
    settings: GatewaySettings, valkey: Valkey, chat: Chat, may_hold: Callable[[], bool], stack: AsyncExitStack, app: App
) -> KeyedChat:
    """Answers are finished within the drain's grace, whether their clients are there or not."""
    keep = settings.idempotency
    answers = ValkeyAnswers(valkey, AnswerLimits(keep.lease_seconds, keep.keep_seconds, keep.answer_bytes_max))
    times = LogTimes(lease=keep.lease_seconds, poll=keep.poll_seconds)
    metrics = KeyedMetrics(app.telemetry.registry)
    keyed = KeyedChat(MakerMeans(chat, answers, app.clock, times, may_hold), count=metrics.claimed)
    metrics.read_from(lambda: len(keyed))
    stack.push_async_callback(keyed.close)
    app.on_drain(keyed.drain)
    return keyed
