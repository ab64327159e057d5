from __future__ import annotations

import asyncio
import os
import signal

import pytest

from services.inference.adapters.simulated.engine import SimulatedEngine
from services.inference.adapters.simulated.settings import SimulatedSettings
from tests.contract.services.inference.adapters.kv_events import KvEventChecks, KvRig
from tests.unit.services.inference.world import tokenizer


@pytest.fixture
def rig():
    loop = asyncio.SelectorEventLoop()
    settings = SimulatedSettings(block_tokens=8, blocks=24)

    def make(blocks):
        return SimulatedEngine(settings, tokenizer(), 4096, eos=1, blocks=blocks)

    rig = KvRig(loop, make)
    yield rig
    rig.close()
    loop.close()


@pytest.fixture
def clear():
    return lambda rig: os.kill(rig.engine.pid, signal.SIGKILL)


class TestSimulated(KvEventChecks):
    pass


def test_an_engine_that_nobody_asks_tells_nothing():
    loop = asyncio.SelectorEventLoop()
    rig = KvRig(loop, lambda _blocks: SimulatedEngine(SimulatedSettings(), tokenizer(), 4096, eos=1))
    rig.ask(range(10, 60))
    assert not rig.can.kv_events
    assert not rig.held
    rig.close()
    loop.close()
