"""Which names clients may use and which workers serve them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from services.router.domain.worker import Description, Worker, WorkerState


@dataclass(frozen=True, slots=True, eq=False)
class Pool:
    """Live workers of one name, all of one digest. `predicted`: all of them tell which blocks they hold.

    `by_name` is for bindings: it has the ejected as well, which keep their sessions though nobody is sent there.
    """

    workers: tuple[Worker, ...]
    by_name: Mapping[str, Worker]
    predicted: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Entry:
    """One name. `description` is of the variant that new sessions get; `variants` has a pool per digest.

    A name whose workers are all away keeps its description, with an empty `default` pool: that is "no worker now"
    (503), not "no such model" (404).
    """

    name: str
    alias: bool
    description: Description
    default: Pool
    variants: Mapping[str, Pool]


@dataclass(frozen=True, slots=True, eq=False)
class Catalog:
    """All names, sorted."""

    entries: Mapping[str, Entry]
    generation: int


def build_catalog(workers: Iterable[Worker], generation: int) -> Catalog:
    """The catalog of all `workers` that have ever been described; the live ones fill its pools."""
    served: dict[str, list[Worker]] = {}
    for worker in workers:
        if worker.description:
            for name in dict.fromkeys((worker.description.model, *worker.description.pools)):
                served.setdefault(name, []).append(worker)
    return Catalog({name: _entry(name, served[name]) for name in sorted(served)}, generation)


def _entry(name: str, workers: list[Worker]) -> Entry:
    ejected = [worker for worker in workers if worker.state is WorkerState.EJECTED]
    # When all others are lost, one that does badly is better than nobody.
    live = [worker for worker in workers if worker.state is WorkerState.LIVE] or ejected
    chosen = default_digest(_digest(worker) for worker in live or workers)
    variants = {
        digest: _pool(_of_digest(live, digest), _of_digest(ejected, digest))
        for digest in {_digest(worker) for worker in live}
    }
    said = [worker.description for worker in live or workers if worker.description and _digest(worker) == chosen]
    # Gateways hash prompts as it says: by one that is gone, or tells no blocks, nothing would be found at the others.
    description = next((each for each in said if each.kv_events), said[0])
    return Entry(name, name != description.model, description, variants.get(chosen, _pool([], [])), variants)


def default_digest(digests: Iterable[str]) -> str:
    """The variant of new sessions: the one with most workers, of equals the smallest, so that replicas agree."""
    counts = Counter(digests)
    return min(counts, key=lambda digest: (-counts[digest], digest))


def _digest(worker: Worker) -> str:
    return worker.description.model_digest if worker.description else ""


def _of_digest(workers: list[Worker], digest: str) -> list[Worker]:
    return [worker for worker in workers if _digest(worker) == digest]


def _pool(workers: list[Worker], ejected: list[Worker]) -> Pool:
    # Two processes of one name (a replacement that overlaps): one of them is the name's.
    by_name = {worker.name: worker for worker in sorted(workers, key=lambda worker: worker.address)}
    ordered = tuple(by_name[name] for name in sorted(by_name))
    predicted = all(worker.kv_events for worker in ordered)
    return Pool(ordered, {worker.name: worker for worker in ejected} | by_name, predicted)
