from __future__ import annotations

import asyncio
from collections.abc import Iterator
from types import SimpleNamespace

import kafka.errors as theirs
import pytest
from kafka import TopicPartition

from libs.kafka.consumer.handover import CommitRequest, Handover
from libs.kafka.consumer.kafka_member import KafkaMember
from libs.kafka.settings import ConsumerSettings, KafkaSettings
from libs.testing.loop import run_real

AT = TopicPartition("t", 0)


@pytest.fixture
def member() -> Iterator[KafkaMember]:
    """Of a group that it has joined, with one partition."""
    loop = asyncio.new_event_loop()
    made = KafkaMember(KafkaSettings(brokers=("b:1",)), ConsumerSettings(), "group", (), Handover(loop))
    made._client = SimpleNamespace(_coordinator=SimpleNamespace(need_rejoin=lambda: False, generation_if_stable=object))
    run_real(made._claims.on_partitions_assigned([AT]))
    yield made
    loop.close()


def refuse(member: KafkaMember) -> list[object]:
    answers: list[object] = []
    member._not_committed(CommitRequest({member._claims.of(AT): 5}, answers.append), theirs.CommitFailedError())
    return answers


def test_a_refused_member_that_the_client_goes_on_with_is_given_up(member: KafkaMember) -> None:
    """The consumer has dropped the partition, so what comes of it would be handled by nobody."""
    member._leave_refused()
    claim = member._claims.of(AT)
    assert refuse(member) == [[claim]]
    with pytest.raises(theirs.UnknownMemberIdError):
        member._leave_refused()


def test_a_refused_member_that_the_client_joins_again_with_goes_on(member: KafkaMember) -> None:
    refuse(member)
    member._client._coordinator.generation_if_stable = lambda: None
    member._leave_refused()
    run_real(member._claims.on_partitions_lost([AT]))
    run_real(member._claims.on_partitions_assigned([AT]))
    member._client._coordinator.generation_if_stable = object
    member._leave_refused()
    assert member._claims.find(AT) is not None
