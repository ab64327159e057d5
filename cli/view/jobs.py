"""Jobs in words: what the jobs API answers, as people read it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cli.view.accounts import moment, tag_words, usd

Document = Mapping[str, Any]

# Narrow enough for 80 columns: an id that is folded cannot be copied.
COLUMNS = ("job", "status", "done", "failed", "age", "cost")
NUMBERS = frozenset({"done", "failed", "age", "cost"})
BATCH_COLUMNS = ("batch", "status", "done", "failed", "age", "output")
_AGES = ((86_400, "d"), (3_600, "h"), (60, "min"))
COLOURS = {
    "accepting": "yellow",
    "requested": "yellow",
    "running": "cyan",
    "succeeded": "green",
    "failed": "bold red",
    "cancelled": "magenta",
    "expired": "magenta",
}


def job_row(job: Document, now: float) -> list[str]:
    """A row for COLUMNS at `now` (Unix seconds)."""
    requests = job["requests"]
    return [
        job["id"],
        job["status"],
        f"{done(job)}/{requests['total']}",
        str(requests["failed"] or ""),
        age_words(now - job["created_at"]),
        usd(job["cost_usd"]),
    ]


def batch_row(batch: Document, now: float) -> list[str]:
    """A row for BATCH_COLUMNS of an OpenAI batch."""
    counts = batch["request_counts"]
    return [
        batch["id"],
        batch["status"],
        f"{counts['completed'] + counts['failed']}/{counts['total']}",
        str(counts["failed"] or ""),
        age_words(now - batch["created_at"]),
        batch["output_file_id"] or "",
    ]


def age_words(seconds: float) -> str:
    """Such as 12 s, 3 min, 5 h, 2 d."""
    for length, unit in _AGES:
        if seconds >= length:
            return f"{seconds // length:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"


def done(job: Document) -> int:
    """Requests that have ended, well or not."""
    return int(job["requests"]["succeeded"]) + int(job["requests"]["failed"])


def tokens(job: Document) -> int:
    """Tokens that were made, those of answers that are being made included."""
    return int(job["usage"]["completion_tokens"]) + int(job.get("running_tokens") or 0)


def job_facts(job: Document) -> dict[str, str]:
    """All of one job, a fact a line."""
    requests, usage, error, hook = job["requests"], job["usage"], job.get("error"), job.get("webhook")
    files = job.get("batch") or {}
    return {
        "job": job["id"],
        "status": job["status"] + (", is being cancelled" if job.get("cancelling") else ""),
        "requests": f"{requests['total']}: {requests['succeeded']} succeeded, {requests['failed']} failed",
        "submitted (UTC)": moment(job["created_at"]),
        "started (UTC)": moment(job.get("started_at")),
        "ended (UTC)": moment(job.get("ended_at")),
        "expires (UTC)": moment(job.get("expires_at")),
        "attempts": str(job["attempts"]),
        "tokens": f"{usage['prompt_tokens']} prompt, {usage['cached_tokens']} cached, "
        f"{usage['completion_tokens']} completion",
        "cost": usd(job["cost_usd"]),
        "reserved": usd(job.get("reserved_usd")),
        "priority": str(job.get("priority") or ""),
        "metadata": tag_words(job.get("metadata") or {}),
        "webhook": f"{hook['url']}: {hook['state']}{_tries(hook)}" if hook else "",
        "input file": files.get("input_file_id") or "",
        "output file": files.get("output_file_id") or "",
        "error file": files.get("error_file_id") or "",
        "error": f"{error['message']}{_line(error)}" if error else "",
    }


def _tries(hook: Document) -> str:
    last = f", HTTP {hook['status']}" if hook.get("status") else ""
    return f" after {hook['attempts']} attempt(s){last}" if hook.get("attempts") else ""


def _line(error: Document) -> str:
    return f" (line {error['line']} of its file)" if error.get("line") else ""


def outcome(job: Document) -> str:
    """How it stands, in a sentence."""
    requests, failed = job["requests"], job["requests"]["failed"]
    said = f"{job['id']} {job['status']}: {done(job)} of {requests['total']} done"
    more = [f"{failed} failed"] if failed else []
    more += [f"{job['usage']['completion_tokens']} tokens", usd(job["cost_usd"])]
    more += [f"{job['attempts']} attempt{'' if job['attempts'] == 1 else 's'}"]
    why = f"\n  {job['error']['message']}{_line(job['error'])}" if job.get("error") else ""
    return f"{said}, {', '.join(more)}{why}"


def accepted(job: Document) -> str:
    """What is said of a job (or a batch, in OpenAI's form) that was taken."""
    if job["object"] == "batch":
        return f"accepted as a batch of {job['input_file_id']}, which is being read"
    reserved = f", at most {usd(job['reserved_usd'])}" if job.get("reserved_usd") else ""
    return f"accepted: {job['requests']['total']} requests{reserved}"


def come_back(job: str, *, status: str) -> list[str]:
    """What can be done about a job, a command a line."""
    if status in ("accepting", "requested", "running"):
        return [f"headrace jobs watch {job}", f"headrace jobs cancel {job}"]
    return [f"headrace jobs results {job}"]
