from libs.telemetry.metrics import Registry
from libs.testing.clock import FakeClock
from services.router.domain.binding_cache import BindingCache
from services.router.domain.outcomes import Outcomes
from services.router.domain.registry import Registry as Workers
from services.router.metrics import RouterMetrics
from services.router.usecases.fleet import Fleet
from tests.unit.services.router.fake_store import FakeStore


def test_what_happens_can_be_scraped():
    registry, store = Registry(), FakeStore()
    metrics = RouterMetrics(registry)
    metrics.watch(Fleet(Workers(["a:1", "b:1"], 1.0), FakeClock()), BindingCache(1, 1.0), store)
    metrics.placed("bound")
    metrics.bound("moved")
    metrics.reported(
        Outcomes(
            "w",
            "b1",
            "m",
            attempts=9,
            failures=2,
            refusals=3,
            cached_tokens_predicted=70,
            cached_tokens_reported=64,
            predictions=2,
        )
    )
    store.up = False
    text = registry.render()[1].decode()
    for line in [
        'headrace_router_places_total{reason="bound"} 1.0',
        'headrace_router_bindings_total{outcome="moved"} 1.0',
        'headrace_router_workers{state="unreachable"} 2.0',
        'headrace_router_workers{state="live"} 0.0',
        "headrace_router_store_up 0.0",
        'headrace_router_reported_attempts_total{outcome="failed",worker="w"} 2.0',
        'headrace_router_reported_attempts_total{outcome="refused",worker="w"} 3.0',
        'headrace_router_reported_attempts_total{outcome="other",worker="w"} 4.0',
        'headrace_router_cached_tokens_total{kind="predicted",worker="w"} 70.0',
        'headrace_router_cached_tokens_total{kind="reported",worker="w"} 64.0',
        'headrace_router_predictions_total{worker="w"} 2.0',
    ]:
        assert line in text
