"""The demo from end to end."""

from __future__ import annotations

import asyncio
import os
import secrets
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from cli.client import grpc as grpc_client
from cli.client.admin import AdminClient
from cli.client.answer import Answer, Question
from cli.client.rest import RestClient
from cli.config import Config
from cli.demo.books import check_books, say_costs
from cli.demo.checks import Checks
from cli.demo.jobs import LongWork, check_long_work, long_work
from cli.demo.lost_worker import check_lost_worker, kill_in_mid_stream
from cli.demo.overrun import Overrun, check_cut_stream, check_overrun, cut_stream, overrun
from cli.demo.session import MODEL, agent_session, check_session
from cli.demo.tiers import Routed, ask_auto, check_tiers
from cli.errors import CliError
from cli.install import admin_key
from cli.platform import running_platform, wait_settled
from cli.supervisor.state import ProcessState, same_process
from cli.supervisor.supervisor import Supervisor
from cli.view.port import Onlooker
from libs.money import from_dollars

# The makefile says when it began, so that making the environment counts too.
STARTED_AT = "HEADRACE_STARTED_AT"
FIRST_TOKEN_TARGET_SECONDS = 180.0
WORKER_SECONDS_MAX = 300.0


@dataclass
class Demo:
    """What was done and seen; `document` is its JSON form."""

    config: Config
    view: Onlooker
    started_at: float
    first_token_seconds: float = 0.0
    sessions: dict[str, list[Answer]] = field(default_factory=dict)
    overrun: Overrun = field(default_factory=Overrun)
    routed: list[Routed] = field(default_factory=list)
    long_work: LongWork = field(default_factory=LongWork)
    checks: Checks = field(init=False)

    def __post_init__(self) -> None:
        self.checks = Checks(self.view.note)

    def document(self) -> dict[str, Any]:
        """Everything for programs."""
        return {
            "ok": self.checks.all_held,
            "first_token_seconds": round(self.first_token_seconds, 1),
            "first_token_target_seconds": FIRST_TOKEN_TARGET_SECONDS,
            "sessions": {name: [asdict(step) for step in steps] for name, steps in self.sessions.items()},
            "overrun": self.overrun.document(),
            "job": self.long_work.document(),
            "auto": {routed.name: routed.document() for routed in self.routed},
            "checks": self.checks.results,
        }


def demo_started_at() -> float:
    """Epoch seconds at which `make demo` (or else this command) began."""
    given = os.environ.get(STARTED_AT, "")
    return float(given) if given.replace(".", "", 1).isdecimal() else time.time()


async def run_demo(demo: Demo) -> None:
    """Runs all of it; raises CliError where it cannot go on, after which the checks tell how far it came."""
    seen: list[ProcessState] = []
    async with running_platform(demo.config, demo.view) as supervisor:
        if not await wait_settled(supervisor):
            raise CliError("the platform does not answer: a process was given up", "see its last lines above")
        key = "" if demo.config.anonymous else admin_key(demo.config.layout)
        async with RestClient(supervisor.state.rest, key) as client:
            await _first_token(demo, client)
            await _all_ready(supervisor)
            await _sessions(demo, client, supervisor, key)
            await _lost_worker(demo, client, supervisor)
            with AdminClient(supervisor.state.rest, admin_key(demo.config.layout)) as admin:
                await _tiers(demo, client, admin)
                await _money(demo, supervisor.state.rest, admin)
                await _long_work(demo, supervisor, admin)
        seen = [ProcessState(**asdict(process)) for process in supervisor.state.processes]
        demo.view.note("Stopping in drain order.")
    left = [process.name for process in seen if same_process(process.pid, process.started_at)]
    demo.checks.expect(not left, "every process is gone", f"left: {', '.join(left)}")


async def _first_token(demo: Demo, client: RestClient) -> None:
    first: list[float] = []

    def on_text(_: str) -> None:
        if not first:
            first.append(time.time())

    messages = [{"role": "user", "content": "What is the capital of France?"}]
    answer = await client.chat(Question(MODEL, messages, max_tokens=16, temperature=0.0), on_text)
    demo.checks.expect(bool(first), "a first token came")
    demo.first_token_seconds = (first[0] if first else time.time()) - demo.started_at
    demo.view.note(f"First answer: {' '.join(answer.text.split())}")
    demo.view.note(target_words(demo.first_token_seconds))


