"""A scripted engine in the place of vLLM: keeps what it was sent, gives out the steps that a test makes."""

import asyncio
import threading
from types import SimpleNamespace

from libs.errors import PlatformError, Reason
from libs.testing.clock import FakeClock
from services.inference.adapters.vllm.capacity import KvFigures
from services.inference.adapters.vllm.engine import VllmEngine
from services.inference.adapters.vllm.sampling import Limits
from services.inference.adapters.vllm.settings import VllmSettings
from services.inference.domain.output.tokens import Step
from services.inference.domain.request import Common, ResumeChoice, Sampling, TokenWork


class FakeSandbox:
    def __init__(self):
        self.asked, self.answer = [], None
        self.open = threading.Event()
        self.open.set()

    def verdict(self, kind, text):
        self.asked.append((kind, text))
        self.open.wait()
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


class FakeBackend:
    def __init__(self, *, is_cpu=True, chunked=False, blocks=64, window=256):
        self.limits = Limits(vocab=1000, window=window, logprobs_max=20)
        self.figures = KvFigures(blocks, 32, blocks * 32 * 100, 100)
        self.sandbox = FakeSandbox()
        self.defaults = {"temperature": 0.6, "top_k": 50}
        self.parsers = object()
        self.is_cpu, self.chunked = is_cpu, chunked
        self.added, self.options, self.aborted = {}, {}, []
        self.refuse = None
        self.closed = False
        self.warm = True
        self._steps = asyncio.Queue()

    def add(self, engine_id, prompt, arguments, **options):
        if self.refuse:
            raise self.refuse
        self.added[engine_id] = (prompt, arguments)
        self.options[engine_id] = options
        if engine_id.startswith("warm-up") and self.warm:
            self.step(output(engine_id, [5], finish=1))

    def abort(self, engine_ids):
        self.aborted += engine_ids

    async def outputs(self):
        items = [await self._steps.get()]
        if isinstance(items[0], Exception):
            raise items[0]
        while not self._steps.empty() and not isinstance(self._steps._queue[0], Exception):
            items.append(self._steps.get_nowait())
        return items

    def token_bytes(self, token):
        return b"t%d" % token

    def close(self):
        self.closed = True

    def step(self, *outputs, running=1, kv_use=0.5):
        stats = SimpleNamespace(num_running_reqs=running, kv_cache_usage=kv_use)
        self._steps.put_nowait(SimpleNamespace(outputs=list(outputs), scheduler_stats=stats))

    def die(self):
        self._steps.put_nowait(RuntimeError("gone"))

    def ids(self, request_id):
        return [engine_id for engine_id in self.added if engine_id.startswith(request_id + "/")]


def output(engine_id, tokens, *, finish=None, cached=None, stop_reason=None):
    return SimpleNamespace(
        request_id=engine_id,
        new_token_ids=tokens,
        finish_reason=finish,
        prefill_stats=None if cached is None else SimpleNamespace(num_cached_tokens=cached),
        events=None,
        new_logprobs=None,
        stop_reason=stop_reason,
    )


class Sink:
    def __init__(self):
        self.steps, self.errors = [], []

    def on_step(self, step):
        self.steps.append(step)

    def on_tokens(self, choice, token_ids):
        self.on_step(Step(choice, token_ids))

    def on_error(self, error):
        self.errors.append(error)


def work(request_id="r", prompt=(1, 2, 3), *, guided=None, resume=(), salt="", **sampling):
    sampling.setdefault("max_tokens", 8)
    return TokenWork(Common(request_id, Sampling(**sampling), guided=guided), list(prompt), salt, tuple(resume))


def resumed(tokens, choice=0, **more):
    return ResumeChoice(choice, tuple(tokens), 0, 0, **more)


class Rig:
    """A started engine over a fake backend, closed at the end of `async with`."""

    def __init__(self, backend=None, **settings):
        self.backend = backend
        self.clock = FakeClock()
        self.deaths = []
        self.settings = VllmSettings(**{"max_num_seqs": 2, "waiting_max": 1, **settings})

    async def __aenter__(self):
        self.backend = self.backend or FakeBackend()
        self.engine = VllmEngine(
            self.settings,
            "no/model",
            clock=self.clock,
            on_death=self.deaths.append,
            build=lambda _settings, _path, _kv: self.backend,
        )
        self.capabilities, self.capacity = await self.engine.start()
        return self

    async def __aexit__(self, *_):
        await self.engine.close()

    def submit(self, *args, **kwargs):
        sink = Sink()
        self.engine.submit(work(*args, **kwargs), sink)
        return sink

    async def settle(self):
        for _ in range(8):
            await asyncio.sleep(0)


INVALID = PlatformError(Reason.INVALID_REQUEST, "vLLM refuses", started=False)
