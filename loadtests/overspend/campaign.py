"""A campaign: seed after seed on one stack, each with a tenant of its own, and what was found."""

from __future__ import annotations

import asyncio
import contextlib
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any, Literal

from libs.money import from_dollars
from libs.testing.valkey import ValkeyProcess
from libs.valkey import Valkey, ValkeySettings
from loadtests.common.accounts import LEVELS, Account, Level, new_account, total
from loadtests.common.client import whole
from loadtests.common.report import median
from loadtests.common.stack import MODEL_NAME, Layout, Stack
from loadtests.overspend.books import Books, broken_streams, false_refusals, faults_of, read_books
from loadtests.overspend.callers import Bodies, Spenders, Try
from loadtests.overspend.chaos import Blow, Chaos
from loadtests.overspend.watcher import Watcher

Shape = Literal["fixed", "varying"]
CALLS = 37
OUTPUT_TOKENS = 40
VARYING_TOKENS_MAX = 600
QUIET_SECONDS = 20.0
MESSAGES = [{"role": "user", "content": "Write about the river, the mill and the wheel."}]
AMPLE = 1_000_000_000
TIMES = [
    "--ledger.lease_seconds",
    "2",
    "--idempotency.lease_seconds",
    "1",
    "--ledger.grace_seconds",
    "2",
    "--queue.wait_seconds_max",
    "5",
]
PACE = ["--simulated.ttft_ms", "30", "--simulated.inter_token_ms", "50", "--simulated.stamp", "true"]


def layout(base_port: int, *, both_at_once: bool, **more: Any) -> Layout:
    """Three gateways over one store; calls last about two seconds."""
    return Layout(
        base_port=base_port,
        workers=2,
        gateways=3,
        gateway_core="0,1",
        inner_core="0,1",
        worker_core="0,1",
        worker_args=[*PACE, "--simulated.running_max", "256", "--simulated.eos_probability", "0.05"],
        gateway_args=list(TIMES),
        appendfsync="always" if both_at_once else "everysec",
        op_timeout_ms=200,
        **more,
    )


def fixed_body(_rng: random.Random) -> dict[str, Any]:
    """Always the same prompt and the same number of tokens."""
    length = {"max_tokens": OUTPUT_TOKENS, "min_tokens": OUTPUT_TOKENS, "ignore_eos": True}
    return {"model": MODEL_NAME, "messages": MESSAGES, "temperature": 0, **length}


def varying_body(rng: random.Random) -> dict[str, Any]:
    """Mostly short answers, some long; each may be as long as `max_tokens`, which says nothing of it."""
    least = rng.choice((4, 8, 12, 16, 20, 24, 180, 260))
    length = {"max_tokens": VARYING_TOKENS_MAX, "min_tokens": least}
    return {"model": MODEL_NAME, "messages": MESSAGES, "seed": rng.randrange(1 << 30), **length}


BODIES: dict[Shape, Bodies] = {"fixed": fixed_body, "varying": varying_body}


@dataclass
class Seed:
    """What one seed found. Amounts are nano-dollars."""

    seed: int
    level: Level
    budget: int
    settled: int = 0
    seconds: float = 0.0
    outcomes: dict[str, int] = field(default_factory=dict)
    killed: list[str] = field(default_factory=list)
    charges: dict[str, int] = field(default_factory=dict)
    # Streams that broke off: how many, and the output tokens that came, were charged, and were produced.
    broken: tuple[int, int, int, int] = (0, 0, 0, 0)
    false_refusals: int = 0
    truncated: int = 0
    borne_by_operator: int = 0
    quiet_after_seconds: float = 0.0
    looks: int = 0
    highest: int = 0
    out_of_time: bool = False
    failures: dict[str, int] = field(default_factory=dict)
    violations: list[str] = field(default_factory=list)


Plan = Callable[[random.Random], list[Blow]]
# Calls that may run at once in a seed; None = as many as want to.
Parallel = Callable[[int], int | None]


def every_other(seed: int) -> int | None:
    """With a limit the spending lasts longer than a lease, and all kills strike it."""
    return 12 if seed % 2 else None


