"""The real engine keeps what is asked of engines that tell of their caches, and what only vLLM can get wrong."""

import asyncio
import stat

import pytest
from harness import MODEL

from services.inference.adapters.vllm.engine import VllmEngine
from services.inference.adapters.vllm.kv_stream import KvStream
from services.inference.adapters.vllm.settings import VllmSettings
from tests.contract.services.inference.adapters.kv_events import KvEventChecks, KvRig


@pytest.fixture(scope="module")
def rig():
    loop = asyncio.new_event_loop()
    settings = VllmSettings(window_tokens=1024, kv_cache_gib=0.04, max_num_seqs=4)
    rig = KvRig(loop, lambda blocks: VllmEngine(settings, MODEL, kv=KvStream(blocks)))
    yield rig
    rig.close()
    loop.close()


@pytest.fixture
def clear():
    def reset(rig):
        assert rig.run(rig.engine._backend._llm.reset_prefix_cache())
        # vLLM tells with its next step.
        rig.ask([5, 6, 7])

    return reset


class TestVllm(KvEventChecks):
    pass


def test_nobody_else_on_the_machine_can_listen(rig):
    directory = rig.engine._kv._directory
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert sorted(entry.name for entry in directory.iterdir()) == ["events", "repeats"]


def test_lost_batches_are_asked_for_again(rig):
    """The socket loses what the engine told while nobody listened; the next batch, or a second's silence, shows it."""
    stream, checks = rig.engine._kv, KvEventChecks()
    lost, after = checks.prompt(rig, 3, first=95), checks.prompt(rig, 3, first=96)
    stream._events.unsubscribe(b"")
    rig.run(asyncio.sleep(0.3))
    rig.ask(lost)
    stream._events.subscribe(b"")
    rig.run(asyncio.sleep(0.3))
    rig.ask(after)
    rig.until(lambda: set(rig.hashes(lost)) | set(rig.hashes(after)) <= rig.held)
