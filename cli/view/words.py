"""States in words and colours, the same everywhere."""

from __future__ import annotations

from cli.supervisor.state import ProcessState

COLOURS = {
    "waiting": "bright_black",
    "starting": "yellow",
    "ready": "green",
    "not_serving": "red",
    "backoff": "magenta",
    "failed": "bold red",
    "stopping": "yellow",
    "stopped": "bright_black",
}
LANES = ("cyan", "magenta", "blue", "yellow", "green", "bright_cyan", "bright_magenta", "bright_blue")


def describe(process: ProcessState) -> str:
    """One line on a state, with what to do where something is to be done."""
    ended = exit_words(process.last_exit)
    again = f", restart {process.restarts}" if process.restarts else ""
    words = {
        "waiting": "waits for its turn",
        "starting": f"pid {process.pid}{again}",
        "ready": f"pid {process.pid}, port {process.port}{again}",
        "not_serving": f"runs but does not serve; see {process.log}",
        "backoff": f"ended ({ended}); is started again{again}",
        "failed": f"given up ({ended}); correct the cause, then start headrace again",
    }
    return words.get(process.state, "")


def exit_words(code: int | None) -> str:
    """An exit status as people say it."""
    if code is None:
        return "no exit status"
    if code == 2:
        return "it refuses its settings"
    return f"killed by signal {-code}" if code < 0 else f"exit status {code}"
