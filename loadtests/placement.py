"""What a placement decision costs in the router: 500 sessions, 8 workers, a block index as full as in life.

python -m loadtests.placement [--workers 8] [--sessions 500] [--blocks 40000] [--rounds 7] [--calls 300] [--out FILE]

One process, no transport, the production code from the query on. Each worker tells a system prompt that all have, and
histories of sessions up to `--blocks`; a session's prompt is its history and a new turn. Measured, interleaved, each at
128 and 4,096 blocks:

- `new`: no binding yet, the history is on a worker.
- `cold`: nobody knows the prompt.
- `bound`: the session is bound; the decision is the binding, and the prediction is filled in.
- `bound, no blocks`: what a gateway asks that does not know the blocks.

`decision` is from the query to the plan, as the RPC asks for it; `with wire` has protobuf's parsing and serialising
besides; `noting` is what is left to do behind the reply, before the next decision: writing down what was sent. For
comparison: finding the runs alone, in the index and in a dict of Python integers with the same content, which is how
prefix indexes are commonly written.
Workers speak between calls, outside the clock, as they do four times a second. Medians over rounds of the wall time per
call (p50, p99) and of the process's CPU per call; and the lowest p50 of a round, which other work on the machine moves
least.
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from collections.abc import Callable, Iterator
from itertools import accumulate, repeat
from operator import and_
from typing import Any, NamedTuple

import numpy as np
from headrace.router.v1 import router_pb2 as router

from libs.block_hash import Hashes, packed
from libs.clock import SystemClock
from loadtests.common.report import emit, median, quantile
from services.router import convert
from services.router.composition.placement import caches_of, placement_of
from services.router.domain.binding import Binding, Bound, SessionKey
from services.router.domain.binding_cache import BindingCache
from services.router.domain.plan import PlanRule
from services.router.domain.registry import Registry
from services.router.domain.worker import Description, StateMessage
from services.router.settings import PlacementSettings
from services.router.usecases.fleet import Fleet
from services.router.usecases.placing import PlaceQuery, Placing, PlacingRule

BLOCK_TOKENS = 16
SYSTEM_BLOCKS = 64
LENGTHS = (128, 4096)


class NoStore:
    """Never asked: sessions are known, or calls have none."""

    up = True

    async def bind(self, key: SessionKey, worker: str, version: int) -> Bound:
        """See BindingStore."""
        raise AssertionError(key, worker, version)


class Nobody:
    """An Observer that counts nothing."""

    def placed(self, reason: str) -> None:
        """See Observer."""

    def bound(self, outcome: str) -> None:
        """See Observer."""


class Given(NamedTuple):
    """A prompt that was sent to a worker."""

    query: PlaceQuery
    worker: str


class Scene:
    """A router's view of the workers, and the prompts that come."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.rng = np.random.default_rng(7)
        self.settings = PlacementSettings()
        self.caches = caches_of(self.settings)
        addresses = [f"10.0.0.{n}:8111" for n in range(args.workers)]
        self.registry = Registry(addresses, 1e9, self.caches)
        self.cache = BindingCache(100_000, 600.0)
        self.clock = SystemClock()
        place = self.settings
        self.fleet = Fleet(self.registry, self.clock)
        self.placement = placement_of(place, self.caches, random.Random(7).random)
        self.placing = Placing(
            self.fleet,
            self.cache,
            NoStore(),
            self.placement,
            PlacingRule(PlanRule(place.load_factor, place.places_max), 60.0),
            Nobody(),
            clock=self.clock,
            random=random.Random(7).random,
        )
        self.system = self.hashes(SYSTEM_BLOCKS)
        self.histories: list[Hashes] = []
        self.homes: list[int] = []
        self.sequences = [0] * args.workers
        self.told: list[Hashes] = []
        self.fill(args)

    def hashes(self, count: int) -> Hashes:
        """As those of new blocks."""
        return self.rng.integers(1, 1 << 64, count, dtype=np.uint64)

    def fill(self, args: argparse.Namespace) -> None:
        """Session n is on worker n mod workers. A tenth are 4,096 blocks long, the others of the usual lengths."""
        stored: list[list[Hashes]] = [[self.system] for _ in range(args.workers)]
        room = [args.blocks - SYSTEM_BLOCKS] * args.workers
        for n in range(args.sessions):
            length = 4096 if n % 10 == 0 else int(self.rng.integers(128, 400))
            home = n % args.workers
            history = np.concatenate((self.system, self.hashes(length - SYSTEM_BLOCKS)))
            self.histories.append(history)
            self.homes.append(home)
            if room[home] > length:
                stored[home].append(history[SYSTEM_BLOCKS:])
                room[home] -= length - SYSTEM_BLOCKS
        for n, address in enumerate(self.registry.workers):
            everything = np.concatenate((*stored[n], self.hashes(room[n])))
            self.told.append(everything)
            self.say(n, everything, snapshot=True)
            said = Description(
                f"inference-{n}", "b", "smollm2", (), "d" * 64, block_tokens=BLOCK_TOKENS, blocks=args.blocks,
                running_max=64, kv_events=True,
            )  # fmt: skip
            self.registry.described(address, said)
        for n in range(args.sessions):
            self.cache.put(SessionKey("acme", f"s{n}"), Binding(f"inference-{self.homes[n]}", 1), 1e12)

    def say(
        self, n: int, stored: Hashes | None = None, *, dropped: Hashes | None = None, snapshot: bool = False
    ) -> None:
        """A worker speaks: it has taken in what it was sent."""
        self.sequences[n] += 1
        held = (0 if snapshot else self.caches.index.held(n)) + (0 if stored is None else len(stored))
        held -= 0 if dropped is None else len(dropped)
        message = StateMessage(
            "b", self.sequences[n], snapshot=snapshot, running=3 + n % 3, waiting=n % 2, draining=False, healthy=True,
            kv_use=0.5, stored=stored, dropped=dropped, blocks_held=held,
        )  # fmt: skip
        self.registry.heard(f"10.0.0.{n}:8111", message, self.clock.monotonic() + 1.0)

    def prompt(self, n: int, length: int, *, known: bool) -> Hashes:
        """Of session `n`: its history and a new turn of one in sixteen blocks; or nothing that anybody has."""
        if not known:
            return self.hashes(length)
        fresh = length // 16
        long = [index for index, history in enumerate(self.histories) if len(history) >= length - fresh]
        history = self.histories[long[n % len(long)]]
        return np.concatenate((history[: length - fresh], self.hashes(fresh)))

    def session(self, prompt: Hashes) -> str:
        """Whose history a prompt begins with."""
        return next(f"s{n}" for n, history in enumerate(self.histories) if history[100] == prompt[100])

    def between(self, given: list[object]) -> None:
        """What goes on outside the clock: workers compute what they were sent, tell it, and drop it again."""
        for placed in given:
            if isinstance(placed, Given):
                n = int(placed.worker.rpartition("-")[2])
                run = self.caches.index.runs(placed.query.blocks).of([n])[0] if len(placed.query.blocks) else 0
                fresh = np.unique(placed.query.blocks[run:])
                self.say(n, fresh)
                self.say(n, dropped=fresh)
        for n in range(len(self.sequences)):
            self.say(n)


