"""Follows a job to its end, for `jobs watch` and `jobs submit --watch`."""

from __future__ import annotations

import sys

from rich.console import Console

from cli.client.jobs import ENDED, Document, JobsClient
from cli.errors import CliError
from cli.interrupts import EXIT_INTERRUPTED
from cli.output import console
from cli.view.job_progress import job_view
from cli.view.jobs import come_back, outcome

EXIT_SUCCEEDED = 0
EXIT_ENDED_OTHERWISE = 1
EXIT_NOT_ENDED = 4


def exit_status(job: Document) -> int:
    """What the shell is told of a job."""
    if job["status"] not in ENDED:
        return EXIT_NOT_ENDED
    return EXIT_SUCCEEDED if job["status"] == "succeeded" else EXIT_ENDED_OTHERWISE


def watched(client: JobsClient, job: str, *, as_json: bool) -> int:
    """The exit status. A Ctrl-C ends the watching, not the job. Raises CliError."""
    last: Document | None = None
    try:
        with job_view(console(), json_to=sys.stdout if as_json else None) as view:
            client.tell(view.away)
            for last in client.watch(job):
                view.show(last)
    except KeyboardInterrupt:
        _say(f"\n{job} goes on without you. Come back with", *come_back(job, status="running"))
        return EXIT_INTERRUPTED
    except CliError as problem:
        if last is not None:
            then = f"come back with `headrace jobs watch {job}`: the job goes on without you"
            problem.fix = f"{problem.fix}; {then}" if problem.fix else then
        raise
    if last is None:  # the stream of news begins with the job, or raises
        raise CliError(f"nothing was heard of {job}", f"headrace jobs show {job}")
    if not as_json:
        console().print(outcome(last), markup=False, soft_wrap=True)
        _say("Its results:", *come_back(job, status=last["status"]))
    return exit_status(last)


def _say(head: str, *commands: str) -> None:
    """On stderr: stdout is for what was asked for."""
    notes = Console(stderr=True, highlight=False)
    for line in (head, *(f"  {command}" for command in commands)):
        notes.print(line, markup=False, soft_wrap=True)
