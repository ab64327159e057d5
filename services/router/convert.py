"""Wire types to domain types and back."""

from __future__ import annotations

from headrace.inference.v1 import inference_pb2 as inference
from headrace.router.v1 import router_pb2 as router

from libs.block_hash import unpacked
from services.router.domain.catalog import Catalog, Entry
from services.router.domain.outcomes import Outcomes
from services.router.domain.worker import Description, StateMessage, Worker
from services.router.usecases.placing import Placed, PlaceQuery

# Times of first tokens up to 2^63 ms: more buckets than that mean nothing.
BUCKETS_MAX = 64
NOBODY: frozenset[str] = frozenset()


def state_message(wire: inference.WatchStateResponse) -> StateMessage:
    """A state message as the registry takes it. Its blocks are taken out of `wire`: they may be megabytes."""
    stored, dropped = wire.stored, wire.dropped
    wire.ClearField("stored")
    wire.ClearField("dropped")
    return StateMessage(
        boot_id=wire.boot_id,
        sequence=wire.sequence,
        snapshot=wire.snapshot,
        running=wire.running,
        waiting=wire.waiting,
        draining=wire.draining,
        healthy=wire.healthy,
        wire=wire,
        kv_use=wire.kv_use,
        queue_ms=wire.queue_ms,
        stored=unpacked(stored) if stored else None,
        dropped=unpacked(dropped) if dropped else None,
        cleared=wire.cleared,
        blocks_held=wire.blocks_held,
    )


def description(wire: inference.DescribeModelResponse) -> Description:
    """A description as the registry takes it."""
    return Description(
        wire.worker,
        wire.boot_id,
        wire.model,
        tuple(wire.pools),
        wire.model_digest,
        wire,
        block_tokens=wire.capacity.block_tokens,
        blocks=wire.capacity.blocks,
        running_max=wire.capacity.running_max,
        kv_events=wire.capabilities.kv_events,
    )


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
        wire.prompt_tokens,
        unpacked(wire.blocks),
        wire.root_session,
    )


def place_response(placed: Placed) -> router.PlaceResponse:
    """What Place answers."""
    places, version, uncertain, predicted = placed
    response = router.PlaceResponse(binding_version=version, binding_uncertain=uncertain, predicted=predicted)
    add = response.candidates.add  # in place: messages that are made first are copied
    for worker, reason, cached_tokens, cost, _ in places:
        said = worker.description
        assert said is not None  # noqa: S101 -- pools hold described workers
        add(
            worker=said.worker,
            address=worker.address,
            boot_id=said.boot_id,
            model_digest=said.model_digest,
            reason=reason,
            load=worker.load,
            cached_tokens=cached_tokens,
            cost=cost,
        )
    return response


def outcomes(wire: router.ReportRequest) -> list[Outcomes]:
    """A gateway's report."""
    return [
        Outcomes(
            worker=told.worker,
            boot_id=told.boot_id,
            model=told.model,
            variant=told.variant,
            attempts=told.attempts,
            failures=told.failures,
            refusals=told.refusals,
            ttft_buckets=tuple(told.ttft_buckets[:BUCKETS_MAX]),
            cached_tokens_predicted=told.cached_tokens_predicted,
            cached_tokens_reported=told.cached_tokens_reported,
            predictions=told.predictions,
        )
        for told in wire.outcomes
    ]


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
