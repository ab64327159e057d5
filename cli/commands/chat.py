"""`headrace chat`: talk to the platform, one question or many in a session."""

from __future__ import annotations

import asyncio
import secrets
import sys
from collections.abc import Callable
from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Console

from cli.client.answer import Answer, Message, Question
from cli.client.rest import RestClient
from cli.commands.options import AsJson, ConfigFile, StateDir
from cli.commands.target import Key, Url, target
from cli.errors import CliError
from cli.output import print_json, reported

Text = Annotated[str | None, typer.Argument(help="One question; leave it out to talk.")]
Model = Annotated[str, typer.Option("--model", "-m", help="Model or pool.")]
Session = Annotated[str | None, typer.Option("--session", "-s", help="Session id. (default: a new one)")]
MaxTokens = Annotated[int, typer.Option(min=1, help="Longest answer, in tokens.")]
Temperature = Annotated[float | None, typer.Option(min=0.0, max=2.0, help="0 = always the likeliest token.")]
System = Annotated[str | None, typer.Option(help="System message.")]

BYE = {"/quit", "/exit", "/q"}


def chat(
    text: Text = None,
    model: Model = "small",
    session: Session = None,
    system: System = None,
    max_tokens: MaxTokens = 256,
    temperature: Temperature = None,
    url: Url = None,
    key: Key = None,
    config: ConfigFile = None,
    state_dir: StateDir = None,
    as_json: AsJson = False,
) -> None:
    """Ask a model; shows time to first token, tokens per second, cached tokens and the worker."""
    with reported(as_json):
        address, used_key = target(config, state_dir, url, key)
        history: list[Message] = [{"role": "system", "content": system}] if system else []
        name = session or f"cli-{secrets.token_hex(6)}"
        asked = Question(model, history, name, max_tokens, temperature)
        if text is None and as_json:
            raise CliError("--json answers one question", "give the question as an argument", code=2)
        with asyncio.Runner() as runner:
            talk = Conversation(runner, RestClient(address, used_key), asked)
            try:
                talk.once(text, as_json=as_json) if text is not None else talk.many()
            finally:
                runner.run(talk.client.__aexit__())


class Conversation:
    """Keeps the history and the session id from question to question."""

    def __init__(self, runner: asyncio.Runner, client: RestClient, template: Question) -> None:
        self.client = client
        self._runner = runner
        self._template = template
        self._history = list(template.messages)
        self._notes = Console(stderr=True, highlight=False)

    def once(self, text: str, *, as_json: bool) -> None:
        """One question."""
        answer = self._ask(text, (lambda _: None) if as_json else _write)
        if as_json:
            print_json(asdict(answer) | {"tokens_per_second": round(answer.tokens_per_second, 2)})
        else:
            self._report(answer)

    def many(self) -> None:
        """Reads questions until the end of input or /quit. A Ctrl-C ends the answer, not the conversation."""
        self._notes.print(f"session {self._template.session}, model {self._template.model}; /quit ends", style="dim")
        while (line := self._read()) is not None:
            try:
                self._report(self._ask(line, _write))
            except KeyboardInterrupt:
                self._notes.print("\n(cut)", style="dim")
            except CliError as problem:
                self._notes.print(str(problem), style="red", markup=False)

    def _read(self) -> str | None:
        while True:
            try:
                line = input("> " if sys.stdin.isatty() else "").strip()
            except (EOFError, KeyboardInterrupt):
                return None
            if line in BYE:
                return None
            if line:
                return line

    def _ask(self, text: str, on_text: Callable[[str], None]) -> Answer:
        """The history keeps a question only with its answer."""
        asked: list[Message] = [*self._history, {"role": "user", "content": text}]
        question = Question(
            self._template.model, asked, self._template.session, self._template.max_tokens, self._template.temperature
        )
        answer = self._runner.run(self.client.chat(question, on_text))
        self._history = [*asked, {"role": "assistant", "content": answer.text}]
        return answer

    def _report(self, answer: Answer) -> None:
        moved = f", continued after {answer.attempts - 1} lost worker(s)" if answer.attempts > 1 else ""
        sys.stdout.write("\n")
        sys.stdout.flush()
        cut = f", cut: {answer.truncated}" if answer.truncated else ""
        self._notes.print(
            f"[first token {answer.ttft_ms:.0f} ms, {answer.tokens_per_second:.0f} tok/s, "
            f"{answer.cached_tokens} of {answer.prompt_tokens} prompt tokens cached, ${answer.cost_usd}, "
            f"{answer.worker}{moved}{cut}, session {answer.session}]",
            style="dim",
            markup=False,
            soft_wrap=True,
        )


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()
