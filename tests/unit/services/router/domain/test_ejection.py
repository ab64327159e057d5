from hypothesis import given, settings
from hypothesis import strategies as st

from services.router.domain.ejection import Ejection, EjectionRule
from services.router.domain.outcomes import Outcomes
from services.router.domain.worker import Description, StateMessage, Worker

RULE = EjectionRule()


def fleet(count, model="m"):
    made = []
    for n in range(count):
        worker = Worker(f"h:{n}", Description(f"w{n}", "b", model, (), "d"), connected=True)
        worker.last = StateMessage("b", 1, True, 0, 0, False, True)  # noqa: FBT003
        made.append(worker)
    return made


def report(n, attempts=20, failures=0, ttft_ms=100, refusals=0):
    buckets = [0] * ttft_ms.bit_length() + [attempts - failures]
    return Outcomes(
        f"w{n}", "b", "m", attempts=attempts, failures=failures, refusals=refusals, ttft_buckets=tuple(buckets)
    )


class Time:
    """Intervals one after another, in each the same reports."""

    def __init__(self, workers, rule=RULE):
        self.workers, self.ejection, self.now = workers, Ejection(rule), 0.0
        self.ejection.sweep(workers, 0.0)

    def interval(self, *reports):
        for each in reports:
            self.ejection.took(each)
        return self.sweep(RULE.interval_seconds)

    def sweep(self, seconds):
        self.now += seconds
        self.ejection.sweep(self.workers, self.now)
        return [worker.name for worker in self.workers if worker.ejected]


def test_a_worker_that_fails_is_out_and_back_after_its_time():
    time = Time(fleet(4))
    assert time.interval(report(0, failures=10), *map(report, (1, 2, 3))) == ["w0"]
    assert time.workers[0].state == "ejected"
    assert time.sweep(29.9) == ["w0"]
    assert time.sweep(0.2) == []
    assert time.ejection.ejections == {"failures": 1, "ttft": 0}


def test_a_worker_that_is_slow_against_the_others_is_out():
    time = Time(fleet(4))
    assert time.interval(report(0, ttft_ms=4000), *[report(n, ttft_ms=300) for n in (1, 2, 3)]) == ["w0"]
    assert time.ejection.ejections == {"failures": 0, "ttft": 1}


def test_slow_as_all_others_or_quick_enough_is_no_fault():
    assert Time(fleet(4)).interval(*[report(n, ttft_ms=4000) for n in range(4)]) == []
    assert Time(fleet(4)).interval(report(0, ttft_ms=200), *[report(n, ttft_ms=10) for n in (1, 2, 3)]) == []


def test_when_all_fail_none_is_to_blame():
    assert Time(fleet(4)).interval(*[report(n, failures=15) for n in range(4)]) == []


def test_never_more_than_half_the_worst_first_and_one_stays():
    bad = [report(n, failures=10 + n) for n in range(3)]
    assert Time(fleet(5)).interval(*bad, report(3), report(4)) == ["w1", "w2"]
    assert Time(fleet(3)).interval(*bad[1:], report(0)) == ["w2"]
    assert Time(fleet(1)).interval(report(0, failures=20)) == []
    assert Time(fleet(2)).interval(report(0, failures=20), report(1, failures=2)) == ["w0"]


def test_an_ejected_worker_takes_its_place_in_the_half():
    time = Time(fleet(2))
    assert time.interval(report(0, failures=20), report(1)) == ["w0"]
    assert time.interval(report(1, failures=20)) == ["w0"]


def test_few_attempts_and_refusals_prove_nothing():
    assert Time(fleet(2)).interval(report(0, attempts=9, failures=9), report(1)) == []
    assert Time(fleet(2)).interval(report(0, attempts=40, refusals=35, failures=5), report(1)) == []


def test_each_ejection_in_a_row_lasts_longer_and_good_intervals_make_up():
    time = Time(fleet(2))

    def ejected_for():
        assert time.interval(report(0, failures=20), report(1)) == ["w0"]
        start = time.now
        while time.workers[0].ejected:
            time.sweep(1.0)
        return time.now - start

    assert [ejected_for() for _ in range(3)] == [30.0, 60.0, 90.0]
    for _ in range(3):
        time.interval(report(0), report(1))
    assert ejected_for() == 30.0


def test_models_are_judged_apart():
    others = [Worker(f"g:{n}", Description(f"g{n}", "b", "n", (), "d")) for n in range(4)]
    assert Time([*fleet(1), *others]).interval(report(0, failures=20)) == []


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 7),
    st.lists(
        st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40), st.sampled_from([10, 900, 9000]))), max_size=12
    ),
)
def test_whatever_is_reported_half_stay_and_all_return(count, intervals):
    time = Time(fleet(count))
    for interval in intervals:
        reports = [
            report(n % count, attempts, min(failures, attempts), ttft_ms)
            for n, (attempts, failures, ttft_ms) in enumerate(interval)
        ]
        assert len(time.interval(*reports)) <= count // 2
    assert time.sweep(RULE.seconds_max) == []
