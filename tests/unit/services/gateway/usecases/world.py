"""Real adapters over in-memory channels to a scripted router and scripted workers, on virtual time."""

from __future__ import annotations

import asyncio
import contextlib
from contextlib import AsyncExitStack
from functools import lru_cache

from headrace.inference.v1 import inference_pb2 as ipb
from headrace.router.v1 import router_pb2 as rpb
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

from libs.errors import PlatformError, Reason
from libs.rpc.api import Handler
from libs.testing.clock import FakeClock
from libs.testing.inmem import InMemoryChannel
from services.gateway.adapters.assembly import PipelineOptions, open_pipeline
from services.gateway.adapters.outcome_reports import REPORT
from services.gateway.adapters.router import CHOOSE, PLACE, WATCH_MODELS
from services.gateway.adapters.tokenizers import FETCH
from services.gateway.adapters.workers import DESCRIBE, GENERATE
from services.gateway.domain.turns import ChatRequest, Principal, Role, Sampling, Turn
from services.gateway.events import Delta, Ended, Started
from services.gateway.usecases.ledger.testing import NullLedger, null_charges

TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
ERRORS = {"drain": Reason.DRAINING, "fail": Reason.INTERNAL, "engine": Reason.ENGINE_DEAD}
ALICE = Principal("acme", "key-1")
MALLORY = Principal("acme", "key-2")


@lru_cache(maxsize=1)
def tokenizer_files():
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=300, initial_alphabet=alphabet, show_progress=False)
    made.train_from_iterator(["hello there, this is a system user assistant text " * 20], trainer)
    made.add_special_tokens([AddedToken(t, normalized=False) for t in ("<|im_start|>", "<|im_end|>")])
    return {
        "tokenizer.json": made.to_str().encode(),
        "tokenizer_config.json": b'{"eos_token": "<|im_end|>"}',
        "chat_template.jinja": TEMPLATE.encode(),
    }


def token_at(choice, index):
    """The token that every good worker gives at this place, whatever happened before."""
    return 100 + choice * 1000 + index


def capable(**changes):
    can = {
        "prompt": ipb.PROMPT_FORM_TOKENS, "guided": True, "logprobs_max": 20, "n": True, "seed": True,
        "cache_salt": True, "resume": ipb.RESUME_FORM_EXACT, "resume_guided": True, "resume_penalties": True,
        "tools": True, "penalties": True, "logit_bias": True,
    } | changes  # fmt: skip
    return ipb.Capabilities(**{key: value for key, value in can.items() if value is not None})


class Worker:
    """Gives `token_at` until max_tokens. `script` holds, per attempt it gets, what goes wrong (see `_misbehave`)."""

    def __init__(self, name, script=(), boot_id="boot"):
        self.name, self.script, self.boot_id = name, list(script), boot_id
        self.address = name
        self.requests, self.cancelled, self.described, self.fetched = [], 0, 0, 0
        self.pace = 0.0
        # Stopped: its connections stand, and nothing comes over them.
        self.frozen = False
        self.hold_fetch = None
        self.channel = None

    def handlers(self):
        return [Handler(GENERATE, self.generate), Handler(DESCRIBE, self.describe), Handler(FETCH, self.fetch)]

    async def describe(self, request, info):
        self.described += 1
        if self.frozen:
            await asyncio.sleep(3600)
        return ipb.DescribeModelResponse(worker=self.name, boot_id=self.boot_id)

    async def fetch(self, request, responder, info):
        self.fetched += 1
        if self.hold_fetch is not None:
            await self.hold_fetch.wait()
        for name, content in tokenizer_files().items():
            for start in range(0, len(content), 4096):
                responder.send(ipb.FetchTokenizerResponse(file=name, part=content[start : start + 4096]))

    async def generate(self, request, responder, info):
        self.requests.append((request, info))
        responder.on_cancel(self._on_cancel)
        fault, at = self.script.pop(0) if self.script else ("", 0)
        if fault == "refuse":
            raise PlatformError(at, f"{self.name} refuses", retry_after_seconds=2.0, started=False)
        with contextlib.suppress(_EndError):
            await self._stream(request, responder, fault, at)

    def _on_cancel(self):
        self.cancelled += 1

    async def _stream(self, request, responder, fault, at):
        have = {c.choice: len(c.token_ids) for c in request.resume.choices}
        done = {c.choice for c in request.resume.choices if c.finished}
        n = max(1, request.sampling.n)
        per_choice = {c.choice: c.max_tokens for c in request.resume.choices}
        end = {c: have.get(c, 0) + (per_choice.get(c, 0) or request.sampling.max_tokens) for c in range(n)}
        at_index = dict.fromkeys(range(n), 0) | have
        sent = 0
        open_choices = [c for c in range(n) if c not in done]
        while open_choices:
            for choice in list(open_choices):
                if fault and sent >= at:
                    await self._misbehave(fault, request, responder, choice, at_index[choice])
                    fault = "" if fault == "stale" else fault
                index = at_index[choice]
                last = index + 1 >= end[choice]
                self._send(request, responder, choice, index, finish=last, whole=last and len(open_choices) == 1)
                at_index[choice] += 1
                sent += 1
                if last:
                    open_choices.remove(choice)
                await asyncio.sleep(self.pace)

    def _send(self, request, responder, choice, index, *, finish, whole):
        token = token_at(choice, index)
        delta = ipb.GenerateResponse(
            choice=choice, epoch=request.epoch, first_index=index, token_ids=[token], text=f"<{token}>"
        )
        if finish:
            delta.finish = ipb.FINISH_REASON_LENGTH
        if whole or index == 0 or index == self._first(request, choice):
            delta.usage.prompt_tokens = len(request.tokens.packed) // 4
            delta.usage.cached_tokens = 3
        responder.send(delta)

    @staticmethod
    def _first(request, choice):
        return next((len(c.token_ids) for c in request.resume.choices if c.choice == choice), 0)

    async def _misbehave(self, fault, request, responder, choice, index):
        if fault in ERRORS:
            raise PlatformError(ERRORS[fault], f"{self.name} has a defect")
        if fault in {"die", "disconnect"}:
            self.channel.lose()
        if fault == "die":
            self.boot_id = "another life"
        if fault == "disconnect":
            self.channel.restore()
        if fault in {"hole", "repeat"}:
            wrong = index + 1 if fault == "hole" else index - 1
            self._send(request, responder, choice, wrong, finish=False, whole=False)
        if fault == "lose the finish":
            last = token_at(choice, index)
            responder.send(ipb.GenerateResponse(epoch=request.epoch, first_index=index, token_ids=[last], text="x"))
            self.channel.lose()
        if fault == "stop short":
            raise _EndError
        if fault == "stale":
            responder.send(ipb.GenerateResponse(choice=choice, epoch=request.epoch + 7, first_index=0, token_ids=[1]))
        else:
            await asyncio.sleep(3600)