def wire_of(blocks: Hashes, session: str, *, with_blocks: bool) -> bytes:
    """A PlaceRequest as a gateway sends it."""
    return router.PlaceRequest(
        request_id="chatcmpl-" + "0" * 24,
        tenant="acme",
        model="smollm2",
        model_digest="d" * 64,
        session=session,
        prompt_tokens=len(blocks) * BLOCK_TOKENS + 7,
        blocks=packed(blocks) if with_blocks else b"",
    ).SerializeToString()


def cases(scene: Scene, calls: int) -> Iterator[tuple[str, int, list[bytes]]]:
    """Name, blocks, and the requests of each."""
    for length in LENGTHS:
        known = [scene.prompt(n, length, known=True) for n in range(min(calls, 100))]
        cold = [scene.prompt(n, length, known=False) for n in range(min(calls, 100))]
        yield "new", length, [wire_of(each, "", with_blocks=True) for each in known]
        yield "cold", length, [wire_of(each, "", with_blocks=True) for each in cold]
        yield "bound", length, [wire_of(each, scene.session(each), with_blocks=True) for each in known]
        yield "bound, no blocks", length, [wire_of(each, scene.session(each), with_blocks=False) for each in known]


def timed(
    work: Callable[[Any], object],
    items: list[Any],
    calls: int,
    between: Callable[[list[object]], None],
    after: Callable[[], None] | None = None,
) -> list[dict[str, Any]]:
    """Microseconds of wall time of each call, and of CPU per call; the same of `after`, which follows each call.

    `between` gets what the last 16 calls gave.
    """
    walls, cpu, later, later_cpu = [], 0, [], 0
    given: list[object] = []
    for n in range(calls):
        item = items[n % len(items)]
        if n % 16 == 0:
            between(given)
            given = []
        cpu_began, began = time.process_time_ns(), time.perf_counter_ns()
        result = work(item)
        walls.append((time.perf_counter_ns() - began) / 1000)
        cpu += time.process_time_ns() - cpu_began
        given.append(result)
        if after is not None:
            cpu_began, began = time.process_time_ns(), time.perf_counter_ns()
            after()
            later.append((time.perf_counter_ns() - began) / 1000)
            later_cpu += time.process_time_ns() - cpu_began
    between(given)
    return [{"walls": walls, "cpu": cpu / calls / 1000}, {"walls": later, "cpu": later_cpu / calls / 1000}]


