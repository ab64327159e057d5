"""What an event costs: CPU per message to write, read, sign and verify one, against protobuf's own.

python -m loadtests.kafka_events
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from statistics import median

from headrace.events.v1.jobs_pb2 import JobRequested

from libs.kafka.events import decode, event_record
from libs.kafka.handling import Delivery
from libs.kafka.signature import sign, verify
from loadtests.common.report import emit

SECRET = b"s" * 32
EVENT = JobRequested(tenant="acme", part=JobRequested.Part(job="job_" + "a" * 24, part=3))


def steps() -> dict[str, Callable[[], object]]:
    """What is measured, by name."""
    made = event_record(topic="t", key=b"acme/job", value=EVENT, source="headrace/jobs", id="e1", time=1.7e9)
    signed = sign(made, SECRET)
    plain = Delivery("t", 0, 0, made.key, made.value, dict(made.headers))
    carried = Delivery("t", 0, 0, signed.key, signed.value, dict(signed.headers))
    return {
        "protobuf_write": EVENT.SerializeToString,
        "write": lambda: event_record(
            topic="t", key=b"acme/job", value=EVENT, source="headrace/jobs", id="e1", time=1.7e9
        ),
        "protobuf_read": lambda: JobRequested.FromString(made.value),
        "read": lambda: decode(plain, JobRequested),
        "sign": lambda: sign(made, SECRET),
        "verify": lambda: verify(carried, lambda _: (SECRET,)),
    }


def microseconds(step: Callable[[], object], calls: int) -> float:
    """CPU per call."""
    began = time.process_time()
    for _ in range(calls):
        step()
    return (time.process_time() - began) / calls * 1e6


def main() -> int:
    """Returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=50_000)
    parser.add_argument("--rounds", type=int, default=7)
    given = parser.parse_args()
    measured: dict[str, list[float]] = {}
    for _ in range(given.rounds):  # in turn, so that what disturbs one disturbs all
        for name, step in steps().items():
            measured.setdefault(name, []).append(microseconds(step, given.calls))
    emit(
        "kafka_events", {"cpu_microseconds": {name: round(median(times), 2) for name, times in measured.items()}}, None
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
