"""A whole worker in one process and on virtual time: real handlers, pipeline and scheduler, a tiny real tokenizer."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path

from headrace.inference.v1 import inference_pb2 as pb
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

from libs.chat_template import unpack
from libs.testing.clock import FakeClock
from libs.testing.inmem import InMemoryChannel
from services.inference.adapters.detokenizers import TokenizerDetokenizers
from services.inference.adapters.engines import TokenSide
from services.inference.adapters.model_files import ModelFiles
from services.inference.adapters.simulated.engine import SimulatedEngine
from services.inference.adapters.simulated.protocol import Abort, Add
from services.inference.adapters.simulated.scheduler import Scheduler
from services.inference.adapters.simulated.settings import SimulatedSettings
from services.inference.api import GENERATE
from services.inference.domain.cached_blocks import CachedBlocks
from services.inference.main import compose
from services.inference.settings import EngineSettings, InferenceSettings, ModelSettings
from services.inference.usecases.activity import Activity
from services.inference.usecases.sent import SentLog

TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
PROMPT = list(range(10, 50))
TIMEOUT = 600.0


def activity(observers=()):
    return Activity(SentLog(FakeClock(), entries_max=1000, seconds=60.0), observers)


@cache
def tokenizer() -> Tokenizer:
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=600,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
        special_tokens=[AddedToken(t, normalized=False) for t in ("<|im_start|>", "<|im_end|>", "<|endoftext|>")],
    )
    made.train_from_iterator(
        ["the river runs by the old mill and turns its wheel, says the user of the system " * 9], trainer
    )
    return made


def write_model(path: Path) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    (path / "tokenizer.json").write_text(tokenizer().to_str())
    (path / "tokenizer_config.json").write_text('{"eos_token": "<|im_end|>"}')
    (path / "chat_template.jinja").write_text(TEMPLATE)
    (path / "generation_config.json").write_text('{"eos_token_id": 1}')
    (path / "config.json").write_text('{"max_position_embeddings": 512}')
    (path / "model.safetensors").write_bytes(b"weights")
    return path


class LocalLink:
    """The engine's scheduler on the test's own loop, in place of the child process."""

    pid = 0

    def __init__(self, on_steps, on_lost):
        self.deliver, self.lose = on_steps, on_lost
        self._wake = asyncio.Event()
        self._task = None
        self.frozen = False
        # How many steps arrive in one read, as they do when the worker's loop is slower than the engine.
        self.together = 1
        self._arrived = []

    async def open(self, start):
        self._scheduler = Scheduler(start, unpack(start.words))
        self._task = asyncio.create_task(self._run(), name="local-engine")

    def send(self, command):
        if isinstance(command, Add):
            self._scheduler.add(command, asyncio.get_running_loop().time())
        elif isinstance(command, Abort):
            self._scheduler.abort(command.key)
        self._wake.set()

    async def _run(self):
        loop, last = asyncio.get_running_loop(), -1e9
        while True:
            if not self._scheduler.busy:
                self._wake.clear()
                await self._wake.wait()
            await asyncio.sleep(max(0.0, self._scheduler.due(last) - loop.time()))
            last = loop.time()
            step = self._scheduler.step(last)
            if (step.outs or step.stored or step.dropped) and not self.frozen:
                self._arrive(step)

    def _arrive(self, step):
        self._arrived.append(step)
        if len(self._arrived) >= self.together or not self._scheduler.busy:
            arrived, self._arrived = self._arrived, []
            self.deliver(arrived)

    async def close(self):
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)


class World:
    def __init__(self, worker, engine, link, side, clock, deaths, exits):
        self.worker, self.engine, self.link, self.side, self.clock = worker, engine, link, side, clock
        self.deaths, self.exits = deaths, exits
        self.channel = InMemoryChannel(worker.api.handlers(), clock=clock)

    async def call(self, method, request):
        return await self.channel.call(method, request, timeout=TIMEOUT)

    async def stream(self, method, request, limit=None):
        """Responses until the end or `limit` of them, then the call is cancelled."""
        found = []
        stream = self.channel.stream(method, request, timeout=TIMEOUT)
        async for response in stream:
            found.append(response)
            if len(found) == limit:
                stream.cancel()
                await asyncio.sleep(0)
                await asyncio.sleep(0)
                break
        return found

    async def generate(self, request, limit=None):
        return await self.stream(GENERATE, request, limit)


@asynccontextmanager
async def world(
    path: Path, *, name="w", pools=("small", "large"), stall_seconds: float = 60.0, engine_window: int = 0, **simulated
):
    write_model(path)
    settings = InferenceSettings(
        name=name,
        model=ModelSettings(path=path, name="tiny", pools=pools, window_tokens=engine_window),
        engine=EngineSettings(kind="simulated", stall_seconds=stall_seconds),
        simulated=SimulatedSettings(**simulated),
    )
    files = ModelFiles.load(path, window_tokens=engine_window)
    clock, deaths, exits, links = FakeClock(), [], [], []
    blocks = CachedBlocks(settings.kv_events.blocks_max)

    def link(on_steps, on_lost):
        links.append(LocalLink(on_steps, on_lost))
        return links[0]

    engine = SimulatedEngine(
        settings.simulated, files.tokenizer, files.window_tokens, eos=1, on_death=deaths.append,
        exit_now=exits.append, link=link, blocks=blocks,
    )  # fmt: skip
    side = TokenSide(engine, files, TokenizerDetokenizers(files.tokenizer))
    worker = compose(settings, side, await engine.start(), clock=clock, boot_id="b00t", blocks=blocks)
    board = asyncio.create_task(worker.board.run(), name="board")
    made = World(worker, engine, links[0], side, clock, deaths, exits)
    try:
        yield made
    finally:
        board.cancel()
        await asyncio.gather(board, return_exceptions=True)
        await engine.close()
        await made.channel.close()
        await asyncio.sleep(0)
        await asyncio.sleep(0)


def request(request_id="r-1", prompt=PROMPT, max_tokens=12, **fields):
    sampling = fields.pop("sampling", {})
    return pb.GenerateRequest(
        request_id=request_id,
        call_seed="seed",
        tokens=pb.TokenPrompt(ids=prompt),
        sampling=pb.Sampling(max_tokens=max_tokens, **sampling),
        **fields,
    )


class Joined:
    """What a client has of each choice after any number of responses."""

    def __init__(self, responses=()):
        self.ids, self.text, self.reasoning, self.arguments = {}, {}, {}, {}
        self.logprobs, self.finish, self.stop_reason, self.usages = {}, {}, {}, []
        for response in responses:
            self.add(response)

    def add(self, response):
        choice = response.choice
        ids = self.ids.setdefault(choice, [])
        if response.token_ids:
            assert response.first_index == len(ids), "a hole or a repeat in the token indexes"
        ids.extend(response.token_ids)
        into = self.reasoning if response.channel == pb.CHANNEL_REASONING else self.text
        into[choice] = into.get(choice, "") + response.text
        for piece in response.tool_calls:
            calls = self.arguments.setdefault(choice, {})
            identity, name, arguments = calls.get(piece.index, ("", "", ""))
            calls[piece.index] = (identity or piece.id, name or piece.name, arguments + piece.arguments)
        for entry in response.logprobs:
            assert entry.index == len(self.logprobs.setdefault(choice, []))
            self.logprobs[choice].append([(t.token_id, round(t.logprob, 4)) for t in entry.top])
        if response.finish:
            self.finish[choice] = response.finish
            self.stop_reason[choice] = response.stop_reason
        if response.HasField("usage"):
            self.usages.append(response.usage)

    @property
    def answer(self):
        """Everything but usage, for comparison."""
        return (self.ids, self.text, self.reasoning, self.arguments, self.logprobs, self.finish, self.stop_reason)

    def resume(self, max_tokens, n=1):
        choices = []
        for choice in range(n):
            ids = self.ids.get(choice, [])
            choices.append(
                pb.ResumeChoice(
                    choice=choice,
                    token_ids=ids,
                    text_sent=len(self.text.get(choice, "")),
                    reasoning_sent=len(self.reasoning.get(choice, "")),
                    finished=choice in self.finish,
                    max_tokens=max(1, max_tokens - len(ids)),
                )
            )
        return pb.Resume(choices=choices)


def dumps(value):
    return json.dumps(value)
