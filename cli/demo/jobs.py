"""A job of many requests whose consumer is killed half way: every result is there once, and charged once."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from cli.client.admin import REQUESTS as RECORDS
from cli.client.admin import AdminClient, one
from cli.client.jobs import ENDED, Document, JobsClient
from cli.demo.books import settled
from cli.demo.checks import Checks
from cli.demo.overrun import make_purse
from cli.demo.session import MODEL
from cli.errors import CliError
from cli.job_lines import JobLine
from cli.supervisor.supervisor import Supervisor
from cli.view.accounts import usd
from cli.view.jobs import done
from cli.view.table import plain
from libs.money import from_dollars, to_dollars

PLACES = (
    "Porto", "Lima", "Oslo", "Kyoto", "Accra", "Quito", "Hanoi", "Tunis", "Perth", "Genoa", "Izmir", "Cusco",
    "Basel", "Turku", "Delhi", "Dakar", "Split", "Busan", "Bergen", "Malmo", "Leeds", "Tampa", "Osaka", "Graz",
)  # fmt: skip
# Answers of different lengths end one after another, so that there is a middle to kill the consumer in.
TOKENS_LEAST = 4
TOKENS_MORE = 2
# Nano-dollars: far more than these answers cost.
BUDGET = 1_000_000_000
KILL_AFTER = len(PLACES) // 3
SECONDS_MAX = 120.0
_POLL_SECONDS = 0.03
_RECORD_SECONDS_MAX = 10.0


def lines() -> list[JobLine]:
    """What is asked, a request a line."""
    return [
        JobLine(number, f"place-{number:02d}", _body(place, TOKENS_LEAST + TOKENS_MORE * number))
        for number, place in enumerate(PLACES, 1)
    ]


def _body(place: str, tokens: int) -> dict[str, Any]:
    ask = [{"role": "user", "content": f"What is {place} known for?"}]
    return {"model": MODEL, "messages": ask, "max_tokens": tokens, "temperature": 0, "ignore_eos": True}


@dataclass
class LongWork:
    """What was seen; amounts are nano-dollars."""

    job: Document = field(default_factory=dict)
    results: list[Document] = field(default_factory=list)
    # Of the killed process, and how the job stood then.
    pid: int = 0
    done_then: int = 0
    attempts_then: int = 0
    seconds: float = 0.0
    recorded: int = 0
    charged: int = 0

    def document(self) -> dict[str, Any]:
        """For programs."""
        return {
            "id": self.job.get("id"),
            "status": self.job.get("status"),
            "requests": self.job.get("requests"),
            "attempts": self.job.get("attempts"),
            "killed_after": self.done_then,
            "seconds": round(self.seconds, 1),
            "cost_usd": self.job.get("cost_usd"),
            "recorded_usd": to_dollars(self.recorded),
            "charged_usd": to_dollars(self.charged),
        }


async def long_work(url: str, supervisor: Supervisor, admin: AdminClient, say: Callable[[str], None]) -> LongWork:
    """Submits the job under a key of its own, kills the jobs process, and waits for the end. Raises CliError."""
    purse = await make_purse(admin, "demo-jobs", BUDGET)
    with JobsClient(url, purse.secret) as client:
        seen, begun = LongWork(), time.monotonic()
        requests = [line.request() for line in lines()]
        job = await asyncio.to_thread(client.submit, {"requests": requests}, f"demo-{purse.key_id}")
        say(f"  {job['id']}: {len(requests)} requests, accepted in {1000 * (time.monotonic() - begun):.0f} ms")
        await _to_its_end(client, job["id"], supervisor, seen, say)
        seen.seconds = time.monotonic() - begun
        seen.results = await asyncio.to_thread(lambda: list(client.results(job["id"])))
    seen.charged = await settled(admin, purse.key_id)
    for result in seen.results:
        seen.recorded += await _recorded(admin, result["response"]["request_id"])
    say(f"  {seen.job['status']} after {seen.seconds:.1f} s, {seen.job['attempts']} attempts; the results:")
    for result in seen.results:
        say(result_line(result))
    return seen


async def _to_its_end(
    client: JobsClient, job: str, supervisor: Supervisor, seen: LongWork, say: Callable[[str], None]
) -> None:
    """Looks at the job again and again; a platform that has no answer at the moment is asked again."""
    end, trouble = time.monotonic() + SECONDS_MAX, ""
    while seen.job.get("status") not in ENDED:
        if time.monotonic() > end:
            said = f"the job has not ended after {SECONDS_MAX:.0f} s{trouble}"
            raise CliError(said, "see .headrace/logs/jobs.log")
        try:
            seen.job, trouble = await asyncio.to_thread(client.get, job), ""
        except CliError as problem:
            trouble = f"; the last look at it: {problem.message}"
        if not seen.pid and seen.job and KILL_AFTER <= done(seen.job) < len(PLACES):
            _kill(supervisor, seen)
            say(f"  kill -9 {seen.pid} (jobs) after {seen.done_then} of {len(PLACES)} results")
        await asyncio.sleep(_POLL_SECONDS)


def _kill(supervisor: Supervisor, seen: LongWork) -> None:
    seen.pid = supervisor["jobs"].state.pid
    seen.done_then, seen.attempts_then = done(seen.job), seen.job["attempts"]
    os.kill(seen.pid, signal.SIGKILL)


async def _recorded(admin: AdminClient, request_id: str) -> int:
    """What the record of a request says that it cost; it is written a moment after the answer."""
    until = time.monotonic() + _RECORD_SECONDS_MAX
    while True:
        try:
            record = await asyncio.to_thread(admin.get, one(RECORDS, request_id))
        except CliError:
            if time.monotonic() > until:
                raise
            await asyncio.sleep(0.1)
        else:
            return from_dollars(record["cost_usd"])


def result_line(result: Document) -> str:
    """One row."""
    response = result["response"]
    body = response["body"]
    text = body["choices"][0]["message"]["content"] if response["status_code"] == 200 else body["error"]["message"]
    tokens = body.get("usage", {}).get("completion_tokens", 0)
    words = plain(" ".join(text.split()))[:56]
    return f"  {result['custom_id']:<10} {response['status_code']} {tokens:4d} tokens  {words}"


def check_long_work(checks: Checks, seen: LongWork) -> None:
    """Nothing is lost and nothing doubled: results, tokens, charges."""
    total, job = len(PLACES), seen.job
    checks.expect(
        seen.pid != 0 and 0 < seen.done_then < total,
        f"the consumer was killed half way, after {seen.done_then} of {total} results",
        "the job was over too soon",
    )
    checks.expect(
        job["attempts"] > seen.attempts_then,
        f"another attempt took over ({seen.attempts_then} attempts before, {job['attempts']} in all)",
        "no other attempt was begun",
    )
    named = Counter(result["custom_id"] for result in seen.results)
    wanted = Counter(line.custom_id for line in lines())
    checks.expect(
        named == wanted, f"all {total} results are there, each once", f"{(named - wanted) + (wanted - named)}"
    )
    good = sum(result["response"]["status_code"] == 200 for result in seen.results)
    checks.expect(job["status"] == "succeeded" and good == total, f"all {total} succeeded", f"{job['status']}, {good}")
    tokens = sum(line.body["max_tokens"] for line in lines())
    counted = job["usage"]["completion_tokens"]
    checks.expect(counted == tokens, f"{tokens} tokens were made, as many as were asked for", f"{counted}")
    cost = from_dollars(job["cost_usd"])
    checks.expect(
        0 < cost == seen.recorded == seen.charged,
        f"each was charged once: {usd(job['cost_usd'])} is what the job, its {total} records and the key's books say",
        f"job {usd(job['cost_usd'])}, records ${to_dollars(seen.recorded)}, books ${to_dollars(seen.charged)}",
    )
