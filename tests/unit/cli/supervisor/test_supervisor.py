"""The real supervisor over tiny real processes."""

import asyncio
import contextlib
import os
import signal
import sys
import time

import pytest

from cli.config import Restarts
from cli.supervisor.child import start_time
from cli.supervisor.spec import ProcessSpec
from cli.supervisor.state import PlatformState
from cli.supervisor.supervisor import Supervisor
from libs.clock import SystemClock
from libs.testing.loop import run_real

QUICK = Restarts(backoff_seconds_min=0.01, backoff_seconds_max=0.02, deaths_max=5, window_seconds=60.0)
SLEEPER = "import time\nprint('up', flush=True)\ntime.sleep(600)"
STUBBORN = f"import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n{SLEEPER}"
WITH_CHILD = f"import subprocess, sys\nprint(subprocess.Popen([sys.executable, '-c', {SLEEPER!r}]).pid, flush=True)\n"


class Notes:
    def __init__(self):
        self.notes, self.lines, self.states, self.ticks = [], [], [], 0

    def note(self, text):
        self.notes.append(text)

    def log_line(self, process, text):
        self.lines.append((process, text))

    def changed(self, process):
        self.states.append((process.name, process.state))

    def progress(self, task, done, total):
        pass

    def tick(self, state):
        self.ticks += 1


async def serves():
    return True, ""


async def does_not():
    return False, ""


def dummy(name, kind, code, probe=serves, **more):
    return ProcessSpec(name, kind, (sys.executable, "-c", code), 1, probe, grace_seconds=more.pop("grace", 5.0), **more)


@contextlib.asynccontextmanager
async def supervised(tmp_path, *specs, rules=QUICK, answers=True):
    seen, saved = Notes(), []

    async def ready():
        return answers

    supervisor = Supervisor(
        specs,
        PlatformState(os.getpid(), 0.0, "", ""),
        rules=rules,
        clock=SystemClock(),
        onlooker=seen,
        save=lambda state: saved.append([(p.name, p.state, p.pid) for p in state.processes]),
        log_dir=str(tmp_path),
        is_ready=ready,
    )
    supervisor.start()
    try:
        yield supervisor, seen, saved
    finally:
        await supervisor.kill()


