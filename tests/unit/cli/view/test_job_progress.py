"""What watching a job looks like on a terminal."""

import io
import re

import pytest
from rich.console import Console
from rich.live import Live

from cli.view.job_progress import LiveJob, clock_words
from tests.unit.cli.client.jobs_fake import job


class Clock:
    seconds = 0.0

    def __call__(self):
        return self.seconds


def drawn(width, *steps):
    """The last lines of a terminal of that width; a step is (seconds, document or why nobody answers)."""
    clock, out = Clock(), io.StringIO()
    screen = Console(file=out, width=width, force_terminal=True, color_system=None, legacy_windows=False)
    with Live(console=screen, auto_refresh=False) as live:
        view = LiveJob(live, clock)
        for clock.seconds, what in steps:
            view.away(what) if isinstance(what, str) else view.show(what)
    return [re.sub(r"\x1b\[[?0-9]*[A-Za-z]", "", line) for line in re.split(r"[\r\n]+", out.getvalue())]


RUNNING = [(0, job(done=0)), (10, job(done=1, running_tokens=20)), (20, job(done=2, failed=1, running_tokens=40))]


@pytest.mark.parametrize("width", [60, 80, 140])
def test_all_of_it_fits_in_one_line(width):
    row = next(line for line in reversed(drawn(width, *RUNNING)) if "running" in line)
    assert len(row.rstrip()) <= width
    for word in ("running", "━", "3/4", "1 failed", "3 tok/s", "$0.0000125", "ETA 0:07"):
        assert word in row


def test_an_absence_is_said_above_the_bar_and_the_bar_stays():
    lines = drawn(80, *RUNNING, (21, "reset"), (25, ""), (26, job("succeeded", done=4)))
    said = "\n".join(lines)
    assert "no answer from the platform (reset); the job goes on" in said
    assert "there is an answer again" in said
    assert "4/4" in next(line for line in reversed(lines) if "succeeded" in line)


def test_a_job_that_has_ended_has_no_pace():
    row = next(line for line in reversed(drawn(80, *RUNNING, (30, job("failed", done=3, failed=1)))) if "4/4" in line)
    assert "tok/s" not in row
    assert "ETA" not in row


@pytest.mark.parametrize(("seconds", "words"), [(7.4, "0:07"), (59.6, "1:00"), (750, "12:30"), (11_045, "3:04:05")])
def test_times_as_people_read_them(seconds, words):
    assert clock_words(seconds) == words
