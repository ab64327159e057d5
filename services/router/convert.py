"""Wire types to domain types and back."""

from __future__ import annotations

from headrace.inference.v1 import inference_pb2 as inference
from headrace.router.v1 import router_pb2 as router

from services.router.domain.catalog import Catalog, Entry
from services.router.domain.plan import PlaceReason
from services.router.domain.worker import Description, StateMessage, Worker
from services.router.usecases.placing import Placement, PlaceQuery

NOBODY: frozenset[str] = frozenset()


def state_message(wire: inference.WatchStateResponse) -> StateMessage:
    """A state message as the registry takes it."""
    return StateMessage(
        boot_id=wire.boot_id,
        sequence=wire.sequence,
        snapshot=wire.snapshot,
        running=wire.running,
        waiting=wire.waiting,
        draining=wire.draining,
        healthy=wire.healthy,
        wire=wire,
    )


def description(wire: inference.DescribeModelResponse) -> Description:
    """A description as the registry takes it."""
    return Description(wire.worker, wire.boot_id, wire.model, tuple(wire.pools), wire.model_digest, wire)


def place_query(wire: router.PlaceRequest) -> PlaceQuery:
    """What Place asks."""
    excluded = wire.exclude_workers
    return PlaceQuery(
        wire.tenant,
        wire.model,
        wire.model_digest,
        wire.session,
        wire.affinity_key,
        frozenset(excluded) if excluded else NOBODY,
    )


def place_response(placement: Placement) -> router.PlaceResponse:
    """What Place answers."""
    places, version, uncertain = placement
    return router.PlaceResponse(
        candidates=[_candidate(worker, reason) for worker, reason in places],
        binding_version=version,
        binding_uncertain=uncertain,
    )


def _candidate(worker: Worker, reason: PlaceReason) -> router.Candidate:
    said = worker.description
    assert said is not None  # noqa: S101 -- pools hold described workers
    return router.Candidate(
        worker=said.worker,
        address=worker.address,
        boot_id=said.boot_id,
        model_digest=said.model_digest,
        reason=reason,
        load=worker.load,
    )


def models(catalog: Catalog) -> router.WatchModelsResponse:
    """The whole catalog."""
    return router.WatchModelsResponse(models=[_model(entry) for entry in catalog.entries.values()])


def _model(entry: Entry) -> router.Model:
    return router.Model(
        name=entry.name,
        pool=entry.alias,
        description=entry.description.wire,
        # All variants: a bound session or a resumed stream may need a worker of an older digest.
        addresses=sorted(worker.address for pool in entry.variants.values() for worker in pool.workers),
    )


def worker(seen: Worker) -> router.Worker:
    """What ListWorkers says of one worker."""
    said = seen.description
    return router.Worker(
        worker=seen.name,
        address=seen.address,
        boot_id=seen.boot_id,
        state=seen.state,
        last=seen.last.wire if seen.last else None,
        model=said.model if said else "",
        pools=said.pools if said else (),
        in_flight=len(seen.recent),
    )
