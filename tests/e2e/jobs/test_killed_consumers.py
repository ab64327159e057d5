"""Consumers that are killed or stand still in the middle of their work: every job is done once in effect.

All parts are processes: store, broker, worker with a simulated engine, router, gateway, two consumers.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import urllib.request
from contextlib import asynccontextmanager

import pytest

from libs.testing.brokers import embedded_broker
from libs.valkey import Valkey, ValkeySettings
from loadtests.common.accounts import new_account
from loadtests.common.stack import Layout, Stack
from loadtests.jobs.campaign import TENANT, drained
from loadtests.jobs.client_log import Submitters
from loadtests.jobs.judge import judge

JOBS = 300
SESSION_MS = 6_000
LATE = "headrace_jobs_late_total"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(150)]


def layout(port: int, broker: int, token_ms: int) -> Layout:
    """Answers have six tokens."""
    return Layout(
        base_port=port,
        jobs=2,
        gateway_core="0,1",
        inner_core="0,1",
        worker_core="0,1",
        worker_args=["--simulated.inter_token_ms", str(token_ms), "--simulated.running_max", "256"],
        jobs_args=[
            *("--consumer.session_timeout_ms", str(SESSION_MS), "--attempts.lease_seconds", "3"),
            *("--agenda.lease_seconds", "2", "--letters.retry_seconds", "[0.5, 2, 5]"),
        ],
        kafka_brokers=(f"127.0.0.1:{broker}",),
        op_timeout_ms=1000,
    )


@asynccontextmanager
async def platform(port: int, token_ms: int):
    """The stack, its clients, and its broker's settings."""
    with embedded_broker() as broker, Stack(layout(port, broker.port, token_ms)) as stack:
        account = await asyncio.to_thread(new_account, stack.url, stack.key, TENANT, limits={}, keep_records=False)
        valkey = Valkey(ValkeySettings(url=stack.valkey_url, op_timeout_ms=5000))
        clients = Submitters(stack.rest_ports, account.secret, random.Random(7), "test")
        try:
            await clients.learn()
            yield stack, clients, valkey, broker.settings()
        finally:
            await valkey.close()


async def kill_at_random(stack: Stack, rng: random.Random, times: int) -> None:
    """SIGKILL for one consumer after another, each started again."""
    for _ in range(times):
        await asyncio.sleep(rng.uniform(0.5, 1.5))
        name = stack.jobs_name(rng.randrange(2))
        await asyncio.to_thread(stack.kill, name)
        stack.start(name)


def late(stack: Stack) -> float:
    """Late writes that were refused, of both consumers."""
    found = 0.0
    for index in range(2):
        with urllib.request.urlopen(f"http://127.0.0.1:{stack.jobs_metrics_port(index)}/metrics", timeout=5) as answer:
            lines = answer.read().decode().splitlines()
        found += sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(f"{LATE}{{"))
    return found


def checked(verdict) -> None:
    assert verdict.violations == 0, verdict.document()
    assert verdict.promised == verdict.finished_jobs == verdict.states["succeeded"]


def test_jobs_whose_consumers_are_killed_end_once_each_with_one_charge():
    async def main():
        async with platform(19400, 100) as (stack, clients, valkey, kafka):
            killing = asyncio.create_task(kill_at_random(stack, random.Random(11), 6))
            await clients.submit(range(JOBS), rate=40.0)
            await killing
            await drained(valkey, 60.0)
            verdict = await judge(clients, valkey, TENANT, kafka)
            checked(verdict)
            assert verdict.promised == JOBS
            assert verdict.attempts > JOBS  # the kills hit something

    asyncio.run(main())


def test_writes_of_a_consumer_that_stood_still_for_too_long_are_refused_and_counted():
    async def main():
        async with platform(19500, 500) as (stack, clients, valkey, kafka):
            await clients.submit(range(24))
            await asyncio.sleep(1.5)
            (pid,) = stack.pids(stack.jobs_name(0))
            os.kill(pid, signal.SIGSTOP)
            try:
                # Its lease and its session are over, and the other consumer has begun its parts.
                await asyncio.sleep(SESSION_MS / 1000 + 6)
            finally:
                os.kill(pid, signal.SIGCONT)
            await drained(valkey, 60.0)
            verdict = await judge(clients, valkey, TENANT, kafka)
            checked(verdict)
            assert await asyncio.to_thread(late, stack) > 0

    asyncio.run(main())
