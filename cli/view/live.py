"""For terminals: logs scroll above a table of the processes that stays."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from cli.supervisor.state import PlatformState, ProcessState
from cli.view.words import COLOURS, LANES, describe

# vLLM loads the bundled model in 20 to 40 s on a laptop; the bar pulses when it takes longer.
WARM_UP_SECONDS = 30.0
BAR_WIDTH = 28


class LiveView:
    """An `Onlooker` on a terminal; a context manager, because it must give the screen back."""

    def __init__(self, console: Console, *, logs: bool) -> None:
        self._console = console
        self._logs = logs
        self._lanes: dict[str, str] = {}
        self._tasks: dict[str, tuple[float, float]] = {}
        self._state: PlatformState | None = None
        self._since: dict[str, tuple[str, float]] = {}
        # No thread of rich's own: the supervisor's loop refreshes it, so that a fork never meets a held lock.
        self._live = Live(console=console, auto_refresh=False, transient=False)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def note(self, text: str) -> None:
        """See Onlooker."""
        self._live.console.print(Text(text))

    def log_line(self, process: str, text: str) -> None:
        """See Onlooker."""
        if self._logs:
            lane = Text(f"{process:<12} │ ", style=self._lane(process), end="")
            self._live.console.print(lane + Text(text), soft_wrap=True)

    def changed(self, process: ProcessState) -> None:
        """See Onlooker."""
        if process.log_tail:
            said = "\n".join(f"    {line}" for line in process.log_tail)
            self._live.console.print(Text(f"{process.name} has failed; its last lines:\n{said}", style="red"))
        self._draw()

    def progress(self, task: str, done: float, total: float) -> None:
        """See Onlooker."""
        self._tasks[task] = (done, total)
        if total and done >= total:
            del self._tasks[task]
        self._draw()

    def tick(self, state: PlatformState) -> None:
        """See Onlooker."""
        self._state = state
        self._draw()

    def _draw(self) -> None:
        self._live.update(Group(*self._bars(), *self._table()), refresh=True)

    def _bars(self) -> list[RenderableType]:
        grid = Table.grid(padding=(0, 1))
        for task, (done, total) in self._tasks.items():
            grid.add_row(task, ProgressBar(total=total or None, completed=done, pulse=not total, width=BAR_WIDTH))
        return [grid] if self._tasks else []

    def _table(self) -> list[RenderableType]:
        if self._state is None:
            return []
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
        for column in ("process", "state", "pid", "port", ""):
            table.add_column(column)
        for process in self._state.processes:
            table.add_row(
                Text(process.name, style=self._lane(process.name)),
                Text(process.state, style=COLOURS.get(process.state, "")),
                str(process.pid or "-"),
                str(process.port),
                self._last_column(process),
            )
        return [table]

    def _last_column(self, process: ProcessState) -> RenderableType:
        known, since = self._since.get(process.name, ("", 0.0))
        if known != process.state:
            since = time.monotonic()
            self._since[process.name] = (process.state, since)
        if process.state == "ready":
            return Text(f"restart {process.restarts}" if process.restarts else "", style="bright_black")
        if process.state != "starting" or process.kind != "worker":
            return Text(describe(process), style="bright_black")
        seconds = time.monotonic() - since
        bar = ProgressBar(total=WARM_UP_SECONDS, completed=seconds, width=BAR_WIDTH, pulse=seconds > WARM_UP_SECONDS)
        row = Table.grid(padding=(0, 1))
        row.add_row(bar, f"loads the model, {seconds:.0f} s")
        return row

    def _lane(self, process: str) -> str:
        return self._lanes.setdefault(process, LANES[len(self._lanes) % len(LANES)])
