"""A tiny worker for the router's tests: real handlers of InferenceService, told what to say."""

from __future__ import annotations

import asyncio

import numpy as np
from headrace.inference.v1 import inference_pb2 as inference

from libs.block_hash import packed
from libs.rpc.api import Handler
from services.router.adapters.workers import DESCRIBE_MODEL, WATCH_STATE

PERIOD_SECONDS = 0.25


class FakeWorker:
    """Speaks every 250 ms, or when `say` is called; `mute` stops that without breaking the stream."""

    def __init__(self, name="w0", *, boot="b1", model="m", pools=("small",), digest="d1"):
        self.name, self.boot, self.model, self.pools, self.digest = name, boot, model, pools, digest
        self.running = self.waiting = 0
        self.draining, self.healthy, self.mute, self.skip = False, True, False, 0
        self.described = self.subscribed = 0
        self.kv, self.blocks, self._told = None, set(), set()
        self._sequence = 0
        self._news = asyncio.Event()

    def handlers(self):
        return [Handler(DESCRIBE_MODEL, self.describe), Handler(WATCH_STATE, self.watch)]

    async def describe(self, request, info):
        self.described += 1
        said = inference.DescribeModelResponse(
            worker=self.name, boot_id=self.boot, model=self.model, pools=self.pools, model_digest=self.digest
        )
        if self.kv:  # tokens of a block
            said.capabilities.kv_events = True
            said.capacity.block_tokens, said.capacity.blocks, said.capacity.running_max = self.kv, 1000, 8
        return said

    def say(self, **changes):
        for name, value in changes.items():
            setattr(self, name, value)
        self._news.set()

    def restart(self, boot):
        self.boot, self._sequence = boot, 0

    async def watch(self, request, responder, info):
        self.subscribed += 1
        snapshot = True
        while True:
            if not self.mute:
                self._sequence += 1 + self.skip
                self.skip = 0
                responder.send(self.state(snapshot=snapshot))
                snapshot = False
            await self.pause()

    async def pause(self):
        try:
            async with asyncio.timeout(PERIOD_SECONDS):
                await self._news.wait()
        except TimeoutError:
            return
        self._news.clear()

    def state(self, *, snapshot):
        told = set() if snapshot else self._told
        stored, dropped = self.blocks - told, told - self.blocks
        self._told = set(self.blocks)
        return inference.WatchStateResponse(
            stored=packed(np.array(sorted(stored), np.uint64)),
            dropped=packed(np.array(sorted(dropped), np.uint64)),
            blocks_held=len(self.blocks),
            boot_id=self.boot,
            sequence=self._sequence,
            snapshot=snapshot,
            running=self.running,
            waiting=self.waiting,
            draining=self.draining,
            healthy=self.healthy,
        )
