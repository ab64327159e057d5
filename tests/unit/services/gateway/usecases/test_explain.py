"""Which calls are worth a line in the log."""

import logging

import pytest

from libs.telemetry.tracing import NO_SPAN
from services.gateway.domain.attempts import Outcome, PastAttempt
from services.gateway.domain.record import CallRecord
from services.gateway.usecases.explain import Explain

LOST = PastAttempt("w", "w:1", "boot", Outcome.LOST, "WORKER_LOST")


class Log:
    """Counts lines, down to `level`."""

    def __init__(self, level):
        self.level, self.lines = level, []

    def is_enabled_for(self, level):
        return level >= self.level

    def info(self, _, **fields):
        self.lines.append(("info", fields))

    def debug(self, _, **fields):
        self.lines.append(("debug", fields))


def levels(level=logging.DEBUG, **record):
    explain, log = Explain(), Log(level)
    explain._log = log
    explain.ended(CallRecord("r", "acme", "small", **record), NO_SPAN)
    return [name for name, _ in log.lines]


@pytest.mark.parametrize(
    "record",
    [
        {"error": "INTERNAL", "attempts": 1},
        {"past": [LOST], "attempts": 2},
        {"error": "WORKER_LOST", "past": [LOST], "attempts": 1},
        {"stale_deltas": 1, "attempts": 1},
    ],
)
def test_what_went_wrong_under_way_is_told(record):
    assert levels(logging.INFO, **record) == ["info"]


@pytest.mark.parametrize("record", [{"attempts": 1}, {"error": "RATE_LIMITED"}, {"error": "STORE_UNAVAILABLE"}])
def test_answers_and_refusals_are_no_lines_unless_they_are_asked_for(record):
    assert levels(logging.INFO, **record) == []
    assert levels(logging.DEBUG, **record) == ["debug"]
