"""`headrace router variants`: how calls of a pool are split between models, and how each does."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import typer
from headrace.router.v1 import router_pb2

from cli.client.refusal import NOT_RUNNING
from cli.commands.options import AsJson, ConfigFile, StateDir, configuration
from cli.config import Config
from cli.errors import CliError
from cli.inside import list_variants, set_variants
from cli.output import print_json, reported
from cli.supervisor.state import read_state
from cli.view.table import show_table
from libs.errors import PlatformError, Reason

variants = typer.Typer(help="Weighted variants of a pool (canary, A/B): list, set.", no_args_is_help=True)

Pool = Annotated[str, typer.Argument(help="Pool, as in the router's setting `variants`.")]
Weights = Annotated[list[str], typer.Argument(help="NAME=WEIGHT, such as canary=5; those left out keep theirs.")]
Router = Annotated[str, typer.Option(help="host:port of a router. (default: the one that runs here)")]
_COLUMNS = ("pool", "variant", "model", "weight", "share", "attempts", "failed", "ttft p50", "p95", "")
_RIGHT = _COLUMNS[3:9]


@variants.command("list")
def list_all(
    router: Router = "", config: ConfigFile = None, state_dir: StateDir = None, as_json: AsJson = False
) -> None:
    """Show weights, and what gateways have reported to this router since it started."""
    with reported(as_json):
        settings = configuration(config, state_dir)
        address = router or _running(settings)
        pools = _asked(address, lambda: asyncio.run(list_variants(address, settings.layout.token_file)))
        if as_json:
            print_json({"pools": [_document(pool) for pool in pools]})
        elif pools:
            show_table(_COLUMNS, [row for pool in pools for row in _rows(pool)], right=_RIGHT)
        else:
            typer.echo("no pool has variants; they are named in the router's setting `variants`")


@variants.command("set")
def set_some(
    pool: Pool,
    weights: Weights,
    router: Router = "",
    config: ConfigFile = None,
    state_dir: StateDir = None,
    as_json: AsJson = False,
) -> None:
    """Change weights for all routers, within two seconds. Sessions keep the variant they have; a stop is taken back."""
    with reported(as_json):
        settings, wanted = configuration(config, state_dir), _parsed(weights)
        address = router or _running(settings)
        changed = _asked(address, lambda: asyncio.run(set_variants(address, settings.layout.token_file, pool, wanted)))
        print_json(_document(changed)) if as_json else show_table(_COLUMNS, _rows(changed), right=_RIGHT)


def _running(config: Config) -> str:
    state = read_state(config.layout.state_file)
    processes = state.processes if state is not None and state.alive else []
    port = next((entry.port for entry in processes if entry.kind == "router"), config.ports.router)
    return f"127.0.0.1:{port}"


def _asked(address: str, ask: Any) -> Any:
    """What the router answers; raises CliError with what to do when there is none."""
    try:
        return ask()
    except OSError as problem:
        raise CliError(f"the installation's token cannot be read: {problem}", NOT_RUNNING) from problem
    except PlatformError as problem:
        if problem.reason in (Reason.WORKER_LOST, Reason.DEADLINE_EXCEEDED):
            raise CliError(f"the router at {address} does not answer", NOT_RUNNING) from problem
        raise


def _parsed(weights: list[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for part in weights:
        name, has_weight, weight = part.partition("=")
        if not (name and has_weight and weight.isascii() and weight.isdecimal()) or name in found:
            raise CliError(f"{part!r} is no weight", "give NAME=WEIGHT with a whole number, each name once", code=2)
        found[name] = int(weight)
    if max(found.values()) >= 2**32:
        raise CliError("a weight is too large", "weights are shares: 95 and 5 will do", code=2)
    return found


def _rows(pool: router_pb2.PoolVariants) -> list[list[str]]:
    total = sum(each.weight for each in pool.variants) or 1
    return [
        [
            pool.pool,
            each.name,
            each.model,
            str(each.weight),
            f"{each.weight / total:.0%}",
            str(each.attempts),
            f"{each.failures / each.attempts:.1%}" if each.attempts else "",
            f"{each.ttft_ms_p50} ms" if each.ttft_ms_p50 else "",
            f"{each.ttft_ms_p95} ms" if each.ttft_ms_p95 else "",
            f"stopped: {each.stopped}" if each.stopped else "",
        ]
        for each in pool.variants
    ]


def _document(pool: router_pb2.PoolVariants) -> dict[str, Any]:
    return {
        "pool": pool.pool,
        "version": pool.version,
        "variants": [
            {
                "name": each.name,
                "model": each.model,
                "weight": each.weight,
                "stopped": each.stopped or None,
                "attempts": each.attempts,
                "failures": each.failures,
                "ttft_ms_p50": each.ttft_ms_p50 or None,
                "ttft_ms_p95": each.ttft_ms_p95 or None,
            }
            for each in pool.variants
        ],
    }
