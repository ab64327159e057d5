"""The clients' log against the platform: every promise kept once, every answer right, every charge made once."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from headrace.events.v1 import jobs_pb2

from libs.kafka import KafkaSettings
from libs.kafka.reader import TopicReader
from libs.valkey import Valkey
from loadtests.jobs.client_log import PROMPTS, Submitters, text_of, tokens_of
from loadtests.jobs.topics import FINISHED
from loadtests.overspend.books import Charged
from services.gateway.adapters.ledger.outbox import ValkeyOutbox
from services.gateway.adapters.ledger.spend import ValkeySpend
from services.gateway.domain.ledger.holds import request_of

_PARALLEL = 8
_PAGE = 500
_NAMED = 20


@dataclass
class Verdict:
    """Counts of what must be none, and what was seen beside them."""

    promised: int = 0
    lost: int = 0
    wrong: int = 0
    doubled_effects: int = 0
    doubled_charges: int = 0
    refused: int = 0
    states: dict[str, int] = field(default_factory=dict)
    attempts: int = 0
    # Nano-dollars: what the ledger has settled, what all results cost, what is still held or reserved.
    settled: int = 0
    cost_of_results: int = 0
    held: int = 0
    finished_events: int = 0
    finished_jobs: int = 0
    named: list[str] = field(default_factory=list)

    @property
    def violations(self) -> int:
        """0 when every promise was kept."""
        balance = self.settled != self.cost_of_results or self.held != 0
        return self.lost + self.wrong + self.doubled_effects + self.doubled_charges + self.refused + balance

    def document(self) -> dict[str, Any]:
        """For the report."""
        return {**asdict(self), "violations": self.violations}

    def name(self, what: str) -> None:
        """Keeps some of what was wrong, for people."""
        if len(self.named) < _NAMED:
            self.named.append(what)


async def judge(clients: Submitters, valkey: Valkey, tenant: str, kafka: KafkaSettings) -> Verdict:
    """Reads every job over the API, all charges of the tenant, and the finished topic from its beginning."""
    log, verdict = clients.log, Verdict(promised=len(clients.log.promises), refused=len(clients.log.refused))
    for said in log.refused:
        verdict.name(f"refused {said}")
    twice = [job for job, count in Counter(each.job for each in log.promises.values()).items() if count > 1]
    for job in twice:
        verdict.doubled_effects += 1
        verdict.name(f"{job} was promised for two submissions")
    live = await _live_cost(valkey, tenant)
    answers = await _read_jobs(clients, verdict)
    await _read_charges(valkey, tenant, verdict, answers, live)
    await _read_finished(kafka, verdict, {each.job for each in log.promises.values()})
    return verdict


async def _live_cost(valkey: Valkey, tenant: str) -> int:
    """What the calls cost that taught the expected answers: they are the tenant's first PROMPTS charges."""
    entries = await ValkeyOutbox(valkey).read(tenant, "", _PAGE)
    calls = [entry for entry in entries if entry.kind == "settled"]
    return sum(entry.cost for entry in calls[:PROMPTS])


@dataclass(frozen=True, slots=True)
class _Answer:
    """The job that a request was made for, and what its answer costs."""

    job: str
    cost: int


async def _read_jobs(clients: Submitters, verdict: Verdict) -> dict[str, _Answer]:
    """Judges each job; returns its answer by request id."""
    todo, states, answers = iter(list(clients.log.promises.values())), Counter[str](), dict[str, _Answer]()

    async def some() -> None:
        for promise in todo:
            job = await clients.job(promise.job)
            states[str(job["status"])] += 1
            verdict.attempts += int(job.get("attempts") or 0)
            result = job.get("result")
            if job["status"] != "succeeded" or not result:
                verdict.lost += 1
                verdict.name(f"{promise.job} (submission {promise.number}) is {job['status']}: {job.get('error')}")
                continue
            if text_of(result) != clients.log.expected[promise.number % PROMPTS]:
                verdict.wrong += 1
                verdict.name(f"{promise.job} was answered with {text_of(result)[:80]!r}")
            if str(result["id"]) in answers:
                verdict.doubled_effects += 1
                verdict.name(f"{promise.job} has the answer of another job")
            answers[str(result["id"])] = _Answer(promise.job, tokens_of(result))
            verdict.cost_of_results += tokens_of(result)

    await asyncio.gather(*(some() for _ in range(_PARALLEL)))
    verdict.states = dict(states)
    return answers


async def _read_charges(
    valkey: Valkey, tenant: str, verdict: Verdict, answers: Mapping[str, _Answer], live: int
) -> None:
    """Each answer was charged what it costs, over all holds that it had; nothing else was charged."""
    charges = await read_charges(valkey, tenant)
    for request, answer in answers.items():
        charged = charges[request].cost if request in charges else 0
        if charged != answer.cost:
            verdict.doubled_charges += 1
            verdict.name(f"{answer.job} costs {answer.cost} and was charged {charged}")
    foreign = [request for request, charged in charges.items() if charged.cost and request not in answers]
    if len(foreign) > PROMPTS:  # the live calls that taught the answers are among them
        verdict.doubled_charges += len(foreign) - PROMPTS
        verdict.name(f"{len(foreign) - PROMPTS} charges belong to no result, such as {foreign[-3:]}")
    (scope,) = await ValkeySpend(valkey).of_scopes(tenant, ["t"])
    verdict.settled, verdict.held = scope.settled_nanodollars - live, scope.held_nanodollars


async def read_charges(valkey: Valkey, tenant: str) -> dict[str, Charged]:
    """Everything that the tenant was charged, by request."""
    outbox, after, found = ValkeyOutbox(valkey), "", dict[str, Charged]()
    while entries := await outbox.read(tenant, after, _PAGE):
        for entry in entries:
            if entry.kind in {"settled", "expired", "corrected"}:
                charged = found.setdefault(request_of(entry.request_id), Charged())
                charged.cost += entry.cost
        after = entries[-1].id
    return found


async def _read_finished(kafka: KafkaSettings, verdict: Verdict, promised: set[str]) -> None:
    """An event may come twice in the topic; for one end it is the same event, and no end is without one."""
    ends: Counter[tuple[str, int]] = Counter()
    async for batch in TopicReader(kafka).read_all(FINISHED):
        for stored in batch:
            event = jobs_pb2.JobFinished.FromString(stored.record.value)
            ends[event.job.id, event.job.version] += 1
    verdict.finished_events = sum(ends.values())
    jobs = Counter(job for job, _ in ends if job in promised)
    verdict.finished_jobs = len(jobs)
    missing = promised - set(jobs)
    verdict.lost += len(missing)
    for job in list(missing)[:3]:
        verdict.name(f"{job} has no event in {FINISHED}")
    for job, count in jobs.items():
        if count > 1:
            verdict.doubled_effects += 1
            verdict.name(f"{job} ended {count} times")
