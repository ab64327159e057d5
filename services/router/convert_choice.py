"""Wire types of Choose and of variants to domain types and back, and the names that are routed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from headrace.router.v1 import router_pb2 as router

from services.router import convert
from services.router.domain.catalog import Catalog
from services.router.domain.classifier.facts import TurnFacts
from services.router.domain.policy.wish import Mode
from services.router.domain.tiers import Tiers
from services.router.domain.variants.split import Split
from services.router.domain.variants.tally import percentile_ms
from services.router.usecases.choosing import ChooseQuery, Chosen, Decision
from services.router.usecases.variants import Told


def choose_query(wire: router.ChooseRequest) -> ChooseQuery:
    """What Choose asks."""
    return ChooseQuery(
        wire.tenant,
        wire.model,
        wire.session,
        wire.affinity_key,
        _facts(wire.turn),
        wire.min_tier,
        tuple(wire.models_allowed),
    )


def _facts(turn: router.Turn) -> TurnFacts:
    return TurnFacts(
        text=turn.text,
        text_characters=turn.text_characters,
        system_characters=turn.system_characters,
        context_characters=turn.context_characters,
        user_turns=turn.user_turns,
        tools=turn.tools,
        tool_depth=turn.tool_depth,
        tool_errors=turn.tool_errors,
        repeats=turn.repeats,
        structured=turn.structured,
    )


def choose_response(chosen: Chosen) -> router.ChooseResponse:
    """What Choose answers."""
    choices = [
        router.ModelChoice(model=pick.model, reason=pick.reason, tier=pick.tier, variant=pick.variant, pool=pick.pool)
        for pick in chosen.picks
    ]
    decision = chosen.decision
    return router.ChooseResponse(choices=choices, decision=None if decision is None else _decision(decision))


def _decision(decision: Decision) -> router.Decision:
    judged = decision.judgement
    wire = router.Decision(
        tier=decision.tier,
        why=decision.why,
        previous_tier=decision.previous or "",
        switch_cost_nanodollars=decision.switch_cost,
    )
    if judged is not None:
        wire.unsure = judged.unsure
        if judged.small_probability is not None:
            wire.small_probability = judged.small_probability
        wire.features.extend([router.Feature(name=name, weight=pull) for name, pull in judged.features])
    return wire


def models(catalog: Catalog, tiers: Tiers, splits: Mapping[str, Split]) -> router.WatchModelsResponse:
    """The whole catalog, with the names that Choose is to be asked for."""
    found = convert.models(catalog)
    known = {model.name: model for model in found.models}
    for pool, split in splits.items():
        if pool in known:
            known[pool].routed = True
        else:
            _stand_in(found, pool, [each.model for each in split.variants], known)
    known = {model.name: model for model in found.models}
    if tiers:
        pools = [each.pool for each in tiers.all_pools()]
        for mode in Mode:
            if mode not in known:
                _stand_in(found, mode, pools, known)
    return found


def _stand_in(
    found: router.WatchModelsResponse, name: str, models: Iterable[str], known: Mapping[str, router.Model]
) -> None:
    """A name without workers of its own, described as the first live one behind it; left out while none is known."""
    behind = [known[model] for model in models if model in known]
    shown = next((model for model in behind if model.addresses), next(iter(behind), None))
    if shown is not None:
        found.models.add(name=name, pool=True, description=shown.description, addresses=shown.addresses, routed=True)


def pool_variants(split: Split, told: Sequence[Told]) -> router.PoolVariants:
    """How a pool is split and how its variants do."""
    return router.PoolVariants(pool=split.pool, version=split.version, variants=[_variant(each) for each in told])


def _variant(told: Told) -> router.Variant:
    return router.Variant(
        name=told.variant.name,
        model=told.variant.model,
        weight=told.variant.weight,
        stopped=told.variant.stopped,
        attempts=told.attempts,
        failures=told.failures,
        ttft_ms_p50=percentile_ms(told.recent.buckets, 0.5),
        ttft_ms_p95=percentile_ms(told.recent.buckets, 0.95),
    )
