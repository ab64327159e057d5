"""What every engine must tell of its cache; run on the simulated one and on vLLM, so that the first can be trusted."""

from __future__ import annotations

import asyncio
import itertools

from libs.block_hash import block_hashes
from libs.chat_template import pack
from services.inference.domain.cached_blocks import CachedBlocks
from services.inference.domain.output.tokens import Step
from services.inference.domain.request import Common, Sampling, TokenWork

LIMIT_SECONDS = 60.0
_ids = itertools.count()


class Sink:
    def __init__(self):
        self.tokens, self.cached, self.error = [], None, None
        self.done = asyncio.Event()

    def on_step(self, step):
        self.tokens += step.token_ids
        if step.cached_tokens is not None:
            self.cached = step.cached_tokens
        if step.finish:
            self.done.set()

    def on_tokens(self, choice, token_ids):
        self.on_step(Step(choice, token_ids))

    def on_error(self, error):
        self.error = error
        self.done.set()


class KvRig:
    """A started engine with the set that hears of its cache. Its loop runs only within `run`."""

    def __init__(self, loop, make_engine):
        self.loop, self.blocks = loop, CachedBlocks(400_000)
        self.engine = make_engine(self.blocks)
        self.can, self.capacity = self.run(self.engine.start())

    def run(self, coroutine):
        return self.loop.run_until_complete(coroutine)

    def ask(self, *prompts, salt="a", max_tokens=4):
        """The sinks of requests that run at the same time."""
        return self.run(self._ask(prompts, salt, max_tokens))

    async def _ask(self, prompts, salt, max_tokens):
        sinks = []
        for prompt in prompts:
            sampling = Sampling(max_tokens=max_tokens, temperature=0.0, ignore_eos=True)
            sinks.append(Sink())
            self.engine.submit(TokenWork(Common(f"kv-{next(_ids)}", sampling), list(prompt), salt), sinks[-1])
        for sink in sinks:
            await asyncio.wait_for(sink.done.wait(), LIMIT_SECONDS)
            assert sink.error is None
        return sinks

    def hashes(self, tokens, salt="a"):
        return block_hashes(pack(tokens), self.capacity.block_tokens, salt).tolist()

    @property
    def held(self):
        return set(self.blocks._held)

    def until(self, condition):
        async def wait():
            async with asyncio.timeout(LIMIT_SECONDS):
                while not condition():
                    await asyncio.sleep(0.01)

        self.run(wait())

    def close(self):
        self.run(self.engine.close())


class KvEventChecks:
    """A fixture `rig` (KvRig) is an engine of 20 to 64 blocks, `clear(rig)` has it lose its cache."""

    def prompt(self, rig, blocks, first):
        """`blocks` full blocks and one token more, unlike those of another `first` token."""
        return [first] + [10 + at % 50 for at in range(blocks * rig.capacity.block_tokens)]

    def test_it_says_that_it_tells(self, rig):
        assert rig.can.kv_events

    def test_what_is_told_is_what_a_gateway_hashes_prompt_and_answer_alike(self, rig):
        prompt = self.prompt(rig, 3, first=60)
        before = rig.held
        (sink,) = rig.ask(prompt, max_tokens=2 * rig.capacity.block_tokens + 2)
        expected = rig.hashes(prompt + sink.tokens)
        assert len(expected) == 5
        rig.until(lambda: rig.held - before == set(expected))

    def test_tenants_have_blocks_of_their_own(self, rig):
        prompt, before = self.prompt(rig, 2, first=70), rig.held
        rig.ask(prompt, salt="a")
        rig.ask(prompt, salt="b")
        rig.ask(prompt, salt="")
        expected = {key for salt in ("a", "b", "") for key in rig.hashes(prompt, salt)}
        assert len(expected) == 6
        rig.until(lambda: rig.held - before == expected)

    def test_the_same_prompt_twice_at_a_time_is_told_once_and_found_again(self, rig):
        prompt, before = self.prompt(rig, 3, first=80), rig.held
        rig.ask(prompt, prompt, prompt)
        rig.until(lambda: rig.held - before == set(rig.hashes(prompt)))
        (again,) = rig.ask(prompt)
        assert again.cached == 3 * rig.capacity.block_tokens

    def test_what_is_evicted_is_told_and_what_is_told_is_found(self, rig):
        """The set never says more than the cache has: each prompt is found to the token that the set foretells."""
        prompts = [self.prompt(rig, 5, first=100 + number) for number in range(2 * rig.capacity.blocks // 5)]
        for prompt in prompts:
            rig.ask(prompt, max_tokens=1)
        rig.until(lambda: rig.held >= set(rig.hashes(prompts[-1])))
        assert len(rig.held) <= rig.capacity.blocks
        assert not set(rig.hashes(prompts[0])) & rig.held
        for prompt in (prompts[0], prompts[-1], prompts[-2]):
            keys, held = rig.hashes(prompt), rig.held
            foretold = len(list(itertools.takewhile(held.__contains__, keys)))
            (sink,) = rig.ask(prompt, max_tokens=1)
            assert sink.cached == foretold * rig.capacity.block_tokens
            rig.until(lambda keys=keys: set(keys) <= rig.held)

    def test_a_lost_cache_is_told(self, rig, clear):
        prompt = self.prompt(rig, 2, first=90)
        rig.ask(prompt)
        rig.until(lambda: set(rig.hashes(prompt)) <= rig.held)
        clear(rig)
        rig.until(lambda: not set(rig.hashes(prompt)) & rig.held)
