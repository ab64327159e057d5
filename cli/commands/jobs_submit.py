"""`headrace jobs submit`: a file of requests becomes a job, or a batch."""

from __future__ import annotations

import re
import secrets
import tempfile
from collections.abc import Iterator, Sequence
from typing import Annotated, Any

import typer

from cli.client.jobs import Document, JobsClient
from cli.commands.jobs_target import served
from cli.commands.jobs_watch import watched
from cli.commands.options import AsJson, ConfigFile, StateDir
from cli.commands.target import Key, Url
from cli.errors import CliError
from cli.job_lines import ENDPOINT, JobLine, job_lines
from cli.output import print_json
from cli.traffic import opened
from cli.view.jobs import accepted, come_back

REQUESTS_MAX = 1_000
WINDOW = "24h"
# What OpenAI's batches do not have.
_FLAGS = {"expires_in_seconds": "--expires", "priority": "--priority", "webhook": "--webhook"}
_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_DURATION = re.compile(r"([1-9][0-9]{0,6})([smhd])")

Lines = Annotated[str, typer.Argument(help="JSON Lines: prompts, chat bodies or OpenAI batch lines; - = stdin.")]
Model = Annotated[str, typer.Option("--model", "-m", help="Of the lines that name none.")]
Expires = Annotated[str, typer.Option(help="It ends after that, such as 30m, 6h, 2d. (default: the platform's)")]
Priority = Annotated[int, typer.Option(min=-100, max=100, help="Among your own jobs, higher first.")]
Webhook = Annotated[str, typer.Option(help="https address that is told of its end.")]
Secret = Annotated[
    str,
    typer.Option(envvar="HEADRACE_WEBHOOK_SECRET", help="Signs the webhook. (default: a fresh one, shown once)"),
]
Metadata = Annotated[list[str] | None, typer.Option("--metadata", help="name=value, comes back with it; repeat it.")]
Idempotency = Annotated[str, typer.Option(help="The same key and file are one job, however often it is submitted.")]
AsBatch = Annotated[bool, typer.Option("--batch", help="As a batch: up to 50,000 lines, within 24 h, at its price.")]
Watch = Annotated[bool, typer.Option("--watch", help="Stay and follow it.")]


def submit(
    lines: Lines,
    *,
    model: Model = "small",
    expires: Expires = "",
    priority: Priority = 0,
    webhook: Webhook = "",
    webhook_secret: Secret = "",
    metadata: Metadata = None,
    idempotency_key: Idempotency = "",
    batch: AsBatch = False,
    watch: Watch = False,
    url: Url = None,
    key: Key = None,
    config: ConfigFile = None,
    state_dir: StateDir = None,
    as_json: AsJson = False,
) -> None:
    """Hand requests over, one a line; stored and paid for when this returns. With --watch: exit status of watch."""
    with served(config, state_dir, url, key, as_json=as_json) as client:
        options = _options(expires, priority, webhook, webhook_secret, metadata)
        if batch and idempotency_key:
            raise CliError("every upload of a file is another file", "leave --idempotency-key or --batch out", code=2)
        # A key of our own: a submission that was cut is sent again and stays one job.
        once = idempotency_key or f"cli-{secrets.token_hex(16)}"
        with opened(lines) as file:
            asked = job_lines(file, "standard input" if lines == "-" else lines, model)
            job = _batch(client, asked, options, once) if batch else _job(client, asked, options, once)
        if not (watch and as_json):
            _told(job, options, made_here=bool(webhook and not webhook_secret), leaves=not watch, as_json=as_json)
        if watch:
            raise typer.Exit(watched(client, job["id"], as_json=as_json))


def _options(expires: str, priority: int, webhook: str, secret: str, metadata: Sequence[str] | None) -> dict[str, Any]:
    given: dict[str, Any] = {"metadata": metadata_of(metadata), "priority": priority}
    if expires:
        given["expires_in_seconds"] = seconds_of(expires)
    if webhook:
        given["webhook"] = {"url": webhook, "secret": secret or f"whsec_{secrets.token_hex(24)}"}
    return {name: value for name, value in given.items() if value}


def seconds_of(text: str) -> int:
    """Seconds of a duration such as 6h. Raises CliError."""
    found = _DURATION.fullmatch(text)
    if found is None:
        raise CliError(f"--expires {text!r} is no duration", "write it as 30m, 6h or 2d", code=2)
    return int(found[1]) * _UNITS[found[2]]


def metadata_of(given: Sequence[str] | None) -> dict[str, str]:
    """By name. Raises CliError."""
    pairs = [each.partition("=") for each in given or ()]
    for name, equals, value in pairs:
        if not name or not equals:
            raise CliError(f"--metadata {name + equals + value!r} is no name=value", "write --metadata run=7", code=2)
    return {name: value for name, _, value in pairs}


def _job(client: JobsClient, asked: Iterator[JobLine], options: dict[str, Any], once: str) -> Document:
    requests = []
    for line in asked:
        requests.append(line.request())
        if len(requests) > REQUESTS_MAX:
            said = f"a job has {REQUESTS_MAX:,} requests at most, and there are more lines"
            raise CliError(said, "submit them with --batch, or in several jobs", code=2)
    _require(requests)
    return client.submit({"requests": requests} | options, once)


def _batch(client: JobsClient, asked: Iterator[JobLine], options: dict[str, Any], once: str) -> Document:
    if more := sorted(_FLAGS[name] for name in options if name in _FLAGS):
        raise CliError(f"a batch takes no {', '.join(more)}", "leave that or --batch out", code=2)
    with tempfile.TemporaryFile() as file:
        _require([file.write(line.batch_line()) for line in asked])
        file.seek(0)
        uploaded = client.upload("requests.jsonl", file)
    body = {"input_file_id": uploaded["id"], "endpoint": ENDPOINT, "completion_window": WINDOW}
    return client.batch(body | options, once)


def _require(requests: Sequence[object]) -> None:
    if not requests:
        raise CliError("there is no request in it", "give a line of JSON for each", code=2)


def _told(job: Document, options: dict[str, Any], *, made_here: bool, leaves: bool, as_json: bool) -> None:
    """The id alone on stdout, for $(…). A secret that was made here is told here, and nowhere else."""
    fresh = options["webhook"]["secret"] if made_here else ""
    if as_json:
        print_json(job | ({"webhook_secret": fresh} if fresh else {}))
        return
    typer.echo(job["id"])
    notes = [accepted(job)]
    notes += [f"  {command}" for command in come_back(job["id"], status="requested")] if leaves else []
    notes += [f"  its webhook is signed with {fresh} (shown once)"] if fresh else []
    typer.echo("\n".join(notes), err=True)
