"""A five-step agent session, over either protocol, with the time to first token of each step."""

from __future__ import annotations

import statistics
from collections.abc import Awaitable, Callable, Sequence
from itertools import pairwise

from cli.client.answer import Answer, Message, Question
from cli.demo.checks import Checks
from cli.demo.script import STEPS, frame

MODEL = "small"
STEP_TOKENS_MAX = 24

Ask = Callable[[Question], Awaitable[Answer]]


async def agent_session(ask: Ask, agent: str, session: str, say: Callable[[str], None]) -> list[Answer]:
    """Asks the five steps, each with the whole history, as agents do. Raises CliError."""
    history: list[Message] = [frame(agent)]
    answers: list[Answer] = []
    say("  step        TTFT    prompt    cached          cost  worker         answer")
    for number, step in enumerate(STEPS, 1):
        history.append({"role": "user", "content": step})
        answer = await ask(Question(MODEL, list(history), session, STEP_TOKENS_MAX, temperature=0.0))
        history.append({"role": "assistant", "content": answer.text})
        answers.append(answer)
        say(step_line(number, answer))
    return answers


def step_line(number: int, answer: Answer) -> str:
    """One row of the table."""
    warmth = "cold" if number == 1 else "warm"
    text = " ".join(answer.text.split())[:36]
    return (
        f"  {number} {warmth} {answer.ttft_ms:8.0f} ms {answer.prompt_tokens:8d} {answer.cached_tokens:9d}"
        f" {'$' + answer.cost_usd:>13}  {answer.worker:<13}  {text}"
    )


def check_session(checks: Checks, name: str, answers: Sequence[Answer]) -> None:
    """A session stays on one worker, and a step pays for its new part only."""
    workers = sorted({answer.worker for answer in answers})
    checks.expect(len(answers) == len(STEPS), f"{name}: all {len(STEPS)} steps were answered")
    checks.expect(all(answer.text for answer in answers), f"{name}: no answer is empty")
    checks.expect(len(workers) == 1, f"{name}: every step went to the worker of the session", f"workers {workers}")
    reused = [now.cached_tokens / before.prompt_tokens for before, now in pairwise(answers)]
    least = min(reused, default=0.0)
    checks.expect(least >= 0.8, f"{name}: each warm step found at least 80 % of the last prompt cached", f"{least:.0%}")
    warm, cold = statistics.median(answer.ttft_ms for answer in answers[1:]), answers[0].ttft_ms
    checks.expect(
        warm < cold, f"{name}: warm steps start sooner ({warm:.0f} ms) than the cold one ({cold:.0f} ms)", "slower"
    )
