"""A slice of the campaign: three real Kafka nodes, processes and a broker killed while jobs are submitted and run."""

from __future__ import annotations

import asyncio
from argparse import Namespace

import pytest

from loadtests.common.stack import Stack
from loadtests.jobs.campaign import layout, run
from tools.kafka_node import KafkaCluster, fetched

JOBS, KILLS, BROKER_KILLS = 300, 6, 1

pytestmark = [pytest.mark.kafka, pytest.mark.slow, pytest.mark.timeout(420)]


def test_jobs_are_done_once_whatever_is_killed_and_a_replay_of_their_topic_changes_nothing():
    if not fetched():
        pytest.skip("Apache Kafka is not here: make test-kafka fetches it")
    args = Namespace(
        jobs=JOBS, kills=KILLS, broker_kills=BROKER_KILLS, seed=3, parallel=8, rate=20.0, drain_seconds=120.0, replays=3
    )
    with KafkaCluster(3) as cluster, Stack(layout(19700, cluster.settings().brokers)) as stack:
        verdict, facts = asyncio.run(run(stack, cluster, args))
    assert verdict.violations == 0, verdict.document()
    assert verdict.promised == verdict.finished_jobs == verdict.states["succeeded"] == JOBS
    assert sum(facts["killed"].values()) == KILLS + BROKER_KILLS
    assert facts["replayed_messages"] >= 3 * JOBS
    assert facts["replays_changed"] == facts["charges_by_replays"] == 0
