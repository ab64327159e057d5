import io
import json
import logging

import pytest
import structlog

from libs.settings import LogSettings
from libs.telemetry.logs import REDACTED, SECRET_KEYS, bind, get_logger, start_logging, stop_logging


@pytest.fixture
def logged():
    """Runs something with logging on; returns the lines."""

    def run(act, **settings):
        stream = io.StringIO()
        writer = start_logging(LogSettings(**{"format": "json", **settings}), "demo", "demo-0", stream)
        try:
            act()
        finally:
            stop_logging(writer)
        return stream.getvalue().splitlines()

    return run


def test_a_json_line_has_event_values_and_origin(logged):
    (line,) = logged(lambda: get_logger("part").info("worker lost", worker="w-1"))
    found = json.loads(line)
    assert found.pop("timestamp").endswith("Z")
    assert found == {
        "event": "worker lost",
        "worker": "w-1",
        "source": "part",
        "level": "info",
        "service": "demo",
        "instance": "demo-0",
    }


@pytest.mark.parametrize("key", sorted(SECRET_KEYS))
def test_a_users_words_and_keys_are_never_shown(logged, key):
    for shape in ("json", "console"):
        (line,) = logged(lambda: get_logger().info("request", **{key: "the secret plan"}), format=shape)
        assert "secret plan" not in line
        assert REDACTED in line


def test_other_values_are_shown(logged):
    assert "w-1" in logged(lambda: get_logger().info("request", worker="w-1"), format="console")[0]


def test_lines_under_the_level_are_left_out(logged):
    assert logged(lambda: get_logger().info("quiet"), level="warning") == []
    assert len(logged(lambda: get_logger().warning("loud"), level="warning")) == 1


def test_bound_values_are_on_every_line_inside_and_on_none_after(logged):
    def act():
        with bind(request_id="r-1"):
            get_logger().info("inside")
        get_logger().info("after")

    inside, after = map(json.loads, logged(act))
    assert inside["request_id"] == "r-1"
    assert "request_id" not in after


def test_an_exception_is_rendered_where_it_happened(logged):
    def act():
        try:
            int("broken")
        except ValueError as error:
            get_logger().error("failed", exc_info=error)

    (line,) = map(json.loads, logged(act))
    assert "ValueError: invalid literal" in line["exception"]
    assert "test_logs.py" in line["exception"]


def test_the_standard_library_goes_the_same_way(logged):
    (line,) = map(json.loads, logged(lambda: logging.getLogger("some.lib").warning("odd %s", 1)))
    assert (line["event"], line["source"], line["level"]) == ("odd 1", "some.lib", "warning")


def test_libraries_that_log_requests_are_kept_quiet(logged):
    assert logged(lambda: logging.getLogger("httpx").info("POST /v1 body"), level="debug") == []


def test_the_end_gives_everything_back(logged):
    root = logging.getLogger()
    before = root.handlers, root.level, structlog.is_configured()
    logged(lambda: get_logger().info("x"), level="error")
    assert (root.handlers, root.level, structlog.is_configured()) == before