class Campaign:
    """Runs seeds on one stack. `plan` says what is killed in a seed; callers are given up after `spend_seconds`."""

    def __init__(
        self,
        stack: Stack,
        plan: Plan,
        *,
        shape: Shape = "fixed",
        callers: int = 100,
        parallel: Parallel = every_other,
        spend_seconds: float = 40.0,
    ) -> None:
        self._stack = stack
        self._plan = plan
        self._shape: Shape = shape
        self._callers = callers
        self._parallel = parallel
        self._spend_seconds = spend_seconds
        self.chaos = Chaos(stack)
        self._run = random.SystemRandom().randrange(1 << 32)
        # Prompt and whole cost of a call of fixed length.
        self.prompt_tokens = self.call_cost = 0

    async def run(self, seeds: Iterable[int]) -> list[Seed]:
        """All seeds, one after the other."""
        async with AsyncExitStack() as stack:
            empty = stack.enter_context(ValkeyProcess())
            rebuilt = Valkey(empty.settings(op_timeout_ms=2000))
            stack.push_async_callback(rebuilt.close)
            valkey = Valkey(ValkeySettings(url=self._stack.valkey_url, op_timeout_ms=1000))
            stack.push_async_callback(valkey.close)
            await self._learn()
            found = []
            for seed in seeds:
                found.append(await self._seed(seed, valkey, rebuilt))
                print(f"seed {seed}: {_line(found[-1])}", file=sys.stderr, flush=True)
            return found

    async def _learn(self) -> None:
        """What a call of fixed length costs."""
        answer = await whole(
            self._stack.rest_port, fixed_body(random.Random(0)), {"authorization": f"Bearer {self._stack.key}"}
        )
        usage = answer.usage
        self.prompt_tokens, self.call_cost = usage["prompt_tokens"], from_dollars(usage["headrace"]["cost_usd"])
        if self.call_cost != self.prompt_tokens + OUTPUT_TOKENS:
            raise RuntimeError(f"a call of {usage} costs {self.call_cost}; prices must be a nano-dollar per token")

    async def _seed(self, seed: int, valkey: Valkey, rebuilt: Valkey) -> Seed:
        rng, began = random.Random(seed), time.monotonic()
        account, found = await self._account(seed)
        blows = self._plan(rng)
        found.killed = [" and ".join(blow.names) for blow in blows]
        callers = Spenders(self._stack.rest_ports, account.secret, BODIES[self._shape], rng, self._callers)
        watcher = Watcher(valkey, account.tenant, account.scope, found.budget, self.chaos.declaring)
        watching = asyncio.create_task(watcher.run())
        striking = asyncio.create_task(self.chaos.strike(blows))
        try:
            found.out_of_time = not await self._spend(callers, watcher)
            await striking
            await self._all_back()
            found.quiet_after_seconds = await watcher.quiet(QUIET_SECONDS)
        except TimeoutError as problem:
            found.violations.append(f"leaked or lost: {problem}")
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
        books = await read_books(valkey, rebuilt, self._stack, account.tenant)
        self._judge(found, books, callers.tries, account, watcher)
        found.seconds = time.monotonic() - began
        return found

    async def _spend(self, callers: Spenders, watcher: Watcher) -> bool:
        """Whether all callers were refused in time. What must not be seen ends it: there may be no end to that."""
        spending = asyncio.create_task(callers.spend(self._spend_seconds))
        seeing = asyncio.create_task(watcher.fault.wait())
        await asyncio.wait((spending, seeing), return_when=asyncio.FIRST_COMPLETED)
        seeing.cancel()
        if not spending.done():
            spending.cancel()
        await asyncio.gather(spending, seeing, return_exceptions=True)
        return not spending.cancelled() and spending.result()

    async def _account(self, seed: int) -> tuple[Account, Seed]:
        level = LEVELS[seed % len(LEVELS)]
        budget = CALLS * self.call_cost
        # Windows that never fill, beside the budget that does: they are rebuilt, too.
        limits: dict[Level, dict[str, Any]] = {name: total(AMPLE, "30d") for name in LEVELS}
        limits[level] = {"budgets": [*total(AMPLE, "30d")["budgets"], *total(budget)["budgets"]]}
        limits["tenant"]["parallel_requests"] = self._parallel(seed)
        make = partial(new_account, self._stack.url, self._stack.key, f"seed-{seed}-{self._run}")
        account = await asyncio.to_thread(make, limits=limits, budget_at=level)
        return account, Seed(seed, level, budget)

    async def _all_back(self) -> None:
        """Waits until every gateway serves a call: those that were started again, and in the store's present life."""
        await asyncio.gather(*(self._back(port) for port in self._stack.rest_ports))

    async def _back(self, port: int) -> None:
        body, until = {**fixed_body(random.Random(0)), "max_tokens": 1, "min_tokens": 1}, time.monotonic() + 60
        while time.monotonic() < until:
            with contextlib.suppress(OSError):
                if (await whole(port, body, {"authorization": f"Bearer {self._stack.key}"})).status == 200:
                    return
            await asyncio.sleep(0.1)
        raise TimeoutError(f"the gateway at port {port} does not serve")

    def _judge(self, found: Seed, books: Books, tries: Sequence[Try], account: Account, watcher: Watcher) -> None:
        charges = books.charges()
        found.settled = books.ledger[account.scope].settled if account.scope in books.ledger else 0
        found.outcomes = dict(Counter(one.outcome for one in tries))
        found.charges = dict(Counter(charged.kinds[0] for charged in charges.values()))
        found.broken = broken_streams(books, tries)
        found.truncated = sum(bool(one.truncated) for one in tries)
        found.failures = dict(Counter(one.said[:120] for one in tries if one.outcome in ("failed", "unavailable")))
        found.looks, found.highest = watcher.looks, watcher.highest
        found.borne_by_operator = sum(charged.platform for charged in charges.values())
        found.violations += [f"{kind}: {worst}" for kind, worst in watcher.faults.items()]
        found.violations += faults_of(books, tries, account.scope, found.budget)
        fixed = self._shape == "fixed"
        needed = self.call_cost if fixed else self.prompt_tokens + VARYING_TOKENS_MAX
        refused = false_refusals(tries, needed)
        found.false_refusals, found.violations = len(refused), [*found.violations, *refused[:5]]
        left = found.budget - found.settled
        if fixed and not found.out_of_time and left >= self.call_cost:
            found.violations.append(f"refused all callers with {left} left, and a call costs {self.call_cost}")
        if fixed and found.borne_by_operator:
            found.violations.append(f"the operator bore {found.borne_by_operator}")


