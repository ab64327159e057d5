"""Encoders over the tiny real tokenizer. What the pipeline makes of them stands in usecases/test_chat.py."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest
from headrace.inference.v1 import inference_pb2 as ipb

from libs.chat_template import unpack
from libs.errors import PlatformError, Reason
from libs.rpc.api import Handler
from libs.testing.clock import FakeClock
from libs.testing.inmem import InMemoryChannel
from libs.testing.loop import run
from services.gateway.adapters import tokenizers
from services.gateway.adapters.tokenizer_disk import TokenizerDisk
from services.gateway.adapters.tokenizers import FETCH, FetchedEncoders, TemplateEncoder
from services.gateway.adapters.workers import Channels
from services.gateway.domain.models import ModelInfo
from services.gateway.domain.prompt import Prompt
from services.gateway.domain.turns import Role, Turn
from tests.unit.services.gateway.usecases.world import tokenizer_files

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def prompt(*texts):
    roles = (Role.USER, Role.ASSISTANT)
    return Prompt(tuple(Turn(roles[i % 2], text) for i, text in enumerate(texts)), (), NOW)


def test_long_prompts_go_off_the_loop_and_come_out_the_same(monkeypatch):
    async def scenario():
        with ThreadPoolExecutor(1) as apart:
            encoder = TemplateEncoder(tokenizer_files(), apart)
            inline = await encoder.encode(prompt("hello there " * 10), "t")
            monkeypatch.setattr(tokenizers, "INLINE_CHARACTERS_MAX", 10)
            threaded = await encoder.encode(prompt("hello there " * 10), "u")
            assert inline.packed == threaded.packed
            assert encoder._in_thread is not encoder._inline

    run(scenario())


def test_only_what_is_new_in_a_session_is_tokenised():
    async def scenario():
        with ThreadPoolExecutor(1) as apart:
            encoder = TemplateEncoder(tokenizer_files(), apart)
            first = await encoder.encode(prompt("hello there"), "t")
            second = await encoder.encode(prompt("hello there", "this is text", "more"), "t")
            assert first.fresh > 0
            assert 0 < second.fresh < second.count - first.fresh
            assert (await encoder.encode(prompt("hello there"), "t")).fresh == 0
            # Another tenant's words are never taken from the cache: timing must not tell what others wrote.
            assert (await encoder.encode(prompt("hello there"), "u")).fresh == first.fresh
            assert unpack(second.packed)[: first.count - 3] == unpack(first.packed)[:-3]

    run(scenario())


def scene(tmp_path, fetch):
    clock = FakeClock()
    channel = InMemoryChannel([Handler(FETCH, fetch)], clock=clock)
    encoders = FetchedEncoders(Channels(lambda _: channel, clock), TokenizerDisk(tmp_path))
    return encoders, channel


INFO = ModelInfo("m", "m", "d", "tok", 100, addresses=("a", "b"))


@pytest.mark.parametrize(
    "files", [{}, {"tokenizer.json": b"no json"}, {"tokenizer.json": tokenizer_files()["tokenizer.json"]}]
)
def test_unusable_files_are_an_error_that_says_so_and_are_not_kept(tmp_path, files):
    async def scenario():
        async def fetch(request, responder, info):
            for name, content in files.items():
                responder.send(ipb.FetchTokenizerResponse(file=name, part=content))

        encoders, _ = scene(tmp_path, fetch)
        with pytest.raises(PlatformError) as caught:
            await encoders.fetch(INFO, timeout=5)
        assert caught.value.reason is Reason.NO_WORKER
        assert "its files cannot be used" in caught.value.message
        assert not list(tmp_path.iterdir())
        await encoders.close()

    run(scenario())


def test_endless_files_are_cut(tmp_path, monkeypatch):
    async def scenario():
        monkeypatch.setattr(tokenizers, "FILES_BYTES_MAX", 10_000)
        sent = []

        async def fetch(request, responder, info):
            for _ in range(100):
                responder.send(ipb.FetchTokenizerResponse(file="tokenizer.json", part=b"x" * 1000))
                sent.append(1)
                await asyncio.sleep(0.001)

        encoders, _ = scene(tmp_path, fetch)
        with pytest.raises(PlatformError, match="exceed 10000 bytes"):
            await encoders.fetch(INFO, timeout=5)
        assert len(sent) < 50
        await encoders.close()

    run(scenario())


def test_a_fetch_that_failed_unheard_leaves_nothing_behind(tmp_path):
    async def scenario():
        gate = asyncio.Event()

        async def fetch(request, responder, info):
            await gate.wait()
            raise PlatformError(Reason.INTERNAL, "broken")

        encoders, _ = scene(tmp_path, fetch)
        with pytest.raises(PlatformError, match="takes too long"):
            await encoders.fetch(INFO, timeout=1)
        gate.set()
        await asyncio.sleep(1)
        assert encoders.cached(INFO) is None
        await encoders.close()

    run(scenario())


def test_encoders_in_memory_are_bounded(tmp_path, monkeypatch):
    async def scenario():
        monkeypatch.setattr(tokenizers, "ENCODERS_MAX", 2)

        async def fetch(request, responder, info):
            for name, content in tokenizer_files().items():
                responder.send(ipb.FetchTokenizerResponse(file=name, part=content))

        encoders, _ = scene(tmp_path, fetch)
        infos = [ModelInfo("m", "m", "d", f"tok{i}", 100, addresses=("a",)) for i in range(3)]
        for info in infos[:2]:
            await encoders.fetch(info, timeout=5)
        assert encoders.cached(infos[0])
        await encoders.fetch(infos[2], timeout=5)
        assert [bool(encoders.cached(info)) for info in infos] == [True, False, True]
        await encoders.close()

    run(scenario())
