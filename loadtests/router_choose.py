"""CPU of the router's Choose: parse, choose, serialise; no transport, stores as fast as memory.

python -m loadtests.router_choose [--rounds 7] [--calls 20000]

Four kinds of calls, interleaved: a step inside a session's tool loop (the tier stays, nothing is judged), one without a
session with a judge that costs nothing (policy and plan alone), the same with the classifier on prompts of 300
characters, and a named model. Prints JSON: microseconds of process CPU per call, median of the rounds; and the p50 and
p99 of single calls by the CPU clock.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import time
from collections.abc import Callable

from headrace.router.v1 import router_pb2 as router

from libs.clock import SystemClock
from libs.rpc.api import CallInfo
from libs.telemetry.metrics import Registry as MetricRegistry
from loadtests.common.choices import choice_ports
from loadtests.common.report import emit, median, quantile
from services.router.api_choice import ChoiceApi
from services.router.composition.choice import compose_choice
from services.router.domain.registry import Registry
from services.router.domain.worker import Description, StateMessage
from services.router.settings import RouterSettings
from services.router.usecases.fleet import Fleet

INFO = CallInfo("/headrace.router.v1.RouterService/Choose", "gateway-0")
POOLS = ("small", "small-2", "large", "frontier")
TIERS = {
    "small": [{"pool": "small", "input_usd_per_million": "0.1"}, {"pool": "small-2", "input_usd_per_million": "0.1"}],
    "large": [{"pool": "large", "input_usd_per_million": "0.5"}],
    "frontier": [{"pool": "frontier", "input_usd_per_million": "3"}],
}
WORDS = ("compute", "the", "sum", "of", "42", "items", "and", "explain", "why", "it", "fails", "when", "x", "=", "7")
PROMPT_CHARACTERS = 300
SESSIONS = 5000
SINGLES = 5000


async def make_api(*, judging: bool) -> ChoiceApi:
    """A choice over four live pools."""
    clock = SystemClock()
    fleet = Fleet(Registry([f"{name}:1" for name in POOLS], 60.0), clock)
    for name in POOLS:
        state = StateMessage("b", 1, snapshot=True, running=0, waiting=0, draining=False, healthy=True)
        fleet.heard(f"{name}:1", state)
        fleet.described(f"{name}:1", Description(name, "b", name, (), "d"))
    settings = RouterSettings.model_validate({"tiers": TIERS})
    ports, registry = choice_ports(judging=judging), MetricRegistry()
    return compose_choice(settings, fleet, ports, registry, clock=clock, random=random.random).api


def prompt(rng: random.Random) -> str:
    """Words of a question, as long as the issue of a request usually is."""
    text = ""
    while len(text) < PROMPT_CHARACTERS:
        text += rng.choice(WORDS) + " "
    return text[:PROMPT_CHARACTERS]


def requests(model: str, *, sessions: bool, depth: int = 0) -> list[bytes]:
    """Choose requests as a gateway sends them."""
    rng = random.Random(1)
    made = (
        router.ChooseRequest(
            request_id=f"chatcmpl-{n:024d}",
            tenant="acme",
            model=model,
            session=f"session-{n}" if sessions else "",
            turn=router.Turn(
                text=prompt(rng),
                text_characters=PROMPT_CHARACTERS,
                system_characters=2000,
                context_characters=12_000,
                user_turns=3,
                tools=8,
                tool_depth=depth,
            ),
        )
        for n in range(SESSIONS)
    )
    return [request.SerializeToString() for request in made]


def call(api: ChoiceApi, wire: bytes) -> bytes:
    """One call, as the trunk makes it."""
    answer = api.choose_at_once(router.ChooseRequest.FromString(wire), INFO)
    if answer is None:
        raise RuntimeError("this call asked the store")
    return answer.SerializeToString()


def cpu_us(work: Callable[[bytes], object], wires: list[bytes], calls: int) -> float:
    """Microseconds of CPU per call."""
    began = time.process_time_ns()
    for n in range(calls):
        work(wires[n % len(wires)])
    return (time.process_time_ns() - began) / calls / 1000


def singles_us(work: Callable[[bytes], object], wires: list[bytes]) -> list[float]:
    """CPU of single calls; the clock itself costs some 0.3 µs of each."""
    found: list[float] = []
    for wire in wires[:SINGLES]:
        began = time.thread_time_ns()
        work(wire)
        found.append((time.thread_time_ns() - began) / 1000)
    return found


async def measure(rounds: int, calls: int) -> dict[str, object]:
    """The report."""
    plain, judged = await make_api(judging=False), await make_api(judging=True)
    for wire in requests("auto", sessions=True):
        await plain.choose(router.ChooseRequest.FromString(wire), INFO)
    kinds = {
        "step in a tool loop": (plain, requests("auto", sessions=True, depth=2)),
        "new turn, policy alone": (plain, requests("auto", sessions=False)),
        "new turn, classifier": (judged, requests("auto", sessions=False)),
        "named model": (plain, requests("large", sessions=False)),
    }
    found: dict[str, list[float]] = {name: [] for name in kinds}
    singles: dict[str, list[float]] = {name: [] for name in kinds}
    for _ in range(rounds):
        for name, (api, wires) in kinds.items():
            found[name].append(cpu_us(lambda wire, api=api: call(api, wire), wires, calls))  # type: ignore[misc]
            singles[name] += singles_us(lambda wire, api=api: call(api, wire), wires)  # type: ignore[misc]
    return {
        "prompt_characters": PROMPT_CHARACTERS,
        "cpu_us_per_call": {name: round(median(values), 2) for name, values in found.items()},
        "single_cpu_us_p50": {name: round(quantile(values, 0.5), 2) for name, values in singles.items()},
        "single_cpu_us_p99": {name: round(quantile(values, 0.99), 2) for name, values in singles.items()},
    }


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--calls", type=int, default=20_000)
    parser.add_argument("--out", help="default: loadtests/out/router_choose.json")
    args = parser.parse_args()
    emit("router_choose", asyncio.run(measure(args.rounds, args.calls)), args.out)


if __name__ == "__main__":
    main()
