"""The idempotent producer: acks from all in-sync replicas, no repeats within one connection's life, order per key."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import partial

from kafka import KafkaProducer

from libs.kafka.client import client_config, open_client, translated
from libs.kafka.errors import BrokerUnavailableError, RecordRefusedError, TopicUnknownError
from libs.kafka.ports import Record, TopicSpec
from libs.kafka.settings import KafkaSettings
from libs.kafka.thread import OneThread
from libs.kafka.topics import prepare_topics

BATCH_BYTES = 256 * 1024


class IdempotentProducer:
    """Implements `Producer`. Connects at the first `send`, and again after every failure.

    A failed batch leaves its connection in doubt, so the producer id goes with it: what the next one sends cannot be
    taken for a part of the old one's sequence. Repeats across such a change are the reader's to drop (`Seen`).
    """

    def __init__(self, settings: KafkaSettings, topics: Sequence[TopicSpec] = ()) -> None:
        self._settings, self._topics = settings, tuple(topics)
        self._thread = OneThread("kafka-producer")
        self._client: KafkaProducer | None = None
        self._present: frozenset[str] = frozenset()
        self._closed = False

    async def send(self, records: Sequence[Record]) -> None:
        """See `Producer`."""
        if self._closed:
            raise BrokerUnavailableError("This Kafka producer is closed: the process is ending.")
        self._refuse_large(records)
        if records:
            await self._thread.run(partial(self._send, tuple(records)))

    async def close(self) -> None:
        """See `Producer`."""
        if self._closed:
            return
        self._closed = True
        try:
            async with asyncio.timeout(self._settings.close_timeout_ms / 1000):
                await self._thread.run(self._drop)
        except TimeoutError:  # a batch still waits for its acknowledgement: its `send` fails here and now
            if (client := self._client) is not None:
                client._sender.force_close()
        self._thread.stop()

    def _refuse_large(self, records: Sequence[Record]) -> None:
        """Before anything is sent, so that a batch with a bad record leaves no part of itself behind."""
        limit = self._settings.record_bytes_max
        if large := next((record for record in records if record.size_bytes > limit), None):
            raise RecordRefusedError(
                f"A record for {large.topic} has {large.size_bytes} bytes; kafka.record_bytes_max allows {limit}. "
                "Raise it together with the topic's max.message.bytes."
            )

    def _send(self, records: Sequence[Record]) -> None:
        end = time.monotonic() + self._settings.send_timeout_ms / 1000
        try:
            with translated(self._settings, "acknowledge a batch"):
                client = self._connected()
                self._refuse_unknown(records)
                futures = [
                    client.send(record.topic, record.value, key=record.key, headers=list(record.headers))
                    for record in records
                ]
                for future in futures:
                    future.get(max(end - time.monotonic(), 0.0))
        except Exception:
            self._drop()
            raise

    def _connected(self) -> KafkaProducer:
        if self._client is None:
            self._present = prepare_topics(self._settings, self._topics)
            self._client = open_client(KafkaProducer, **self._options())
        return self._client

    def _options(self) -> dict[str, object]:
        settings = self._settings
        return client_config(settings) | {
            "enable_idempotence": True,
            "acks": "all",
            # One: a batch that the broker refuses must not be overtaken by the one behind it.
            "max_in_flight_requests_per_connection": 1,
            "delivery_timeout_ms": settings.send_timeout_ms,
            "max_block_ms": settings.connect_timeout_ms,
            "max_request_size": settings.record_bytes_max + BATCH_BYTES,
            "batch_size": BATCH_BYTES,
            "allow_auto_create_topics": False,
            "metrics_enabled": False,
        }

    def _refuse_unknown(self, records: Sequence[Record]) -> None:
        if unknown := {record.topic for record in records} - self._present:
            raise TopicUnknownError(
                f"Kafka has no topic {', '.join(sorted(unknown))}. Create it, or set kafka.create_topics."
            )

    def _drop(self) -> None:
        client, self._client = self._client, None
        if client is None:
            return
        # `close` first waits for what is unsent, and leaves its threads running when that fails.
        client._sender.force_close()
        with suppress(Exception):  # it is given up either way
            client.close(timeout=self._settings.close_timeout_ms / 1000)
