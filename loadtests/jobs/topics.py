"""What consumer groups have read, and topics that are said again from their beginning."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import closing

from kafka import TopicPartition
from kafka.admin import KafkaAdminClient, OffsetSpec

from libs.kafka import KafkaSettings, Record
from libs.kafka.client import client_config, open_client
from libs.kafka.producer import IdempotentProducer
from libs.kafka.reader import TopicReader

REQUESTED = "headrace.jobs.requested.v1"
FINISHED = "headrace.jobs.finished.v1"
_BATCH = 500


def lag(settings: KafkaSettings, topics: Sequence[str], group: str) -> int:
    """Messages of these topics that the group has not committed. A partition without a commit counts whole. Blocks."""
    with closing(open_client(KafkaAdminClient, **client_config(settings))) as admin:
        described = admin.describe_topics(list(topics))
        partitions = [
            TopicPartition(each["name"], part["partition_index"]) for each in described for part in each["partitions"]
        ]
        ends = admin.list_partition_offsets(dict.fromkeys(partitions, OffsetSpec.LATEST))
        begins = admin.list_partition_offsets(dict.fromkeys(partitions, OffsetSpec.EARLIEST))
        committed = admin.list_group_offsets({group: None})[group]
    read = {at: committed[at].offset if at in committed else begins[at].offset for at in partitions}
    return sum(max(0, ends[at].offset - read[at]) for at in partitions)


async def caught_up(settings: KafkaSettings, topics: Sequence[str], group: str, seconds: float) -> float:
    """Waits until the group has committed all of these topics; how long that took. Raises TimeoutError."""
    began = time.monotonic()
    while (left := await asyncio.to_thread(lag, settings, topics, group)) > 0:
        if time.monotonic() - began > seconds:
            raise TimeoutError(
                f"{group} still has {left} messages of {', '.join(topics)} to read after {seconds:.0f} s"
            )
        await asyncio.sleep(0.5)
    return time.monotonic() - began


async def replay(settings: KafkaSettings, topic: str) -> int:
    """Says everything again that the topic holds, in its order, with the same keys, values and headers; how much."""
    producer, count = IdempotentProducer(settings), 0
    try:
        records = [stored.record async for batch in TopicReader(settings).read_all(topic) for stored in batch]
        for start in range(0, len(records), _BATCH):
            await producer.send([Record(topic, r.key, r.value, r.headers) for r in records[start : start + _BATCH]])
            count += len(records[start : start + _BATCH])
    finally:
        await producer.close()
    return count
