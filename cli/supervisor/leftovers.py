"""What an earlier `headrace up` in this directory has left: a running platform, or orphans of one that was killed."""

from __future__ import annotations

import time

from cli.errors import CliError
from cli.layout import Layout
from cli.supervisor.child import kill_group
from cli.supervisor.state import ProcessState, read_state, same_process

# Their ports are free only when they are gone.
GONE_SECONDS_MAX = 5.0


def refuse_second(layout: Layout) -> None:
    """Raises CliError when a supervisor of this directory is alive."""
    state = read_state(layout.state_file)
    if state is not None and state.alive:
        fix = "stop it with `headrace down`, or give this one another --state-dir and ports"
        raise CliError(f"headrace already runs here (process {state.pid}, {state.rest})", fix)


def clear_orphans(layout: Layout) -> list[ProcessState]:
    """Kills the processes that a dead supervisor has left, and forgets its state; returns those that still ran."""
    state = read_state(layout.state_file)
    if state is None:
        return []
    orphans = [entry for entry in state.processes if same_process(entry.pid, entry.started_at)]
    for orphan in orphans:
        kill_group(orphan.pid)
    end = time.monotonic() + GONE_SECONDS_MAX
    while any(same_process(entry.pid, entry.started_at) for entry in orphans) and time.monotonic() < end:
        time.sleep(0.02)
    layout.state_file.unlink(missing_ok=True)
    return orphans
