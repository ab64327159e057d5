"""What the ledger's functions cost: inside the store, and in the process that calls them.

One tenant with a user and a key, two budgets and two rates on each; every call is held, extended and settled.
`store_us` is the store's own account of a call (INFO commandstats), `client_us` the CPU time of this process per call,
at so many callers at once.

    python -m loadtests.ledger_functions --calls 4000
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Sequence

from libs.testing.valkey import ValkeyProcess
from libs.valkey import Valkey
from services.gateway.adapters.accounts.valkey import ValkeyAccounts
from services.gateway.adapters.ledger.store import LeaseTimes, ValkeyLedger
from services.gateway.domain.accounts.records import Budget, Change, Key, Kind, Limits, Tenant, User
from services.gateway.domain.ledger.types import Ask, End, Progress, Settlement, UsageMeta

CALLERS = (1, 4, 16, 64)
META = UsageMeta("k1", "ada", "", "m", "s1", "", {"feature": "search"}, 100_000, 10_000, 400_000)
SCOPES = ("t", "u:ada", "k:k1", "s:s1")
_LIMITS = Limits(
    budgets=(Budget(limit_nanodollars=10**15, duration="30d"), Budget(limit_nanodollars=10**15)),
    requests_per_minute=100_000_000,
    tokens_per_minute=100_000_000,
)
_Step = Callable[[int], Awaitable[object]]


class Bench:
    """The calls, numbered: the same number is the same hold."""

    def __init__(self, valkey: Valkey, scopes: Sequence[str]) -> None:
        self._valkey, self._scopes = valkey, scopes
        self._ledger = ValkeyLedger(valkey, LeaseTimes())
        self.life = ""

    async def prepare(self) -> None:
        """Makes the accounts."""
        accounts = ValkeyAccounts(self._valkey)
        user = User(tenant="acme", id="ada", limits=_LIMITS)
        key = Key(tenant="acme", id="k1", hmac="h", user="ada", limits=_LIMITS)
        for kind, record in ((Kind.TENANT, Tenant(id="acme", limits=_LIMITS)), (Kind.USER, user), (Kind.KEY, key)):
            await accounts.change(Change(kind=kind, tenant="acme", id=record.id, actor="bench", at=1.0, after=record))
        self.life = await self._ledger.hello()

    async def hold(self, number: int) -> object:
        """Holds for a call."""
        return await self._ledger.hold(self.life, self._ask(number), expire=True)

    async def extend(self, number: int) -> object:
        """Holds more for it."""
        return await self._ledger.extend(self.life, self._ask(number), 1000, 64, Progress(500, 10, 0, 20))

    async def settle(self, number: int) -> object:
        """Ends it."""
        end = Settlement("acme", f"r{number}", End.SETTLED, Progress(700, 10, 0, 40))
        return await self._ledger.settle([end])

    def _ask(self, number: int) -> Ask:
        return Ask("acme", f"r{number}", tuple(self._scopes), 2000, 200, META, Progress(100, 10))


async def _timed(valkey: Valkey, step: _Step, numbers: range, callers: int) -> dict[str, float]:
    await valkey.command("CONFIG", "RESETSTAT")
    left = iter(numbers)

    async def caller() -> None:
        for number in left:
            await step(number)

    begun = time.process_time()
    await asyncio.gather(*(caller() for _ in range(callers)))
    used = time.process_time() - begun
    stats = await valkey.command("INFO", "commandstats")
    return {
        "store_us": round(float(stats["cmdstat_fcall"]["usec_per_call"]), 1),
        "client_us": round(used / len(numbers) * 1e6, 1),
    }


async def measure(calls: int) -> dict[str, object]:
    """Per number of scopes and callers: per function its costs."""
    found: dict[str, object] = {}
    with ValkeyProcess() as process:
        valkey = Valkey(process.settings(op_timeout_ms=5_000))
        number = 0
        for scopes in (("t", "k:k1"), ("t", "u:ada", "k:k1"), SCOPES):
            bench = Bench(valkey, scopes)
            if not number:
                await bench.prepare()
            bench.life = bench.life or await ValkeyLedger(valkey, LeaseTimes()).hello()
            for callers in CALLERS:
                numbers = range(number, number + calls)
                number += calls
                steps = {"hold": bench.hold, "extend": bench.extend, "settle": bench.settle}
                found[f"{len(scopes)} scopes, {callers} callers"] = {
                    name: await _timed(valkey, step, numbers, callers) for name, step in steps.items()
                }
        await valkey.close()
    return found


def main() -> None:
    """Prints one JSON document."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=4000)
    print(json.dumps(asyncio.run(measure(parser.parse_args().calls)), indent=2))


if __name__ == "__main__":
    main()
