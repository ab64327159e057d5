"""vLLM 0.32 on CPU dies of one request with a seed whose prefill is split. Here it cannot be asked to."""

import asyncio
import subprocess
import sys
from pathlib import Path

from harness import MODEL, work

# Plain vLLM, as its own server starts it; the token budget makes the prompt take two steps.
PLAIN = """
import asyncio, os, sys
os.environ.update(HF_HUB_OFFLINE="1", VLLM_NO_USAGE_STATS="1", VLLM_LOGGING_LEVEL="ERROR")
from vllm import SamplingParams
from vllm.engine.arg_utils import AsyncEngineArgs
from vllm.v1.engine.async_llm import AsyncLLM

async def main():
    args = AsyncEngineArgs(model=sys.argv[1], enforce_eager=True, block_size=32, max_model_len=1024, max_num_seqs=4,
                           max_num_batched_tokens=256, kv_cache_memory_bytes=1 << 27)
    llm = AsyncLLM.from_engine_args(args)
    async def ask(name, token, **more):
        async for out in llm.generate({"prompt_token_ids": [token] * 600}, SamplingParams(max_tokens=2, **more), name):
            pass
        print("answered", name, flush=True)
    await ask("plain", 5)
    await ask("seeded", 6, seed=1)

if __name__ == "__main__":
    asyncio.run(main())
"""


def test_plain_vllm_dies_of_it(tmp_path):
    script = tmp_path / "plain.py"
    script.write_text(PLAIN)
    done = subprocess.run(
        [sys.executable, str(script), str(Path(MODEL).resolve())],
        capture_output=True,
        check=False,
        text=True,
        timeout=200,
    )
    assert "answered plain" in done.stdout
    assert "answered seeded" not in done.stdout
    assert "offset" in done.stderr


def test_this_engine_answers_seeded_prompts_of_any_length_in_any_company(engine):
    """The prompts together are many times the step's token budget, so that a scheduler that may split would."""

    async def scenario():
        requests = [work([5 + i] * (1900 - 37 * i), seed=i, temperature=1.0, max_tokens=3) for i in range(8)]
        sinks = await asyncio.gather(*(engine.answer(request) for request in requests))
        assert all(len(sink.tokens()) == 3 or sink.finish() == "stop" for sink in sinks)

    engine.run(scenario())
    assert engine.engine.load().healthy
