"""The topics beside a consumed topic T: T.retry-1, T.retry-2, …, T.dead, T.parked."""

from __future__ import annotations

import re
from collections.abc import Sequence

from libs.kafka.letter_settings import LetterSettings
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


def topics_beside(topics: Sequence[TopicSpec], settings: LetterSettings) -> tuple[TopicSpec, ...]:
    """What has to be there beside the topics. One partition takes the dead and the parked: few, and easily named."""
    kept_ms = round(settings.keep_days * 86_400_000)
    return tuple(beside for topic in topics for beside in _beside(topic, settings.steps, kept_ms))


def _beside(topic: TopicSpec, steps: int, kept_ms: int) -> list[TopicSpec]:
    retries = [TopicSpec(name, topic.partitions, topic.replication) for name in retry_topics(topic.name, steps)]
    aside = (dead_topic(topic.name), parked_topic(topic.name))
    return [*retries, *(TopicSpec(name, 1, topic.replication, kept_ms) for name in aside)]