def target_words(seconds: float) -> str:
    """The time to the first token against its target."""
    word = "within" if seconds <= FIRST_TOKEN_TARGET_SECONDS else "MISSES"
    return (
        f"First token {seconds:.0f} s after the start of the demo: {word} the target of "
        f"{FIRST_TOKEN_TARGET_SECONDS:.0f} s."
    )


async def _all_ready(supervisor: Supervisor) -> None:
    processes = supervisor.state.processes
    await _until(lambda: all(process.state == "ready" for process in processes), "every process to be ready")


async def _sessions(demo: Demo, client: RestClient, supervisor: Supervisor, key: str) -> None:
    async def over_rest(question: Question) -> Answer:
        return await client.chat(question, _ignore)

    async def over_grpc(question: Question) -> Answer:
        return await grpc_client.chat(supervisor.state.grpc, key, question, _ignore)

    if demo.config.needs_bundled_model:
        demo.view.note("The bundled model has 135M parameters: judge the times, not its words.")
    for name, agent, ask in (("REST", "Robin", over_rest), ("gRPC", "Gale", over_grpc)):
        demo.view.note(f"An agent session of five steps over {name}:")
        answers = await agent_session(ask, agent, f"demo-{name.lower()}-{secrets.token_hex(4)}", demo.view.note)
        demo.sessions[name] = answers
        check_session(demo.checks, name, answers)


async def _lost_worker(demo: Demo, client: RestClient, supervisor: Supervisor) -> None:
    demo.view.note("A worker is killed in the middle of its answer:")
    session = f"demo-lost-{secrets.token_hex(4)}"
    answer, victim = await kill_in_mid_stream(client, supervisor, session, demo.view.note)
    check_lost_worker(demo.checks, answer, victim)
    if not victim.pid:
        return
    state = supervisor[victim.name].state
    await _until(lambda: state.state == "ready" and state.boot_id not in ("", victim.boot_id), f"{victim.name} again")
    demo.checks.expect(
        state.restarts == 1, f"{victim.name} is back under its name with a new boot id ({state.boot_id})"
    )


async def _tiers(demo: Demo, client: RestClient, admin: AdminClient) -> None:
    if not demo.config.router_tiers:
        demo.view.note("No tiers are configured here, so nothing is asked of `auto`.")
        return
    demo.view.note("An easy and a hard question, both to `auto`:")
    if demo.config.needs_bundled_model:
        demo.view.note("  (Both tiers are the bundled model here: one line in headrace.yaml gives a tier another.)")
    demo.routed = await ask_auto(client, admin, demo.view.note)
    check_tiers(demo.checks, demo.routed)


async def _money(demo: Demo, url: str, admin: AdminClient) -> None:
    say = demo.view.note
    for name, answers in demo.sessions.items():
        say(f"What the session over {name} cost, step by step:")
        say_costs(say, answers)
        await check_books(demo.checks, admin, name, answers)
    first_step = from_dollars(demo.sessions["REST"][0].cost_usd)
    stream, seen = await cut_stream(url, admin, first_step)
    check_cut_stream(demo.checks, stream, seen)
    demo.overrun = await overrun(url, admin, first_step, say)
    check_overrun(demo.checks, demo.overrun)


async def _long_work(demo: Demo, supervisor: Supervisor, admin: AdminClient) -> None:
    demo.view.note("A batch of jobs is handed over, and their consumer is killed half way:")
    demo.long_work = await long_work(supervisor.state.rest, supervisor, admin, demo.view.note)
    check_long_work(demo.checks, demo.long_work)


async def _until(condition: Callable[[], bool], what: str) -> None:
    try:
        async with asyncio.timeout(WORKER_SECONDS_MAX):
            while not condition():  # noqa: ASYNC110  the supervisor's state is plain data that is looked at
                await asyncio.sleep(0.1)
    except TimeoutError:
        raise CliError(f"waited {WORKER_SECONDS_MAX:.0f} s in vain for {what}", "see .headrace/logs") from None


def _ignore(_: str) -> None:
    pass
