"""A process with an engine, for tests that kill: prints one JSON line per event, and exits 7 when its engine dies.

Arguments: settings as JSON. It streams one endless answer; a line on stdin, `{"work": {...}}`, submits another request.
"""

import asyncio
import json
import os
import sys
from pathlib import Path

from harness import MODEL, STORY, Sink, work

from services.inference.adapters.vllm.engine import VllmEngine
from services.inference.adapters.vllm.settings import VllmSettings


def say(**event):
    sys.stdout.write(json.dumps(event) + "\n")
    sys.stdout.flush()


def children(pid):
    """Process ids of all descendants, whichever thread started them."""
    found = set()
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            found |= {int(child), *children(int(child))}
    return found


def names(pids):
    return {pid: Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ").strip() for pid in pids}


class Speaking(Sink):
    def on_step(self, step):
        super().on_step(step)
        say(event="step", tokens=list(step.token_ids), finish=step.finish)

    def on_error(self, error):
        super().on_error(error)
        say(event="error", reason=str(getattr(error, "reason", error)))


async def main():
    died = asyncio.Event()
    engine = VllmEngine(VllmSettings(**json.loads(sys.argv[1])), MODEL, on_death=lambda _why: died.set())
    await engine.start()
    say(event="ready", pids=names(children(os.getpid())))
    if "--endless" in sys.argv:
        engine.submit(work(STORY, max_tokens=1900, ignore_eos=True), Speaking())

    async def watch():
        healthy = True
        while True:
            await asyncio.sleep(0.05)
            if engine.load().healthy != healthy:
                healthy = not healthy
                say(event="health", healthy=healthy)

    async def read():
        loop = asyncio.get_running_loop()
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            engine.submit(work(**json.loads(line)), Speaking())

    tasks = [asyncio.create_task(watch()), asyncio.create_task(read())]
    await died.wait()
    say(event="dead")
    del tasks
    sys.stdout.flush()
    os._exit(7)


if __name__ == "__main__":
    asyncio.run(main())
