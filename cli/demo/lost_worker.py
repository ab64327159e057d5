"""`kill -9` of the worker that is answering, in mid-stream: the client must not notice more than a pause."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass

from cli.client.answer import Answer, Question
from cli.client.rest import RestClient
from cli.demo.checks import Checks
from cli.demo.script import LONG_QUESTION
from cli.demo.session import MODEL
from cli.supervisor.supervisor import Supervisor

LONG_TOKENS = 160
# Late enough to be the middle, early enough that most of the answer comes from the other worker.
PIECES_BEFORE_KILL = 12


@dataclass
class Victim:
    """The worker that was killed, and what the client saw around it."""

    name: str = ""
    boot_id: str = ""
    pid: int = 0
    pieces: int = 0
    pieces_after: int = 0
    longest_gap_ms: float = 0.0


async def kill_in_mid_stream(
    client: RestClient, supervisor: Supervisor, session: str, say: Callable[[str], None]
) -> tuple[Answer, Victim]:
    """Streams a long answer and kills its worker after some pieces. Raises CliError when the stream breaks off."""
    victim, last = Victim(), 0.0

    def on_worker(name: str) -> None:
        victim.name = name

    def on_text(_: str) -> None:
        nonlocal last
        now = time.perf_counter()
        victim.longest_gap_ms = max(victim.longest_gap_ms, (now - last) * 1000 if last else 0.0)
        last = now
        victim.pieces += 1
        if victim.pid:
            victim.pieces_after += 1
        elif victim.pieces >= PIECES_BEFORE_KILL and victim.name:
            _kill(supervisor, victim)
            say(f"  kill -9 {victim.pid} ({victim.name}) after {victim.pieces} pieces of the answer")

    messages = [{"role": "user", "content": LONG_QUESTION}]
    extra: dict[str, object] = {"ignore_eos": True}
    question = Question(MODEL, messages, session, LONG_TOKENS, temperature=0.0, extra=extra)
    return await client.chat(question, on_text, on_worker), victim


def _kill(supervisor: Supervisor, victim: Victim) -> None:
    state = supervisor[victim.name].state
    victim.pid, victim.boot_id = state.pid, state.boot_id
    os.kill(state.pid, signal.SIGKILL)


def check_lost_worker(checks: Checks, answer: Answer, victim: Victim) -> None:
    """The answer is whole, and its second part came from somewhere else."""
    checks.expect(victim.pid != 0, "a worker was killed in mid-stream", "the answer was over too soon")
    checks.expect(
        answer.attempts == 2 and answer.worker != victim.name,
        f"the answer went on from {answer.worker} after {victim.longest_gap_ms:.0f} ms",
        f"{answer.attempts} attempt(s), last on {answer.worker}",
    )
    checks.expect(victim.pieces_after > 0, f"{victim.pieces_after} pieces came after the kill")
    checks.expect(
        answer.completion_tokens == LONG_TOKENS and answer.finish == "length",
        f"the stream ended cleanly with all {LONG_TOKENS} tokens",
        f"{answer.completion_tokens} tokens, finish {answer.finish!r}",
    )
