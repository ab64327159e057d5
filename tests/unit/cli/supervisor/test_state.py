import json
import os

import pytest

from cli.errors import CliError
from cli.supervisor.child import start_time
from cli.supervisor.state import PlatformState, ProcessState, read_state, same_process, write_state


def platform(**changes):
    processes = [ProcessState("inference-0", "worker", 8111, "ready", os.getpid(), start_time(os.getpid()))]
    me = {"pid": os.getpid(), "started_at": start_time(os.getpid())}
    return PlatformState(**(me | changes), rest="http://127.0.0.1:1", grpc="127.0.0.1:2", processes=processes)


def test_what_is_written_is_read(tmp_path):
    write_state(tmp_path / "state.json", platform())
    assert read_state(tmp_path / "state.json") == platform()
    assert [path.name for path in tmp_path.iterdir()] == ["state.json"]


def test_nothing_written_is_nothing_read(tmp_path):
    assert read_state(tmp_path / "state.json") is None


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"pid": 1, "processes": [{"x": 1}]}'])
def test_a_file_of_another_shape_says_what_to_do(tmp_path, text):
    (tmp_path / "state.json").write_text(text)
    with pytest.raises(CliError, match="remove"):
        read_state(tmp_path / "state.json")


def test_a_pid_that_was_given_to_another_process_is_not_the_same():
    assert same_process(os.getpid(), start_time(os.getpid()))
    assert not same_process(os.getpid(), start_time(os.getpid()) - 60)
    assert not same_process(0, 0.0)


def test_a_supervisor_is_alive_by_pid_and_birth():
    assert platform().alive
    assert not platform(started_at=1.0).alive


def test_the_names_of_the_json_form_are_fixed(tmp_path):
    write_state(tmp_path / "state.json", platform())
    process = json.loads((tmp_path / "state.json").read_text())["processes"][0]
    assert {"name", "pid", "port", "state", "boot_id"} <= set(process)