async def until(condition, seconds=10.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "the condition did not come true"
        await asyncio.sleep(0.01)


def of(supervisor, name):
    return supervisor[name].state


def gone(pid):
    return start_time(pid) is None


def test_a_killed_process_comes_back_under_its_name(tmp_path):
    async def scenario():
        async with supervised(tmp_path, dummy("a", "worker", SLEEPER)) as (supervisor, _, saved):
            await until(lambda: of(supervisor, "a").state == "ready")
            first = of(supervisor, "a").pid
            os.kill(first, signal.SIGKILL)
            await until(lambda: of(supervisor, "a").pid not in (0, first) and of(supervisor, "a").state == "ready")
            assert of(supervisor, "a").restarts == 1
            assert of(supervisor, "a").last_exit == -signal.SIGKILL
            assert [("a", "ready", of(supervisor, "a").pid)] in saved

    run_real(scenario())


def test_a_process_that_hangs_is_started_again(tmp_path):
    answers = [True]

    async def probe():
        return answers[0], ""

    async def scenario():
        impatient = QUICK.model_copy(update={"not_serving_seconds": 0.01})
        async with supervised(tmp_path, dummy("a", "worker", SLEEPER, probe), rules=impatient) as (supervisor, seen, _):
            await until(lambda: of(supervisor, "a").state == "ready")
            first, answers[0] = of(supervisor, "a").pid, False
            await until(lambda: of(supervisor, "a").pid not in (0, first))
            assert any("started again" in note for note in seen.notes)

    run_real(scenario())


def test_what_dies_five_times_is_given_up_and_its_last_lines_are_kept(tmp_path):
    async def scenario():
        broken = dummy("a", "router", "print('no such thing'); raise SystemExit(1)", does_not)
        async with supervised(tmp_path, broken) as (supervisor, seen, _):
            await until(lambda: of(supervisor, "a").state == "failed")
            assert of(supervisor, "a").log_tail == ["no such thing"] * 5
            assert seen.states.count(("a", "starting")) == 5

    run_real(scenario())


def test_a_command_that_does_not_exist_is_a_death(tmp_path):
    async def scenario():
        spec = ProcessSpec("a", "router", ("/nonexistent/program",), 1, does_not)
        async with supervised(tmp_path, spec) as (supervisor, _, _saved):
            await until(lambda: of(supervisor, "a").state == "failed")
            assert "No such file" in "".join(of(supervisor, "a").log_tail)

    run_real(scenario())


def test_the_second_worker_waits_for_the_first_answer(tmp_path):
    answers = asyncio.Event()

    async def first():
        return answers.is_set(), ""

    async def scenario():
        specs = dummy("a", "worker", SLEEPER, first), dummy("b", "worker", SLEEPER, after="a")
        async with supervised(tmp_path, *specs) as (supervisor, _, _saved):
            await until(lambda: of(supervisor, "a").state == "starting")
            assert of(supervisor, "b").state == "waiting"
            answers.set()
            await until(lambda: of(supervisor, "b").state == "ready")

    run_real(scenario())


def test_the_second_worker_does_not_wait_for_one_that_is_given_up(tmp_path):
    async def scenario():
        specs = dummy("a", "worker", "raise SystemExit(2)", does_not), dummy("b", "worker", SLEEPER, after="a")
        async with supervised(tmp_path, *specs) as (supervisor, _, _saved):
            await until(lambda: of(supervisor, "b").state == "ready")
            assert of(supervisor, "a").state == "failed"

    run_real(scenario())


def test_a_stop_goes_from_the_door_to_the_store(tmp_path):
    async def scenario():
        specs = [dummy(k, k, SLEEPER) for k in ("store", "broker", "router", "worker", "gateway")]
        async with supervised(tmp_path, *specs) as (supervisor, seen, _):
            await until(lambda: all(of(supervisor, s.name).state == "ready" for s in specs))
            await supervisor.stop()
            ends = [name for name, state in seen.states if state == "stopped"]
            assert ends == ["gateway", "worker", "router", "broker", "store"]

    run_real(scenario())


@pytest.mark.parametrize(("kind", "waits"), [("broker", True), ("router", False)])
def test_a_platform_is_waited_for_without_its_broker_and_not_without_a_router(tmp_path, kind, waits):
    async def scenario():
        specs = dummy("a", kind, "raise SystemExit(2)", does_not), dummy("b", "gateway", SLEEPER)
        async with supervised(tmp_path, *specs, answers=False) as (supervisor, seen, _):
            await until(lambda: of(supervisor, "a").state == "failed")
            ticks = seen.ticks
            await until(lambda: seen.ticks > ticks + 2)
            assert supervisor.settled.is_set() is not waits

    run_real(scenario())


def test_a_process_that_ignores_sigterm_is_killed_after_its_grace(tmp_path):
    async def scenario():
        async with supervised(tmp_path, dummy("a", "worker", STUBBORN, grace=0.2)) as (supervisor, seen, _):
            await until(lambda: ("a", "up") in seen.lines)
            pid = of(supervisor, "a").pid
            async with asyncio.timeout(5):
                await supervisor.stop()
            assert gone(pid)
            assert any("is killed" in note for note in seen.notes)

    run_real(scenario())


@pytest.mark.parametrize("ending", ["", "time.sleep(600)"])
def test_nothing_of_a_process_group_outlives_its_leader(tmp_path, ending):
    async def scenario():
        spec = dummy("a", "worker", f"import time\n{WITH_CHILD}{ending}", does_not)
        async with supervised(tmp_path, spec) as (supervisor, seen, _):
            await until(lambda: seen.lines)
            child = int(seen.lines[0][1])
            if ending:
                os.kill(of(supervisor, "a").pid, signal.SIGKILL)
            await until(lambda: gone(child))

    run_real(scenario())


def test_a_stop_during_back_off_starts_nothing(tmp_path):
    async def scenario():
        slow = QUICK.model_copy(update={"backoff_seconds_min": 0.3, "backoff_seconds_max": 0.3})
        broken = dummy("a", "worker", "raise SystemExit(1)", does_not)
        other = dummy("z", "store", SLEEPER)
        async with supervised(tmp_path, broken, other, rules=slow) as (supervisor, seen, _):
            await until(lambda: of(supervisor, "a").state == "backoff")
            await supervisor.stop()
            assert seen.states.count(("a", "starting")) == 1

    run_real(scenario())


def test_logs_go_to_a_file_of_their_own(tmp_path):
    async def scenario():
        async with supervised(tmp_path, dummy("a", "worker", SLEEPER)) as (_, seen, _saved):
            await until(lambda: ("a", "up") in seen.lines)
            assert (tmp_path / "a.log").read_text() == "up\n"

    run_real(scenario())