def works(scene: Scene) -> dict[str, Callable[[Any], object]]:
    """What is timed for each case: (query, wire) in, anything out."""

    def decide(item: tuple[PlaceQuery, bytes]) -> object:
        found = scene.placing.at_once(item[0])
        assert found is not None  # noqa: S101 -- no case needs the store
        return Given(item[0], found.places[0].worker.name)

    def whole(item: tuple[PlaceQuery, bytes]) -> object:
        query = convert.place_query(router.PlaceRequest.FromString(item[1]))
        found = scene.placing.at_once(query)
        assert found is not None  # noqa: S101 -- no case needs the store
        convert.place_response(found).SerializeToString()
        return Given(query, found.places[0].worker.name)

    return {"decision": decide, "with wire": whole}


def dict_runs(scene: Scene) -> Callable[[Hashes], object]:
    """The same content in a dict: hash to bits of workers; a pass at C's speed, as far as Python has it."""
    table: dict[int, int] = {}
    for n, held in enumerate(scene.told):
        for block in held.tolist():
            table[block] = table.get(block, 0) | 1 << n

    def runs(blocks: Hashes) -> object:
        return list(accumulate(map(table.get, blocks.tolist(), repeat(0)), and_))

    return runs


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """The report."""
    scene = Scene(args)
    every = list(cases(scene, args.calls))
    found: dict[str, dict[str, list[Any]]] = {}
    plain, runs = dict_runs(scene), scene.caches.index.runs
    for _ in range(args.rounds):
        for name, length, wires in every:
            items = [(convert.place_query(router.PlaceRequest.FromString(wire)), wire) for wire in wires]
            for part, work in works(scene).items():
                result, noting = timed(work, items, args.calls, scene.between, scene.placing.note)
                _keep(found, f"{name}, {length} blocks: {part}", result)
                if part == "decision":
                    _keep(found, f"{name}, {length} blocks: noting", noting)
            if name == "new":
                blocks = [query.blocks for query, _ in items]
                _keep(found, f"runs, {length} blocks: index", timed(runs, blocks, args.calls, _no)[0])
                _keep(found, f"runs, {length} blocks: dict", timed(plain, blocks, args.calls, _no)[0])
        _keep(found, "message of a worker with 16 stored blocks", events(scene, args.calls))
    return {
        "sessions": args.sessions,
        "workers": args.workers,
        "blocks_indexed": scene.caches.index.blocks,
        "index_bytes_per_block": round(scene.caches.index.bytes_used / scene.caches.index.blocks, 1),
        "us": {name: _summary(kept) for name, kept in found.items()},
    }


def events(scene: Scene, calls: int) -> dict[str, Any]:
    """A worker says what it stored; what it stored is dropped again outside the clock."""
    batches = [scene.hashes(16) for _ in range(calls)]
    result = timed(lambda batch: scene.say(0, batch), batches, calls, _no)[0]
    scene.caches.index.drop(0, np.concatenate(batches))
    return result


def _no(given: list[object]) -> None:
    pass


def _keep(found: dict[str, dict[str, list[Any]]], name: str, result: dict[str, Any]) -> None:
    kept = found.setdefault(name, {"walls": [], "cpu": []})
    kept["walls"].append(result["walls"])
    kept["cpu"].append(result["cpu"])


def _summary(kept: dict[str, list[Any]]) -> dict[str, float]:
    """Medians over rounds, and the lowest p50 of one."""
    return {
        "wall_p50": round(median([statistics.median(walls) for walls in kept["walls"]]), 1),
        "wall_p50_least": round(min(statistics.median(walls) for walls in kept["walls"]), 1),
        "wall_p99": round(median([quantile(walls, 0.99) for walls in kept["walls"]]), 1),
        "cpu": round(median(kept["cpu"]), 1),
    }


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    defaults = [("workers", 8), ("sessions", 500), ("blocks", 40_000), ("rounds", 7), ("calls", 300)]
    for name, default in defaults:
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--out")
    args = parser.parse_args()
    emit("placement", measure(args), args.out)


if __name__ == "__main__":
    main()
