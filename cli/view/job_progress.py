"""What `jobs watch` shows: a bar on a terminal, plain lines in a pipe, JSON lines for programs."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol, TextIO

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from cli.view.accounts import usd
from cli.view.jobs import COLOURS, done, tokens
from cli.view.pace import Pace
from cli.view.table import plain

Document = Mapping[str, Any]
# Lines of a pipe: one per so many parts of the whole.
PARTS = 10
_BAR_WIDTH_MIN = 4
_BAR_WIDTH_MAX = 40


class JobView(Protocol):
    """Hears of one job, in order."""

    def show(self, job: Document) -> None:
        """How it stands."""
        ...

    def away(self, why: str) -> None:
        """There is no answer ("" = again), which the job does not mind."""
        ...


@contextmanager
def job_view(screen: Console, *, json_to: TextIO | None) -> Iterator[JobView]:
    """The view that suits where stdout goes."""
    if json_to is not None:
        yield JsonJob(json_to)
    elif screen.is_terminal:
        with Live(console=screen, refresh_per_second=4, transient=False) as live:
            yield LiveJob(live)
    else:
        yield PlainJob(screen)


class JsonJob:
    """A document a line."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def show(self, job: Document) -> None:
        """See JobView."""
        self._out.write(json.dumps(job) + "\n")
        self._out.flush()

    def away(self, why: str) -> None:
        """Not a document of a job: nothing."""


class PlainJob:
    """A line whenever the status changes, a request fails, or a tenth is done."""

    def __init__(self, screen: Console, now: Callable[[], float] = time.monotonic) -> None:
        self._screen = screen
        self._now = now
        self._pace = Pace()
        self._said: tuple[Any, ...] = ()

    def show(self, job: Document) -> None:
        """See JobView."""
        self._pace.see(self._now(), done(job), tokens(job))
        total = job["requests"]["total"]
        stamp = (job["status"], job["requests"]["failed"], PARTS * done(job) // total if total else 0)
        if stamp != self._said:
            self._said = stamp
            self._print("  ".join([job["status"], f"{done(job)}/{total}", *figures(job, self._pace)]))

    def away(self, why: str) -> None:
        """See JobView."""
        self._print(away_words(why))

    def _print(self, text: str) -> None:
        self._screen.print(plain(text), markup=False, highlight=False, soft_wrap=True)


class LiveJob:
    """A bar that moves; what happened on the way scrolls above it."""

    def __init__(self, live: Live, now: Callable[[], float] = time.monotonic) -> None:
        self._live = live
        self._now = now
        self._pace = Pace()
        self._job: Document | None = None
        self._why = ""

    def show(self, job: Document) -> None:
        """See JobView."""
        self._job = job
        self._pace.see(self._now(), done(job), tokens(job))
        self._draw()

    def away(self, why: str) -> None:
        """See JobView."""
        self._live.console.print(Text(plain(away_words(why)), style="yellow"))
        self._why = why
        self._draw()

    def _draw(self) -> None:
        if self._job is None:
            return
        job, total = self._job, self._job["requests"]["total"]
        status = Text("no answer" if self._why else job["status"], style="yellow" if self._why else _colour(job))
        said = [f"{done(job)}/{total}", *figures(job, self._pace)]
        left = self._live.console.width - len(status) - sum(len(word) + 2 for word in said) - 2
        width = min(_BAR_WIDTH_MAX, left)
        bar = [ProgressBar(total=total or None, completed=done(job), width=width, pulse=not total)]
        row = Table.grid(padding=(0, 2, 0, 0))
        row.add_row(
            status, *(bar if width >= _BAR_WIDTH_MIN else ()), *(Text(word, style=_style(word)) for word in said)
        )
        self._live.update(row, refresh=True)


def figures(job: Document, pace: Pace) -> list[str]:
    """Failures, tokens a second, cost and the time that is left, where there is something to say."""
    total, failed = job["requests"]["total"], job["requests"]["failed"]
    words = [f"{failed} failed"] if failed else []
    if job["status"] in COLOURS and not job.get("ended_at"):
        words.append(f"{pace.tokens_per_second:.0f} tok/s")
    words.append(usd(job["cost_usd"]))
    if not job.get("ended_at") and (left := pace.seconds_left(total - done(job))) is not None:
        words.append(f"ETA {clock_words(left)}")
    return words


def clock_words(seconds: float) -> str:
    """Such as 0:07, 12:30, 3:04:05."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def away_words(why: str) -> str:
    """What is said of a gateway that does not answer."""
    return f"no answer from the platform ({why}); the job goes on, trying again" if why else "there is an answer again"


def _colour(job: Document) -> str:
    return COLOURS.get(job["status"], "")


def _style(word: str) -> str:
    return "red" if word.endswith(" failed") else ""