def _line(seed: Seed) -> str:
    told = f"{seed.settled} of {seed.budget} in {seed.seconds:.1f} s, killed {seed.killed}, {seed.outcomes}"
    return f"{told}, charges {seed.charges}, failures {seed.failures}, violations {seed.violations}"


def summary(seeds: Sequence[Seed]) -> dict[str, Any]:
    """All seeds together, and each."""
    outcomes, charges = Counter[str](), Counter[str]()
    for seed in seeds:
        outcomes.update(seed.outcomes)
        charges.update(seed.charges)
    return {
        "seeds": len(seeds),
        "violations": sum(len(seed.violations) for seed in seeds),
        "overspend_nanodollars": max((max(0, seed.settled - seed.budget) for seed in seeds), default=0),
        "unspent_nanodollars": [seed.budget - seed.settled for seed in seeds],
        "kills": dict(Counter(name for seed in seeds for name in seed.killed)),
        "outcomes": dict(outcomes),
        "charges": dict(charges),
        "broken_streams": dict(
            zip(
                ("streams", "received_tokens", "charged_tokens", "produced_tokens"),
                (sum(numbers) for numbers in zip(*(seed.broken for seed in seeds), strict=True)),
                strict=True,
            )
        ),
        "false_refusals": sum(seed.false_refusals for seed in seeds),
        "truncated": sum(seed.truncated for seed in seeds),
        "borne_by_operator_nanodollars": sum(seed.borne_by_operator for seed in seeds),
        "out_of_time": sum(seed.out_of_time for seed in seeds),
        "quiet_after_seconds": median([seed.quiet_after_seconds for seed in seeds]),
        "looks": sum(seed.looks for seed in seeds),
        "seconds": sum(seed.seconds for seed in seeds),
        "by_seed": [asdict(seed) for seed in seeds],
    }
