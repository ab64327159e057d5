"""One process under supervision: started, asked for its health, started again, stopped."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from cli.config import Restarts
from cli.supervisor.child import Child, spawn
from cli.supervisor.life import Life, State
from cli.supervisor.spec import ProcessSpec
from cli.supervisor.state import ProcessState
from cli.view.port import Onlooker
from libs.clock import Clock

# Often while it starts, because time to the first token counts; seldom when it runs.
PROBE_STARTING_SECONDS = 0.2
PROBE_RUNNING_SECONDS = 1.0
TAIL_LINES = 12
LOG_BYTES_MAX = 20 * 1024 * 1024
EXIT_CANNOT_START = 127


@dataclass(frozen=True)
class Shared:
    """What all watched processes of one supervisor have in common."""

    rules: Restarts
    clock: Clock
    onlooker: Onlooker
    changed: Callable[[Watched], None]
    log_dir: str


class Watched:
    """Owns the life of one process name."""

    def __init__(self, spec: ProcessSpec, shared: Shared) -> None:
        self.spec = spec
        self.life = Life(shared.rules)
        self.answered = asyncio.Event()
        log = Path(shared.log_dir) / f"{spec.name}.log"
        self.state = ProcessState(spec.name, spec.kind, spec.port, State.WAITING.value, log=str(log))
        self._shared = shared
        self._child: Child | None = None
        self._gone = asyncio.Event()
        self._gone.set()
        self._tail: deque[str] = deque(maxlen=TAIL_LINES)
        self._published: tuple[str, int, str] | None = None
        self._log = _open_log(log)

    async def keep_alive(self, gate: asyncio.Event | None) -> None:
        """Runs the process for ever, with back-off; returns when it is stopped or given up."""
        if gate is not None:
            await gate.wait()
        delay: float | None = 0.0
        while delay is not None:
            await self._shared.clock.sleep(delay)
            delay = None if self._stopping else await self._one_life()

    async def stop(self) -> None:
        """SIGTERM, the grace, SIGKILL; returns when it is gone. What has not answered yet has nothing to finish."""
        answers = self.life.state in (State.READY, State.NOT_SERVING)
        self.life.stop(self._now())
        self._publish()
        if self._child is None:
            return
        if not answers:
            self._child.kill()
            await self._gone.wait()
            return
        self._child.terminate()
        with suppress(TimeoutError):
            async with asyncio.timeout(self.spec.grace_seconds):
                await self._gone.wait()
        if not self._gone.is_set():
            self._say(f"did not stop within {self.spec.grace_seconds:g} s and is killed")
            self._child.kill()
            await self._gone.wait()

    def kill(self) -> None:
        """SIGKILL now."""
        self.life.stop(self._now())
        self.kill_child()

    def kill_child(self) -> None:
        """SIGKILL that counts as a death: it comes back."""
        if self._child is not None:
            self._child.kill()

    async def close(self) -> None:
        """Waits until the process is reaped, and closes its log."""
        await self._gone.wait()
        if self.life.state is State.STOPPING:
            self.life.died(self._now(), 0)
        self._publish()
        self._log.close()

    async def _one_life(self) -> float | None:
        self._gone.clear()
        reaper = asyncio.create_task(self._run(), name=f"run-{self.spec.name}")
        # A cancelled keep_alive must not leave a process that nobody reaps.
        code = await asyncio.shield(reaper)
        return self._ended(code)

    async def _run(self) -> int:
        try:
            child = await spawn(self.spec, self._line)
        except OSError as problem:
            self._line(f"cannot be started: {problem}")
            self._gone.set()
            return EXIT_CANNOT_START
        self._child = child
        if self._stopping:  # told so while it was being spawned
            child.kill()
        else:
            self.life.started(self._now())
        self.state.pid, self.state.started_at, self.state.boot_id = child.pid, child.started_at, ""
        self._publish()
        probing = asyncio.create_task(self._probe(), name=f"probe-{self.spec.name}")
        code = await child.wait()
        probing.cancel()
        self._child = None
        self.state.pid, self.state.started_at = 0, 0.0
        self._gone.set()
        return code

    def _ended(self, code: int) -> float | None:
        delay = self.life.died(self._now(), code)
        self.state.last_exit = code
        if self.life.state is State.FAILED:
            self.state.log_tail = list(self._tail)
            self.answered.set()  # those who wait for it wait in vain
        self._publish()
        return delay

    async def _probe(self) -> None:
        while True:
            serving, boot_id = await self.spec.probe()
            self.life.probed(self._now(), serving=serving)
            if serving:
                self.answered.set()
            if boot_id:
                self.state.boot_id = boot_id
            self._publish()
            if self.life.hangs(self._now()):
                self._say(f"does not serve for {self._shared.rules.not_serving_seconds:g} s and is started again")
                self.kill_child()
            starting = self.life.state is State.STARTING or (serving and self.spec.kind == "worker" and not boot_id)
            await self._shared.clock.sleep(PROBE_STARTING_SECONDS if starting else PROBE_RUNNING_SECONDS)

    @property
    def _stopping(self) -> bool:
        return self.life.state in (State.STOPPING, State.STOPPED)

    def _publish(self) -> None:
        self.state.state, self.state.restarts = self.life.state.value, self.life.restarts
        stamp = (self.state.state, self.state.pid, self.state.boot_id)
        if stamp != self._published:
            self._published = stamp
            self._shared.changed(self)

    def _line(self, text: str) -> None:
        self._tail.append(text)
        self._log.write(text + "\n")
        self._shared.onlooker.log_line(self.spec.name, text)

    def _say(self, text: str) -> None:
        self._shared.onlooker.note(f"{self.spec.name} {text}")

    def _now(self) -> float:
        return self._shared.clock.monotonic()


def _open_log(path: Path) -> TextIO:
    """Appends; a file that has grown past the limit moves aside first, once."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if path.exists() and path.stat().st_size > LOG_BYTES_MAX:
        path.replace(path.with_suffix(".log.1"))
    return path.open("a", encoding="utf-8", buffering=1)
