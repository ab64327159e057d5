"""How an answer came about, in the reply and in the record."""

from __future__ import annotations

import msgspec

from services.gateway.domain.plan import Candidate
from services.gateway.domain.route import Choice, Decision, PassedOver, Route, Skipped, told
from services.gateway.domain.route_record import KEPT_MAX, RouteRecord, route_record


def routed():
    decision = Decision("large", 0.1834, why="maths", features=(("maths", 1.25),), previous_tier="small", switch_cost=5)
    choices = (Choice("big one", "classified", "large"), Choice("s", "fallback-down", "small", "b", "pool"))
    return Route("auto", choices, decision, used=1, passed_over=[PassedOver("big one", "NO_WORKER", tried=True)])


def test_the_words_of_a_reply():
    assert told(Route("m"), "w1", "bound") == "model=m; reason=named; worker=w1; placed=bound"
    assert told(routed(), "w 2", "prefix") == (
        "model=s; tier=small; reason=fallback-down; p-small=0.18; variant=b; worker=w%202; placed=prefix; fallbacks=1"
    )
    assert told(Route("m", replayed_from="r7"), "", "") == "model=m; reason=named; cached-answer=r7"


def test_no_name_can_break_the_words():
    words = told(Route("a;b\r\nx: y", (Choice("a;b\r\nx: y=é", "classified"),)), "w;z", "p")
    assert words == "model=a%3Bb%0D%0Ax:%20y%3D%C3%A9; reason=classified; worker=w%3Bz; placed=p"
    assert words.isascii()
    assert len(told(Route("m" * 9000), "w", "p")) < 300


def test_a_record_has_all_of_it_and_is_bounded():
    route = routed()
    route.candidates = tuple([Candidate(f"w{at}", "a:1", "b", "d", "prefix", 64, 12.34) for at in range(50)])
    route.skipped = [Skipped(f"s{at}", "breaker-open") for at in range(50)]
    route.passed_over *= 50
    route.predicted = 64
    record = route_record(route)
    packed = msgspec.json.encode(record)
    assert msgspec.json.decode(packed, type=RouteRecord) == record
    assert len(packed) < 2500
    shown = record.shown()
    assert shown["decision"]["small_probability"] == 0.1834
    assert shown["decision"]["features"] == [{"name": "maths", "weight": 1.25}]
    assert [choice["used"] for choice in shown["choices"]] == [False, True]
    assert shown["candidates"][0] == {"worker": "w0", "reason": "prefix", "cached_tokens": 64, "cost": 12.3}
    assert len(shown["candidates"]) == len(shown["workers_skipped"]) == len(shown["models_passed_over"]) == KEPT_MAX
    assert (shown["predicted_cached_tokens"], shown["cached_answer"]) == (64, None)


def test_a_named_model_has_no_decision():
    shown = route_record(Route("m")).shown()
    assert (shown["asked"], shown["decision"], shown["choices"]) == ("m", None, [])
