from __future__ import annotations

from services.router.domain.outcomes import Outcomes
from services.router.usecases.outcomes import OutcomeBoard


class Counted:
    def __init__(self):
        self.told = []

    def reported(self, told):
        self.told.append(told)


def test_every_listener_hears_all_and_metrics_only_of_workers_that_are_known():
    metrics, first, second = Counted(), [], []
    board = OutcomeBoard({"a"}.__contains__, metrics)
    board.listen(first.append)
    board.listen(second.append)
    report = [Outcomes("a", "b1", "m", attempts=2), Outcomes("made-up", "b1", "m", attempts=1)]
    board.take(report)
    assert first == second == report
    assert metrics.told == report[:1]