class _EndError(Exception):
    pass


class Router:
    """Places on its workers in order, leaving out the excluded; `models` is the catalog."""

    def __init__(self, workers):
        self.workers = workers
        self.places = []
        # Models that Choose names, or whole choices, and its word on why; those that are asked for at all.
        self.chosen, self.asked, self.decision, self.routed = [], [], None, ()
        # Workers of models that not all serve.
        self.of_model = {}
        self.digest = "digest-1"
        self.capabilities = capable()
        self.window = 4096
        self.names = ["m", "small"]
        self.hold = None
        self.changed = asyncio.Event()
        self.plan_size = 9
        self.reason = "rendezvous"
        # Tokens that caches are expected to hold, by worker; and what gateways report.
        self.predicted = None
        self.reports = []
        # Places on workers of another digest than was asked for.
        self.careless = False

    def handlers(self):
        return [
            Handler(CHOOSE, self.choose),
            Handler(PLACE, self.place),
            Handler(WATCH_MODELS, self.watch),
            Handler(REPORT, self.report),
        ]

    async def report(self, request, info):
        self.reports.append(request)
        return rpb.ReportResponse()

    async def choose(self, request, info):
        self.asked.append(request)
        if not self.chosen:
            raise PlatformError(Reason.MODEL_NOT_FOUND, "no routing policy", started=False, param="model")
        choices = [c if isinstance(c, rpb.ModelChoice) else rpb.ModelChoice(model=c) for c in self.chosen]
        return rpb.ChooseResponse(choices=choices, decision=self.decision)

    async def place(self, request, info):
        self.places.append((request, info))
        if self.hold is not None:
            await self.hold.wait()
        serving = self.of_model.get(request.model, self.workers)
        left = [w for w in serving if w.name not in request.exclude_workers]
        if not left or (request.model_digest != self.digest and not self.careless):
            raise PlatformError(Reason.NO_WORKER, "nobody", retry_after_seconds=3.0, started=False)
        expected = self.predicted or {}
        return rpb.PlaceResponse(
            candidates=[
                rpb.Candidate(
                    worker=w.name, address=w.address, boot_id=w.boot_id, model_digest=self.digest, reason=self.reason,
                    cached_tokens=expected.get(w.name, 0),
                )
                for w in left[: self.plan_size]
            ],
            predicted=self.predicted is not None,
        )  # fmt: skip

    async def watch(self, request, responder, info):
        while True:
            self.changed.clear()
            responder.send(rpb.WatchModelsResponse(models=[self._model(name) for name in self.names]))
            await self.changed.wait()

    def _model(self, name):
        description = ipb.DescribeModelResponse(
            model="m", model_digest=self.digest, tokenizer_digest="tok-1", window_tokens=self.window,
            capabilities=self.capabilities, engine="scripted",
        )  # fmt: skip
        addresses = [w.address for w in self.of_model.get(name, self.workers)]
        routed = name in self.routed
        return rpb.Model(name=name, pool=name != "m", description=description, addresses=addresses, routed=routed)


