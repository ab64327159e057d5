"""`headrace ledger`: rebuild accounts and ledger from what was published, and check that the books agree."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any

import typer
from rich.console import Console

from cli.commands.options import AsJson, ConfigFile, StateDir, configuration
from cli.errors import CliError
from cli.output import print_json, reported
from cli.view.table import show_facts, show_table
from libs.money import to_dollars
from services.gateway.domain.ledger.totals import Difference
from services.gateway.usecases.audit import AuditReport
from services.gateway.usecases.rebuild import RebuildReport

ledger = typer.Typer(help="The books: rebuild them, audit them.", no_args_is_help=True)

SHOWN_MAX = 50


class Source(StrEnum):
    """Where entries come from."""

    KAFKA = "kafka"
    OUTBOX = "outbox"


From = Annotated[
    list[Source], typer.Option("--from", help="The usage topic, or the outboxes of --old; may be repeated.")
]
Old = Annotated[str | None, typer.Option(help="URL of the old store, for --from outbox.")]
Into = Annotated[str | None, typer.Option(help="URL of the empty store. (default: the platform's)")]
GatewayConfig = Annotated[
    Path | None, typer.Option(help="Settings file of a gateway, for its store and brokers. (default: those here)")
]
Topic = Annotated[
    bool | None, typer.Option("--topic/--no-topic", help="Read the usage topic too. (default: where it is durable)")
]


@ledger.command("rebuild")
def rebuild_store(
    source: From = [Source.KAFKA],  # noqa: B006  typer copies it
    old: Old = None,
    into: Into = None,
    gateway_config: GatewayConfig = None,
    config: ConfigFile = None,
    state_dir: StateDir = None,
    as_json: AsJson = False,
) -> None:
    """Replay the usage topic, the outboxes of an old store, or both, into an empty store. Stop the gateways first.

    Exit status 0 = the store holds what was published, 1 = it does not, or nothing was done.
    """
    with reported(as_json):
        _refuse_half(source, old)
        found = cli_ledger().places(configuration(config, state_dir), gateway_config)
        topic = found.topic_history() if Source.KAFKA in source else None
        with _progress(as_json) as show:
            source_store = found.store(old) if old else None
            report = asyncio.run(cli_ledger().rebuild(found.store(into), source_store, topic, show))
        print_json(_rebuilt(report)) if as_json else _show_rebuilt(report)
        raise typer.Exit(0 if report.complete else 1)


@ledger.command("audit")
def audit_books(
    topic: Topic = None,
    gateway_config: GatewayConfig = None,
    config: ConfigFile = None,
    state_dir: StateDir = None,
    as_json: AsJson = False,
) -> None:
    """Compare ledger and usage log, scope by scope and window by window; gateways may run meanwhile.

    Exit status 0 = they agree, 1 = they differ, or they cannot be read.
    """
    with reported(as_json):
        found = cli_ledger().places(configuration(config, state_dir), gateway_config)
        # Where it is not durable nothing is ever dropped from the outboxes: they are the whole log.
        history = found.topic_history() if (found.kafka.durable if topic is None else topic) else None
        report = asyncio.run(cli_ledger().audit(found.store(None), history, found.records()))
        print_json(_audited(report)) if as_json else _show_audited(report)
        raise typer.Exit(0 if report.agrees else 1)


def cli_ledger() -> ModuleType:
    """The part that needs clients of store and broker, which take longer to import than most commands run."""
    return importlib.import_module("cli.ledger")


def _refuse_half(source: list[Source], old: str | None) -> None:
    if (Source.OUTBOX in source) != (old is not None):
        raise CliError("--from outbox and --old belong together", "name the old store: --from outbox --old URL", code=2)


@contextmanager
def _progress(quiet: bool) -> Iterator[Callable[[RebuildReport], None]]:
    """A line that is written over, on a terminal only."""
    screen = Console(stderr=True, highlight=False)
    if quiet or not screen.is_terminal:
        yield lambda _: None
        return
    with screen.status("reading") as line:
        yield lambda report: line.update(f"{report.entries} entries, {report.tenants} tenants")


def _rebuilt(report: RebuildReport) -> dict[str, Any]:
    return {
        "complete": report.complete,
        "entries": report.entries,
        "kinds": dict(sorted(report.kinds.items())),
        "repeats": report.repeats,
        "tenants": report.tenants,
        "cost_usd": to_dollars(report.cost_nanodollars),
        "failures": report.failures,
        "differences": [_difference(each) for each in report.differences],
    }


def _audited(report: AuditReport) -> dict[str, Any]:
    return {
        "agrees": report.agrees,
        "tenants": report.tenants,
        "entries": report.entries,
        "records": report.records,
        "cost_usd": to_dollars(report.cost_nanodollars),
        "unpublished": report.unpublished,
        "vanished": report.vanished,
        "differences": [_difference(each) for each in report.differences],
        "wrong_records": [
            {
                "tenant": each.tenant,
                "request": each.request_id,
                "record_usd": to_dollars(each.record),
                "log_usd": to_dollars(each.log),
            }
            for each in report.wrong_records
        ],
    }


def _difference(each: Difference) -> dict[str, str]:
    return {
        "tenant": each.tenant,
        "scope": each.scope,
        "what": each.what,
        "ledger_usd": to_dollars(each.ledger),
        "log_usd": to_dollars(each.log),
    }


def _show_rebuilt(report: RebuildReport) -> None:
    show_facts(
        {
            "replayed": ", ".join(f"{count} {kind}" for kind, count in sorted(report.kinds.items())) or "nothing",
            "repeats dropped": str(report.repeats),
            "tenants": str(report.tenants),
            "settled": f"${to_dollars(report.cost_nanodollars)}",
        }
    )
    for failure in report.failures[:SHOWN_MAX]:
        typer.echo(f"not replayed: {failure}", err=True)
    _show_differences(report.differences)
    typer.echo(
        "the store holds what was published" if report.complete else "the store does NOT hold what was published"
    )


def _show_audited(report: AuditReport) -> None:
    show_facts(
        {
            "compared": f"{report.tenants} tenants, {report.entries} entries, {report.records} request records",
            "settled": f"${to_dollars(report.cost_nanodollars)}",
            "not published yet": f"{report.unpublished} entries" if report.unpublished else "",
            "no longer in the topic": f"{report.vanished} entries that the store still has" if report.vanished else "",
        }
    )
    _show_differences(report.differences)
    if report.wrong_records:
        rows = [
            (each.tenant, each.request_id, f"${to_dollars(each.record)}", f"${to_dollars(each.log)}")
            for each in report.wrong_records[:SHOWN_MAX]
        ]
        show_table(("tenant", "request", "record", "log"), rows, right=("record", "log"))
    typer.echo("the books agree" if report.agrees else "the books do NOT agree")


def _show_differences(differences: list[Difference]) -> None:
    if differences:
        rows = [tuple(_difference(each).values()) for each in differences[:SHOWN_MAX]]
        show_table(("tenant", "scope", "what", "ledger $", "log $"), rows, right=("ledger $", "log $"))
    if len(differences) > SHOWN_MAX:
        typer.echo(f"and {len(differences) - SHOWN_MAX} more; --json shows all")
