import os
import subprocess
import sys

import pytest

from cli.errors import CliError
from cli.layout import Layout
from cli.supervisor.child import start_time
from cli.supervisor.leftovers import clear_orphans, refuse_second
from cli.supervisor.state import PlatformState, ProcessState, write_state


@pytest.fixture
def sleeper():
    command = [sys.executable, "-c", "import time; time.sleep(600)"]
    with subprocess.Popen(command, start_new_session=True) as process:
        yield process
        process.kill()


def leave(tmp_path, *, supervisor_born, orphan=0, orphan_born=0.0):
    layout = Layout(tmp_path)
    layout.run.mkdir(exist_ok=True)
    processes = [ProcessState("inference-0", "worker", 1, "ready", orphan, orphan_born)]
    write_state(layout.state_file, PlatformState(os.getpid(), supervisor_born, "", "", processes=processes))
    return layout


def test_a_living_supervisor_is_not_joined_by_a_second(tmp_path):
    layout = leave(tmp_path, supervisor_born=start_time(os.getpid()))
    with pytest.raises(CliError, match="headrace down"):
        refuse_second(layout)


def test_a_dead_supervisors_state_does_not_stop_a_new_one(tmp_path):
    refuse_second(leave(tmp_path, supervisor_born=1.0))


def test_orphans_are_killed_and_named(tmp_path, sleeper):
    born = start_time(sleeper.pid)
    layout = leave(tmp_path, supervisor_born=1.0, orphan=sleeper.pid, orphan_born=born)
    assert [orphan.name for orphan in clear_orphans(layout)] == ["inference-0"]
    assert sleeper.wait(5) == -9
    assert not layout.state_file.exists()


def test_a_stranger_with_an_old_pid_is_left_alone(tmp_path, sleeper):
    layout = leave(tmp_path, supervisor_born=1.0, orphan=sleeper.pid, orphan_born=start_time(sleeper.pid) - 60)
    assert clear_orphans(layout) == []
    assert sleeper.poll() is None


def test_no_state_no_orphans(tmp_path):
    assert clear_orphans(Layout(tmp_path)) == []
