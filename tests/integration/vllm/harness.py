"""A real engine on an event loop that lives as long as the tests of a module."""

import asyncio
import itertools
import os
from collections.abc import Awaitable
from pathlib import Path
from typing import TypeVar

from services.inference.adapters.vllm.engine import VllmEngine
from services.inference.adapters.vllm.settings import VllmSettings
from services.inference.domain.output.tokens import Step
from services.inference.domain.request import Common, ResumeChoice, Sampling, TokenWork

T = TypeVar("T")

MODEL = os.environ.get("HEADRACE_TEST_MODEL", ".headrace/models/smollm2-135m-instruct")
HAVE_MODEL = (Path(MODEL) / "model.safetensors").is_file()
# "<|im_start|>user\nName a city.<|im_end|>\n<|im_start|>assistant\n" and the like, without loading a tokenizer.
USER, ASSISTANT, END = [1, 4093, 198], [1, 520, 9531, 198], [2, 198]
STORY = [*USER, 13112, 549, 253, 1789, 563, 253, 3117, 30, *END, *ASSISTANT]
_ids = itertools.count()


def work(prompt=STORY, *, guided=None, resume=(), salt="salt", request_id="", adapter="", **sampling) -> TokenWork:
    sampling.setdefault("max_tokens", 16)
    common = Common(request_id or f"request-{next(_ids)}", Sampling(**sampling), guided=guided, adapter=adapter)
    return TokenWork(common, prompt=list(prompt), cache_salt=salt, resume=tuple(resume))


def resumed(tokens, choice=0, **more) -> ResumeChoice:
    return ResumeChoice(choice, tuple(tokens), 0, 0, **more)


class Sink:
    def __init__(self, choices: int = 1) -> None:
        self.steps, self.error, self._left = [], None, choices
        self.done = asyncio.Event()
        self.first = asyncio.Event()

    def on_step(self, step) -> None:
        self.steps.append(step)
        self.first.set()
        if step.finish:
            self._left -= 1
            if not self._left:
                self.done.set()

    def on_tokens(self, choice, token_ids) -> None:
        self.on_step(Step(choice, token_ids))

    def on_error(self, error) -> None:
        assert self.error is None, "on_error came twice"
        self.error = error
        self.first.set()
        self.done.set()

    def tokens(self, choice: int = 0) -> list[int]:
        return [token for step in self.steps if step.choice == choice for token in step.token_ids]

    def finish(self, choice: int = 0) -> str | None:
        return next((step.finish for step in self.steps if step.choice == choice and step.finish), None)


class Harness:
    def __init__(self, **settings) -> None:
        self.loop = asyncio.new_event_loop()
        settings.setdefault("window_tokens", 2048)
        self.engine = VllmEngine(VllmSettings(**{"kv_cache_gib": 0.25, **settings}), MODEL)
        self.capabilities, self.capacity = self.run(self.engine.start())

    def run(self, awaitable: Awaitable[T]) -> T:
        return self.loop.run_until_complete(awaitable)

    async def answer(self, request: TokenWork) -> Sink:
        finished = sum(choice.finished for choice in request.resume)
        sink = Sink(request.common.sampling.n - finished)
        self.engine.submit(request, sink)
        await asyncio.wait_for(sink.done.wait(), 120)
        return sink

    def ask(self, *args, **kwargs) -> Sink:
        return self.run(self.answer(work(*args, **kwargs)))

    def close(self) -> None:
        self.run(self.engine.close())
        self.loop.close()
