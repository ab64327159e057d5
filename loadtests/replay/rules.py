"""The placement rules that are compared, by name."""

from __future__ import annotations

from collections.abc import Callable

from loadtests.replay.policies.cache_aware import LIBRARY_DEFAULTS, CacheAware, CacheAwareRule
from loadtests.replay.policies.dynamo import Dynamo
from loadtests.replay.policies.headrace import Headrace
from loadtests.replay.policies.llmd import LlmdDefault, LlmdPrecise, LlmdSticky
from loadtests.replay.policies.simple import PrefixOnly, RoundRobin, SessionHash
from loadtests.replay.run import Policy, Surroundings

Make = Callable[[Surroundings], Policy]

OURS = "headrace"
BOUND = "headrace, sessions bound"


def _cache_aware_cli(around: Surroundings) -> Policy:
    return CacheAware(around, CacheAwareRule())


def _cache_aware_library(around: Surroundings) -> Policy:
    return CacheAware(around, LIBRARY_DEFAULTS)


def _bound(around: Surroundings) -> Policy:
    return Headrace(around, sessions=True)


RULES: dict[str, Make] = {
    OURS: Headrace,
    BOUND: _bound,
    "round-robin": RoundRobin,
    "session hash": SessionHash,
    "prefix only": PrefixOnly,
    "vllm-router cache_aware (command line)": _cache_aware_cli,
    "vllm-router cache_aware (library)": _cache_aware_library,
    "llm-d built-in profile": LlmdDefault,
    "llm-d precise-prefix-cache-routing": LlmdPrecise,
    "llm-d optimized-baseline": LlmdSticky,
    "dynamo kv router": Dynamo,
}
