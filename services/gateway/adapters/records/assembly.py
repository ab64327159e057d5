"""Puts the keeping of request records together."""

from __future__ import annotations

from collections.abc import Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from libs.blobs import LocalBlobs
from libs.clock import Clock
from libs.telemetry.metrics import Registry
from libs.valkey import Valkey
from services.gateway.adapters.records.index import ValkeyRecordIndex
from services.gateway.adapters.records.metrics import RecordMetrics
from services.gateway.domain.redaction import PatternRedactor
from services.gateway.ports import AccountStore
from services.gateway.usecases.records.reader import RecordReader
from services.gateway.usecases.records.recorder import Recorder, RecorderLimits
from services.gateway.usecases.records.retention import Retention
from services.gateway.usecases.records.texts import TextFiller
from services.gateway.usecases.records.writer import RecordWriter, Stores


@dataclass(frozen=True, slots=True)
class RecordOptions:
    """What the records need to know of their place; `name` is unique to this life of the gateway."""

    name: str
    directory: Path
    fsync: bool = True
    flush_seconds: float = 2.0
    purge_seconds: float = 3600.0
    redact_addresses: bool = False
    limits: RecorderLimits = field(default_factory=RecorderLimits)


@dataclass(frozen=True, slots=True)
class RecordParts:
    """`recorder` observes calls, `writer` is to be started and closed, `purge` to be run."""

    recorder: Recorder
    writer: RecordWriter
    reader: RecordReader
    retention: Retention

    def purge(self) -> Coroutine[Any, Any, None]:
        """Deletes what is past its days, for ever."""
        return self.retention.run()


def record_parts(
    valkey: Valkey, store: AccountStore, clock: Clock, registry: Registry, options: RecordOptions
) -> RecordParts:
    """All parts. `valkey` had better be a client of its own: its bursts are not to delay the commands of calls."""
    watch = RecordMetrics(registry)
    blobs = LocalBlobs(options.directory, fsync=options.fsync)
    index = ValkeyRecordIndex(valkey, clock)
    recorder = Recorder(clock, watch, options.limits)
    watch.read_from(lambda: len(recorder))
    filler = TextFiller(PatternRedactor(addresses=options.redact_addresses), options.limits.text_characters_max)
    stores = Stores(blobs, index)
    writer = RecordWriter(
        recorder, filler, stores, clock, watch, name=options.name, flush_seconds=options.flush_seconds
    )
    reader = RecordReader(recorder, index, blobs)
    return RecordParts(
        recorder, writer, reader, Retention(blobs, store, clock, watch, every_seconds=options.purge_seconds)
    )
