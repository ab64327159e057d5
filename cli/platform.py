"""One running platform inside this process: what `up` and `demo` have in common."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TextIO

from cli.config import Config
from cli.errors import CliError
from cli.install import install, make_directories
from cli.layout import Layout
from cli.model.bundled import ensure_bundled_model
from cli.plan import plan
from cli.supervisor.child import start_time
from cli.supervisor.leftovers import clear_orphans, refuse_second
from cli.supervisor.ports import require_free
from cli.supervisor.probes import http_ok
from cli.supervisor.state import PlatformState, write_state
from cli.supervisor.supervisor import Supervisor
from cli.view.port import Onlooker
from libs.clock import SystemClock


@asynccontextmanager
async def running_platform(config: Config, onlooker: Onlooker) -> AsyncIterator[Supervisor]:
    """Prepares the directory, the secrets and the model, starts everything, and stops it in drain order.

    Raises CliError before anything is started. A cancelled block, or a cancelled stop, kills what is left.
    """
    with claimed(config.layout):
        for orphan in clear_orphans(config.layout):
            onlooker.note(f"killed {orphan.name} (process {orphan.pid}), left over from a run that did not end well")
        require_free(_ports(config))
        announce_key(install(config.layout), config.layout, onlooker)
        if config.needs_bundled_model:
            await ensure_bundled_model(config.layout.models, onlooker.progress, onlooker.note)
        supervisor = _supervisor(config, onlooker)
        supervisor.start()
        try:
            yield supervisor
            await supervisor.stop()
        finally:
            await supervisor.kill()
            config.layout.state_file.unlink(missing_ok=True)


@contextmanager
def claimed(layout: Layout) -> Iterator[None]:
    """Makes this process the only supervisor of the state directory; raises CliError where there is one."""
    refuse_second(layout)
    make_directories(layout)
    with layout.lock_file.open("w") as lock:
        _lock(lock, layout)
        yield


def _lock(lock: TextIO, layout: Layout) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        fix = "wait for it or stop it; see `headrace status`"
        raise CliError(f"another headrace is starting in {layout.root}", fix) from None


def announce_key(key: str, layout: Layout, onlooker: Onlooker) -> None:
    """Shows a fresh admin key, once."""
    if key:
        onlooker.note(f"The admin key of this installation, shown once and kept in {layout.admin_key_file}:\n  {key}")


def _supervisor(config: Config, onlooker: Onlooker) -> Supervisor:
    pid, rest = os.getpid(), f"http://127.0.0.1:{config.ports.rest}"
    state = PlatformState(pid, start_time(pid) or time.time(), rest, f"127.0.0.1:{config.ports.grpc}")
    return Supervisor(
        plan(config),
        state,
        rules=config.restarts,
        clock=SystemClock(),
        onlooker=onlooker,
        save=lambda current: write_state(config.layout.state_file, current),
        log_dir=str(config.layout.logs),
        is_ready=lambda: http_ok(f"{rest}/readyz"),
    )


def _ports(config: Config) -> dict[str, tuple[int, str]]:
    ports, file = config.ports, "`ports` in headrace.yaml"
    named = {
        "REST": (ports.rest, "--rest-port"),
        "gRPC": (ports.grpc, "--grpc-port"),
        "router": (ports.router, file),
        "inside": (ports.inside, file),
        "jobs": (ports.jobs, file),
        "valkey": (ports.valkey, file),
    } | ({"kafka": (ports.kafka, file)} if config.embedded_broker else {})
    return named | {n: (p, file) for n, p in zip(config.worker_names, config.worker_ports, strict=True)}


async def wait_settled(supervisor: Supervisor) -> bool:
    """Waits until the platform answers (True) or what it needs has been given up (False)."""
    await supervisor.settled.wait()
    return supervisor.state.ready
