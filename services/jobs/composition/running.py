"""What runs jobs: gate, attempts, steps, parts, and the agenda with its chores."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from services.jobs.adapters.outgoing import KafkaOutgoing
from services.jobs.composition.ports import Ports
from services.jobs.domain.gate import GateRule
from services.jobs.domain.resend import Backlog
from services.jobs.metrics import JobsMetrics
from services.jobs.ports.running import BatchFiles, Outgoing
from services.jobs.settings import AgendaSettings, GateSettings, JobsSettings
from services.jobs.usecases.agenda import AgendaLimits, Sweeper
from services.jobs.usecases.attempts import AttemptDesk, AttemptTimes
from services.jobs.usecases.chores import ChoreLimits, ChoreMeans, Chores
from services.jobs.usecases.gate import Gate, GateLimits
from services.jobs.usecases.hooks import HookMeans, WebhookCaller
from services.jobs.usecases.runner import Runner, RunnerLimits, RunnerMeans
from services.jobs.usecases.sending import Sending
from services.jobs.usecases.steps import Steps, StepTimes


@dataclass(frozen=True)
class Running:
    """What the consumers need."""

    gate: Gate
    desk: AttemptDesk
    runner: Runner


def compose_running(
    settings: JobsSettings,
    ports: Ports,
    files: BatchFiles,
    metrics: JobsMetrics,
    *,
    wake: Callable[[str], None],
    part: Callable[[], float],
) -> Running:
    """`wake` hears of tenants whose jobs changed; `part` is this consumer's part of the work."""
    attempts, store, clock = settings.attempts, ports.store, ports.clock
    times = AttemptTimes(attempts.lease_seconds, attempts.attempts_max)
    desk = AttemptDesk(store, store, clock, times, metrics, owner=ports.owner, wake=wake, uniform=ports.random)

    def wanted() -> bool:
        return len(desk) >= attempts.parts_max

    limits = GateLimits(rule_of(settings.gate), settings.gate.ageing_seconds, settings.gate.held_seconds)
    gate = Gate(ports.capacity, clock, limits, metrics, part=part, wanted=wanted, uniform=ports.random)
    held = settings.gate.held_seconds
    step_times = StepTimes(attempts.patience_seconds, attempts.retry_seconds, attempts.retry_seconds_max, held)
    steps = Steps(desk, gate, ports.gateways, ports.blobs, clock, step_times, metrics, ports.random)
    means = RunnerMeans(desk, steps, store, files)
    runner = Runner(means, clock, RunnerLimits(attempts.steps_max, held), metrics, ports.random)
    return Running(gate, desk, runner)


def compose_sending(settings: JobsSettings, ports: Ports, outgoing: KafkaOutgoing) -> Sending:
    """What accepted jobs and cut files leave by."""
    return Sending(outgoing, ports.store, settings.agenda.resend_seconds)


def chores_of(
    settings: JobsSettings,
    ports: Ports,
    outgoing: Outgoing,
    sending: Sending,
    files: BatchFiles,
    metrics: JobsMetrics,
    *,
    backlog: Callable[[], Backlog],
) -> Chores:
    """What the agenda asks for."""
    store = ports.store
    hooks = WebhookCaller(HookMeans(store, store, store, ports.hooks, ports.clock), settings.webhooks.backoff_seconds)
    means = ChoreMeans(store, store, store, store, ports.gateways, outgoing, sending, files, hooks, ports.blobs)
    limits = ChoreLimits(settings.agenda.resend_seconds, settings.agenda.lease_seconds)
    return Chores(means, ports.clock, limits, metrics, backlog)


def sweeper_of(settings: JobsSettings, ports: Ports, metrics: JobsMetrics) -> Sweeper:
    """The agenda; its chores are added when they are there."""
    return Sweeper(ports.store, {}, ports.clock, limits_of(settings.agenda), metrics)


def rule_of(gate: GateSettings) -> GateRule:
    """As the gate decides by it."""
    return GateRule(
        share=gate.share,
        share_max=gate.share_max,
        headroom=gate.headroom,
        memory_seconds=gate.memory_seconds,
        wait_ms_max=gate.wait_ms_max,
        silence_seconds=gate.silence_seconds,
        blind_max=gate.blind_max,
    )


def limits_of(agenda: AgendaSettings) -> AgendaLimits:
    """As the sweeper keeps them."""
    return AgendaLimits(agenda.pace_seconds, agenda.pace_seconds_max, agenda.claim_max, agenda.lease_seconds)
