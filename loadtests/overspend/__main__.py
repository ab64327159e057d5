"""Kills gateways and the store under callers that spend one budget, and audits the books to the nano-dollar.

One stack: Valkey with an append-only file (synced every second; at every change with `--both-at-once`), three gateways,
a router, two workers with simulated engines that stamp each token. A token costs one nano-dollar. Per seed a fresh
tenant whose budget (of the tenant, its user, or its key, in turns) pays for exactly 37 calls of a fixed length; 100
callers, half of them streaming, spend it through all gateways until each is refused; in every other seed twelve calls
may run at once, so that it takes longer. Meanwhile gateways or the store
are killed -9 at random and started again at once, never both within 3 s; with `--both-at-once` a gateway and the store
at the same moment. Leases and grace are 2 s instead of 15 and 10, so that a seed sees a killed gateway's holds expire
and be spent by others.

Checked while it runs, some 50 times a second in one atomic look: settled ≤ budget, settled + held ≤ budget, and held =
the sum of the running holds, in every scope. Checked of every refusal, by its own numbers: what is left does not cover
the call. Checked at the end: nothing is held; every answer that came whole is charged once, and what it was told; of
every broken stream received ≤ charged; of every call charged ≤ what the workers say they sent; the sum of the outbox
is the ledger, and a ledger rebuilt from it is the same; the operator bore nothing; and what is left of the budget does
not pay for one call more. `--shape varying`: answers of many lengths below a large max_tokens, so that holds are
estimates and are extended; answers that the budget cut are counted.

`--lose-last-second`: instead the store's machine is lost, again and again. The store is killed, and what it wrote in
the last 0.2 to 2 seconds is cut off its append-only file: holds, charges and outbox entries that it had acknowledged.
Gateways declare anew what they hold and what has ended. All checks stay the same, but that settled + held may be past
the budget for the seconds in which they declare: nothing more is held then.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from functools import partial

from loadtests.common.report import emit
from loadtests.common.stack import Stack
from loadtests.overspend.campaign import Campaign, layout, summary
from loadtests.overspend.chaos import machine_plan, plan


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=50)
    parser.add_argument("--first-seed", type=int, default=1)
    parser.add_argument("--both-at-once", action="store_true", help="kill a gateway and the store together")
    parser.add_argument("--lose-last-second", action="store_true", help="lose the store's machine, not its process")
    parser.add_argument("--shape", choices=("fixed", "varying"), default="fixed")
    parser.add_argument("--blows", type=int, default=2, help="kills per seed")
    parser.add_argument("--base-port", type=int, default=19300)
    parser.add_argument("--out")
    return parser.parse_args()


def name_of(args: argparse.Namespace) -> str:
    """The name of its results."""
    kind = "_both" if args.both_at_once else "_machine" if args.lose_last_second else ""
    return f"overspend{kind}" + ("_varying" if args.shape == "varying" else "")


def main() -> None:
    """Entry point. Exits 1 when anything was violated."""
    args = parse()
    with Stack(layout(args.base_port, both_at_once=args.both_at_once)) as stack:
        if args.lose_last_second:
            campaign = Campaign(stack, partial(machine_plan, blows=args.blows), shape=args.shape, parallel=lambda _: 8)
        else:
            blows = partial(plan, gateways=stack.layout.gateways, blows=args.blows, both_at_once=args.both_at_once)
            campaign = Campaign(stack, blows, shape=args.shape)
        results = asyncio.run(campaign.run(range(args.first_seed, args.first_seed + args.seeds)))
    found = {**summary(results), "lost_log_bytes": campaign.chaos.lost_bytes}
    emit(name_of(args), {"shape": args.shape, "both_at_once": args.both_at_once, **found}, args.out)
    sys.exit(bool(found["violations"]))


if __name__ == "__main__":
    main()
