"""The topics beside a consumed topic T: T.retry-1, T.retry-2, …, T.dead, T.parked."""

from __future__ import annotations

import re
from collections.abc import Sequence

from libs.kafka.ports import TopicSpec

DEAD, PARKED = ".dead", ".parked"
_BESIDE = re.compile(r"(\.retry-[0-9]+|\.dead|\.parked)\Z")


def retry_topic(topic: str, step: int) -> str:
    """The retry topic of a step, from 1."""
    return f"{topic}.retry-{step}"


def dead_topic(topic: str) -> str:
    """Where its dead letters are."""
    return topic + DEAD


def parked_topic(topic: str) -> str:
    """Where its messages of newer schemas are."""
    return topic + PARKED


def consumed_topic(topic: str) -> str:
    """The topic that one of these belongs to; any other topic's name as it is."""
    return _BESIDE.sub("", topic)


def retry_topics(topic: str, steps: int) -> tuple[str, ...]:
    """All retry topics of a topic."""
    return tuple(retry_topic(topic, step) for step in range(1, steps + 1))


def topics_beside(topics: Sequence[TopicSpec], steps: int) -> tuple[TopicSpec, ...]:
    """What has to be there beside the topics. One partition takes the dead and the parked: few, and easily named."""
    return tuple(
        TopicSpec(name, partitions, topic.replication)
        for topic in topics
        for names, partitions in (
            (retry_topics(topic.name, steps), topic.partitions),
            ((dead_topic(topic.name), parked_topic(topic.name)), 1),
        )
        for name in names
    )
