"""All three views are given the same events."""

import io
import json

import pytest
from rich.console import Console

from cli.supervisor.state import PlatformState, ProcessState
from cli.view.jsonl import JsonView
from cli.view.live import LiveView
from cli.view.plain import PlainView


def failed():
    return ProcessState("router", "router", 8101, "failed", last_exit=2, log="r.log", log_tail=["limts: no setting"])


def platform(**more):
    processes = [ProcessState("inference-0", "worker", 8111, "starting", 17), failed()]
    return PlatformState(1, 1.0, "http://127.0.0.1:8080", "127.0.0.1:8090", processes=processes, **more)


def play(view):
    view.note("a [note] with brackets")
    view.log_line("inference-0", "[info] a line")
    for done in (0.0, 0.1, 0.3, 1.0):
        view.progress("convert model", done, 1.0)
    view.changed(failed())
    view.tick(platform())
    view.tick(platform(ready=True))


def plain(*, logs):
    out = io.StringIO()
    play(PlainView(Console(file=out, width=40), logs=logs))
    return out.getvalue()


def test_plain_lines_have_no_control_characters_and_are_not_cut():
    text = plain(logs=True)
    assert "\x1b" not in text
    assert "a [note] with brackets\n" in text
    assert "inference-0  | [info] a line\n" in text
    assert "given up (it refuses its settings); correct the cause, then start headrace again" in text
    assert "    limts: no setting\n" in text


def test_a_plain_bar_is_a_line_per_quarter():
    assert [line for line in plain(logs=True).splitlines() if line.startswith("convert")] == [
        "convert model: 0 %",
        "convert model: 25 %",
        "convert model: 100 %",
    ]


def test_logs_can_be_left_out():
    assert "a line" not in plain(logs=False)


def test_json_lines_are_one_object_each():
    out = io.StringIO()
    play(JsonView(out, logs=True))
    events = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [event["event"] for event in events] == ["note", "log", *["progress"] * 4, "process", "ready"]
    assert events[-2]["log_tail"] == ["limts: no setting"]


@pytest.fixture
def terminal():
    return Console(file=io.StringIO(), force_terminal=True, width=150, height=40)


def test_the_table_has_a_row_and_a_bar_per_process_and_stays_below_the_logs(terminal):
    with LiveView(terminal, logs=True) as view:
        play(view)
    text = terminal.file.getvalue()
    assert "loads the model, 0 s" in text
    assert "limts: no setting" in text
    assert text.rindex("process") > text.rindex("a line")


def test_bars_leave_when_they_are_full(terminal):
    with LiveView(terminal, logs=False) as view:
        view.progress("convert model", 0.5, 1.0)
        view.progress("convert model", 1.0, 1.0)
        assert not view._tasks
