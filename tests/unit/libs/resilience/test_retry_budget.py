from hypothesis import given
from hypothesis import strategies as st

from libs.resilience.retry_budget import RetryBudget, RetryBudgetRule


class Time:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


def drain(budget):
    taken = 0
    while budget.take():
        taken += 1
    return taken


def test_a_quiet_client_gets_the_floor():
    assert drain(RetryBudget(Time())) == 30


def test_a_busy_client_gets_its_share_and_no_floor_on_top():
    budget = RetryBudget(Time())
    for _ in range(1000):
        budget.request()
    assert drain(budget) == 100


def test_a_refused_retry_is_not_counted():
    budget = RetryBudget(Time(), RetryBudgetRule(floor_per_second=0.1))
    assert drain(budget) == 1
    for _ in range(50):
        assert not budget.take()
    for _ in range(20):
        budget.request()
    assert drain(budget) == 1


def test_what_left_the_window_counts_no_more():
    now = Time()
    budget = RetryBudget(now)
    for _ in range(1000):
        budget.request()
    assert drain(budget) == 100
    now.now += 9.0
    assert budget.left() == 0
    now.now += 1.0
    assert drain(budget) == 30
    now.now += 1e6
    assert drain(budget) == 30


@given(st.lists(st.tuples(st.sampled_from(["request", "take"]), st.floats(0, 3)), max_size=200))
def test_retries_never_pass_the_rule_in_any_window(steps):
    now, taken, asked = Time(), [], []
    budget = RetryBudget(now, RetryBudgetRule(share=0.5, floor_per_second=0.2))
    for what, pause in steps:
        now.now += pause
        if what == "request":
            budget.request()
            asked.append(now.now)
        elif budget.take():
            taken.append(now.now)
            # Slots are a second wide, so the counted window is between 9 and 10 seconds long.
            in_window = [t for t in taken if t > now.now - 9]
            asked_in = [t for t in asked if t > now.now - 10]
            assert len(in_window) <= max(0.5 * len(asked_in), 2)