class Owners:
    """A store of owners in memory; `down` makes it unreachable."""

    def __init__(self):
        self.held, self.down, self.asked = {}, False, 0

    async def claim(self, tenant, session, owner):
        self.asked += 1
        if self.down:
            raise PlatformError(Reason.STORE_UNAVAILABLE, "down", retry_after_seconds=1.0, started=False)
        return self.held.setdefault((tenant, session), owner)


class Seen:
    """Keeps the records of ended calls."""

    def __init__(self):
        self.records = []

    def ended(self, record):
        self.records.append(record)


class World:
    """`async with World([Worker("a")]) as world: await world.answer()`."""

    def __init__(self, workers, tmp_path, *, warm=False, ledger=None, stand_ins=None, suspects=None, **options):
        # Made of the clock; None = no answer stands in.
        self.stand_ins = stand_ins
        self.suspects = suspects
        self.clock = FakeClock()
        self.workers = {worker.name: worker for worker in workers}
        self.router = Router(list(workers))
        self.owners, self.seen = Owners(), Seen()
        self.ledger = ledger or NullLedger(keep=True)
        self.charges = null_charges(self.clock, self.ledger)
        edges = (("router",), "trunk", "trunk")
        self.options = PipelineOptions(*edges, "", b"pepper", tmp_path, margin_seconds=0.1, warm=warm, **options)
        self.dials = []
        self.router_channel = None
        self._stack = AsyncExitStack()

    def _dial(self, address, transport):
        self.dials.append(address)
        if address == "router":
            self.router_channel = InMemoryChannel(self.router.handlers(), address=address, clock=self.clock)
            return self.router_channel
        worker = self.workers[address]
        worker.channel = InMemoryChannel(worker.handlers(), address=address, clock=self.clock)
        return worker.channel

    async def __aenter__(self):
        stand_ins = self.stand_ins and self.stand_ins(self.clock)
        opened = await open_pipeline(
            self._stack, self.options, self.owners, self.charges, self.clock, observers=[self.seen],
            dialler=self._dial, stand_ins=stand_ins, suspects=self.suspects,
        )  # fmt: skip
        self.pipeline = opened.chat
        self.breakers = opened.chat._services.means.breakers
        while not self.pipeline.models():
            await asyncio.sleep(0.01)
        return self

    async def __aexit__(self, *exc):
        await self._stack.aclose()

    def stream(self, request=None, principal=ALICE, *, request_id="r1", seconds=60.0):
        deadline = self.clock.monotonic() + seconds
        return self.pipeline.chat(request or ask(), principal, request_id=request_id, deadline=deadline)

    async def answer(self, request=None, principal=ALICE, **kwargs):
        """All events of a call that ends well."""
        return [event async for batch in self.stream(request, principal, **kwargs) for event in batch]

    async def failure(self, request=None, principal=ALICE, **kwargs):
        """What was sent, and the error that ended it."""
        events = []
        try:
            async for batch in self.stream(request, principal, **kwargs):
                events += batch
        except PlatformError as error:
            return events, error
        raise AssertionError(f"the call ended well: {events}")

    @property
    def record(self):
        return self.seen.records[-1]

    def attempts(self):
        """(worker, epoch) of every Generate, in order of epoch."""
        found = [(w.name, r.epoch) for w in self.workers.values() for r, _ in w.requests]
        return sorted(found, key=lambda pair: pair[1])


def ask(text="hello", model="m", **changes):
    sampling = changes.pop("sampling", None) or Sampling(max_tokens=changes.pop("max_tokens", 6))
    turns = changes.pop("turns", (Turn(Role.USER, text),))
    return ChatRequest(model=model, turns=turns, sampling=sampling, **changes)


def tokens(events, choice=0):
    """Delivered tokens of a choice; asserts that indexes and text go with them."""
    found = []
    for event in events:
        if isinstance(event, Delta) and event.response.choice == choice:
            assert event.response.first_index == len(found)
            found += event.response.token_ids
    return found


def whole(events, count=6, choice=0):
    """The answer is one whole stream: Started first and once, every token once, one finish, Ended last."""
    assert isinstance(events[0], Started)
    assert isinstance(events[-1], Ended)
    assert sum(isinstance(e, Started) for e in events) == 1
    assert tokens(events, choice) == [token_at(choice, i) for i in range(count)]
    finishes = [e for e in events if isinstance(e, Delta) and e.response.choice == choice and e.response.finish]
    assert len(finishes) == 1
    return True
