"""CPU of the router's Place for a bound, cached session: parse, place, serialise; no transport.

python -m loadtests.router_place [--workers 4] [--sessions 10000] [--rounds 5] [--calls 20000]

Prints JSON: microseconds of process CPU per call, median of the rounds, whole and by part (rounds are interleaved).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import time
from collections.abc import Awaitable, Callable

from headrace.router.v1 import router_pb2 as router

from libs.clock import SystemClock
from libs.rpc.api import CallInfo
from libs.telemetry.metrics import Registry as MetricRegistry
from loadtests.common.choices import choice_ports
from services.router import convert
from services.router.domain.binding import Binding, Bound, SessionKey
from services.router.domain.worker import Description, StateMessage
from services.router.main import Ports, Router, compose
from services.router.settings import RouterSettings

INFO = CallInfo("/headrace.router.v1.RouterService/Place", "gateway-0")


class FirstWins:
    """A store that is as fast as memory: the calls measured never reach it."""

    up = True

    def __init__(self) -> None:
        self._stored: dict[SessionKey, Binding] = {}

    async def bind(self, key: SessionKey, worker: str, version: int) -> Bound:  # noqa: ARG002 -- BindingStore's shape
        """See BindingStore."""
        return Bound(self._stored.setdefault(key, Binding(worker, 1)), written=False)


def no_dial(address: str) -> object:
    """The workers here never connect."""
    raise AssertionError(address)


def make_router(workers: int) -> Router:
    """A router that has heard from `workers` workers."""
    addresses = tuple(f"10.0.0.{n}:8111" for n in range(workers))
    clock = SystemClock()
    made = compose(
        RouterSettings(workers=addresses), Ports(FirstWins(), no_dial, clock, MetricRegistry(), choice_ports())
    )
    for n, address in enumerate(addresses):
        message = StateMessage("b", 1, snapshot=True, running=3, waiting=0, draining=False, healthy=True)
        made.fleet.heard(address, message)
        made.fleet.described(address, Description(f"inference-{n}", "b", "smollm2", ("small",), "d" * 64))
    return made


def requests(sessions: int) -> list[bytes]:
    """Place requests as a gateway sends them."""
    made = (
        router.PlaceRequest(
            request_id=f"chatcmpl-{n:024d}",
            tenant="acme",
            model="small",
            model_digest="d" * 64,
            session=f"session-{n}",
            prompt_tokens=1200,
        )
        for n in range(sessions)
    )
    return [request.SerializeToString() for request in made]


async def cpu_us(work: Callable[[bytes], Awaitable[object]], wires: list[bytes], calls: int) -> float:
    """Microseconds of CPU per call."""
    count = len(wires)
    began = time.process_time_ns()
    for n in range(calls):
        await work(wires[n % count])
    return (time.process_time_ns() - began) / calls / 1000


async def measure(args: argparse.Namespace) -> dict[str, object]:
    """The report."""
    made = make_router(args.workers)
    wires = requests(args.sessions)
    fleet_workers = list(made.fleet.workers)

    async def whole(wire: bytes) -> object:
        return (await made.api.place(router.PlaceRequest.FromString(wire), INFO)).SerializeToString()

    async def parse(wire: bytes) -> object:
        return convert.place_query(router.PlaceRequest.FromString(wire))

    async def nothing(wire: bytes) -> object:
        return wire

    parts = {"whole": whole, "parse": parse, "empty loop": nothing}
    for wire in [*wires, *wires]:  # the first call binds, the second one ranks
        await whole(wire)
    found: dict[str, list[float]] = {name: [] for name in parts}
    for _ in range(args.rounds):
        for name, work in parts.items():
            found[name].append(await cpu_us(work, wires, args.calls))
            for worker in fleet_workers:
                worker.recent.clear()  # as the workers' messages do four times a second
    medians = {name: round(statistics.median(values), 2) for name, values in found.items()}
    return {"workers": args.workers, "sessions": args.sessions, "cpu_us_per_call": medians}


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in [("workers", 4), ("sessions", 10_000), ("rounds", 5), ("calls", 20_000)]:
        parser.add_argument(f"--{name}", type=int, default=default)
    print(json.dumps(asyncio.run(measure(parser.parse_args())), indent=2))


if __name__ == "__main__":
    main()
