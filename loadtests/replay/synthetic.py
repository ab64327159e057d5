"""Made-up traces, for what the published one lacks: sessions of agents, their sub-agents, fan-outs, a hot tenant.

All open loop: times are drawn beforehand, so that every rule meets the same calls at the same time.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass, replace

from loadtests.replay.trace import BLOCK_TOKENS, Request, Trace, merged, request


@dataclass(frozen=True, slots=True)
class AgentMix:
    """Rates per second, lengths in blocks. The defaults are more than eight workers could do without their caches."""

    minutes: float = 10.0
    tenants: int = 12
    sessions_per_second: float = 1.0
    fan_outs_per_minute: float = 4.0
    # Ends of what is drawn evenly.
    system_blocks: tuple[int, int] = (4, 24)
    turns: tuple[int, int] = (4, 40)
    turn_blocks: tuple[int, int] = (1, 4)
    pause_ms: tuple[float, float] = (1500.0, 20_000.0)
    output_tokens: tuple[int, int] = (40, 400)
    # Sessions that start sub-agents, and how many those are.
    parents_share: float = 0.2
    children: tuple[int, int] = (2, 5)


class _Made:
    """Draws blocks that nobody else has, and requests of them."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self._seed = seed
        self._block = itertools.count(1)
        self._session = itertools.count(1)

    def blocks(self, count: int) -> list[int]:
        return [next(self._block) for _ in range(count)]

    def session(self) -> str:
        return f"agent-{next(self._session)}"

    def call(self, at: float, ids: list[int], output: tuple[int, int], session: str, root: str, tenant: str) -> Request:
        tokens = len(ids) * BLOCK_TOKENS - self.rng.randrange(BLOCK_TOKENS)
        made = request(0, at, (tokens, self.rng.randint(*output)), ids, salt=self._seed)
        return replace(made, session=session, root_session=root, tenant=tenant)


def agents(seed: int, mix: AgentMix = AgentMix()) -> Trace:
    """Tool loops: each turn's prompt is the last one and a little more. Some start sub-agents, some fan out."""
    made = _Made(seed)
    rng = made.rng
    systems = [(f"tenant-{n}", made.blocks(rng.randint(*mix.system_blocks))) for n in range(mix.tenants)]
    # A few tenants have most of the traffic, as everywhere (Zipf).
    weights = [1 / (rank + 1) for rank in range(mix.tenants)]
    end_ms = mix.minutes * 60_000
    calls: list[Request] = []
    at = 0.0
    while (at := at + rng.expovariate(mix.sessions_per_second) * 1000) < end_ms:
        tenant, system = rng.choices(systems, weights)[0]
        calls.extend(_session(made, mix, at, tenant, system, ""))
    at = 0.0
    while (at := at + rng.expovariate(mix.fan_outs_per_minute / 60) * 1000) < end_ms:
        tenant, system = rng.choices(systems, weights)[0]
        calls.extend(_fan_out(made, mix, at, tenant, system))
    return merged(f"agents-{seed}", (call for call in calls if call.arrival_ms < end_ms))


def hot_tenant(trace: Trace, seed: int, *, rate: float = 1.5, prefix_blocks: int = 12) -> Trace:
    """`trace` with one more tenant in its middle third: `rate` calls/s with one long prefix, alone or in fives."""
    made = _Made(seed + 7919)
    rng, prefix = made.rng, made.blocks(prefix_blocks)
    first, last = trace.requests[0].arrival_ms, trace.requests[-1].arrival_ms
    at, end = first + (last - first) / 3, first + (last - first) * 2 / 3
    calls = []
    while (at := at + rng.expovariate(rate / 3) * 1000) < end:
        for _ in range(rng.choice((1, 5))):
            ids = [*prefix, *made.blocks(rng.randint(1, 4))]
            calls.append(made.call(at, ids, (20, 200), made.session(), "", "hot"))
    return merged(f"{trace.name}+hot", trace.requests, calls)


def _session(
    made: _Made, mix: AgentMix, at: float, tenant: str, context: list[int], root: str, turns: int = 0
) -> Iterator[Request]:
    rng, name = made.rng, made.session()
    context = list(context)
    turns = turns or rng.randint(*mix.turns)
    parent_at = rng.randrange(turns) if not root and rng.random() < mix.parents_share else -1
    for turn in range(turns):
        # The last block of a prompt is not full: the next turn has another one in its place.
        context = [*context, *made.blocks(rng.randint(*mix.turn_blocks))]
        yield made.call(at, [*context, *made.blocks(1)], mix.output_tokens, name, root, tenant)
        if turn == parent_at:
            for _ in range(rng.randint(*mix.children)):
                begin = at + rng.uniform(200.0, 1500.0)
                yield from _session(made, mix, begin, tenant, context, name, rng.randint(2, 8))
        at += rng.uniform(*mix.pause_ms)


def _fan_out(made: _Made, mix: AgentMix, at: float, tenant: str, system: list[int]) -> Iterator[Request]:
    """Many questions about one long document within 0.3 s."""
    rng = made.rng
    document = [*system, *made.blocks(rng.randint(20, 60))]
    for _ in range(rng.randint(8, 24)):
        moment = at + rng.uniform(0.0, 300.0)
        yield made.call(moment, [*document, *made.blocks(1)], mix.output_tokens, made.session(), "", tenant)
