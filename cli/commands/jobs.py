"""`headrace jobs`: long work, handed over and come back for."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, TextIO

import typer

from cli.client.jobs import BATCHES, ENDED, JOBS
from cli.commands.jobs_submit import submit
from cli.commands.jobs_target import served
from cli.commands.jobs_watch import exit_status, watched
from cli.commands.options import AsJson, ConfigFile, StateDir
from cli.commands.target import Key, Url
from cli.errors import CliError
from cli.output import print_json
from cli.view.jobs import BATCH_COLUMNS, COLUMNS, NUMBERS, batch_row, job_facts, job_row, outcome
from cli.view.table import show_facts, show_table

jobs = typer.Typer(help="Long work: submit, watch, list, show, cancel, results.", no_args_is_help=True)
jobs.command()(submit)

JobId = Annotated[str, typer.Argument(help="As `jobs submit` or `jobs list` names it.")]
Limit = Annotated[int, typer.Option(min=1, max=1000, help="So many, newest first.")]
Status = Annotated[str, typer.Option(help="Only those: requested, running, succeeded, failed, cancelled, expired.")]
Batches = Annotated[bool, typer.Option("--batches", help="Batches instead of other jobs.")]
Out = Annotated[Path | None, typer.Option(help="File to write; it is there when it is whole. (default: stdout)")]
Failed = Annotated[bool, typer.Option("--failed", help="Only requests that came to an error.")]


@jobs.command()
def watch(
    job: JobId,
    url: Url = None,
    key: Key = None,
    config: ConfigFile = None,
    state_dir: StateDir = None,
    as_json: AsJson = False,
) -> None:
    """Follow a job to its end; Ctrl-C leaves it running. Exit status 0 = succeeded, 1 = any other end.

    With --json: a document a line, the last one is its end.
    """
    with served(config, state_dir, url, key, as_json=as_json) as client:
        raise typer.Exit(watched(client, job, as_json=as_json))


@jobs.command("list")
def list_all(
    limit: Limit = 20,
    status: Status = "",
    batches: Batches = False,
    url: Url = None,
    key: Key = None,
    config: ConfigFile = None,
    state_dir: StateDir = None,
    as_json: AsJson = False,
) -> None:
    """List your jobs, newest first."""
    with served(config, state_dir, url, key, as_json=as_json) as client:
        if batches and status:
            raise CliError("--status is for jobs; batches have statuses of their own", "leave one of them out", code=2)
        found = list(client.list(BATCHES if batches else JOBS, limit, status=status))
        if as_json:
            print_json({"jobs": found})
        elif not found:
            typer.echo("no batches here" if batches else "no jobs here; submit some with `headrace jobs submit`")
        elif batches:
            show_table(BATCH_COLUMNS, [batch_row(each, time.time()) for each in found], right=NUMBERS)
        else:
            show_table(COLUMNS, [job_row(each, time.time()) for each in found], right=NUMBERS)


@jobs.command()
def show(
    job: JobId,
    url: Url = None,
    key: Key = None,
    config: ConfigFile = None,
    state_dir: StateDir = None,
    as_json: AsJson = False,
) -> None:
    """Show how a job stands."""
    with served(config, state_dir, url, key, as_json=as_json) as client:
        found = client.get(job)
        print_json(found) if as_json else show_facts(job_facts(found))


@jobs.command()
def cancel(
    job: JobId,
    url: Url = None,
    key: Key = None,
    config: ConfigFile = None,
    state_dir: StateDir = None,
    as_json: AsJson = False,
) -> None:
    """End a job; what it has results for keeps them. Exit status 1 when it had ended otherwise before."""
    with served(config, state_dir, url, key, as_json=as_json) as client:
        found = client.cancel(job)
        print_json(found) if as_json else typer.echo(outcome(found))
        raise typer.Exit(0 if found["status"] not in ENDED or found["status"] == "cancelled" else 1)


@jobs.command()
def results(
    job: JobId,
    out: Out = None,
    failed: Failed = False,
    url: Url = None,
    key: Key = None,
    config: ConfigFile = None,
    state_dir: StateDir = None,
    as_json: AsJson = False,
) -> None:
    """Write the results that are there, a JSON document a line, in the order of the requests.

    Exit status 0 = the job succeeded, 1 = it ended otherwise, 4 = it has not ended.
    """
    with served(config, state_dir, url, key, as_json=as_json) as client:
        # Before the results: of a job that ends meanwhile too few are claimed to be all, never too many.
        found = client.get(job)
        wanted = (each for each in client.results(job) if not failed or is_failed(each))
        with _opened(out) as file:
            count = _write(wanted, file)
        typer.echo(f"{count} {'failed ' if failed else ''}results; {outcome(found)}", err=True)
        raise typer.Exit(exit_status(found))


def is_failed(result: Mapping[str, Any]) -> bool:
    """Whether a line of results is no answer."""
    return bool(result.get("error")) or not 200 <= result["response"]["status_code"] < 300


def _write(found: Iterable[Mapping[str, Any]], file: TextIO) -> int:
    """How many there were."""
    count = 0
    for result in found:
        file.write(json.dumps(result, ensure_ascii=False) + "\n")
        count += 1
    file.flush()
    return count


@contextmanager
def _opened(out: Path | None) -> Iterator[TextIO]:
    """Beside and renamed, so that nobody takes half a file for a whole one."""
    if out is None:
        yield sys.stdout
        return
    beside = out.with_name(f".{out.name}.part")
    try:
        with beside.open("w", encoding="utf-8") as file:
            yield file
        os.replace(beside, out)  # noqa: PTH105  the atomic one, by name
    except OSError as problem:
        raise CliError(f"{out} cannot be written: {problem.strerror}", "choose another with --out", code=2) from problem
    finally:
        beside.unlink(missing_ok=True)
