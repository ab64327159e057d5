from cli.config import Restarts
from cli.supervisor.life import EXIT_BAD_SETTINGS, Life, State

RULES = Restarts(backoff_seconds_min=0.5, backoff_seconds_max=10.0, deaths_max=5, window_seconds=60.0)


def started(now=0.0):
    life = Life(RULES)
    life.started(now)
    return life


def test_a_process_starts_then_serves():
    life = started()
    assert life.state is State.STARTING
    life.probed(1.0, serving=False)
    assert life.state is State.STARTING
    life.probed(2.0, serving=True)
    assert (life.state, life.since, life.answered_once) == (State.READY, 2.0, True)


def test_a_process_that_stops_serving_is_not_the_same_as_one_that_starts():
    life = started()
    life.probed(1.0, serving=True)
    life.probed(2.0, serving=False)
    assert life.state is State.NOT_SERVING
    life.probed(3.0, serving=True)
    assert life.state is State.READY


def test_a_process_that_hangs_is_told_from_one_that_pauses():
    life = started()
    life.probed(1.0, serving=True)
    life.probed(2.0, serving=False)
    assert not life.hangs(301.9)
    assert life.hangs(302.0)
    life.probed(303.0, serving=True)
    assert not life.hangs(1000.0)


def test_a_process_that_starts_slowly_does_not_hang():
    assert not started().hangs(10_000.0)


def test_the_back_off_doubles_up_to_its_limit():
    life, now, delays = Life(RULES.model_copy(update={"deaths_max": 100})), 0.0, []
    for _ in range(7):
        life.started(now)
        delays.append(life.died(now, 1))
    assert delays == [0.5, 1.0, 2.0, 4.0, 8.0, 10.0, 10.0]
    assert (life.state, life.restarts) == (State.BACKOFF, 7)


def test_a_process_that_has_served_comes_back_soon():
    life = started()
    for now in (0.0, 1.0, 2.0):
        life.died(now, 1)
        life.started(now)
    life.probed(100.0, serving=True)
    assert life.died(101.0, -9) == 0.5


def test_five_deaths_within_a_minute_are_the_end():
    life = Life(RULES)
    for now in (0.0, 10.0, 20.0, 30.0):
        life.started(now)
        assert life.died(now, 1) is not None
    life.started(40.0)
    assert life.died(59.9, 1) is None
    assert life.state is State.FAILED


def test_five_deaths_within_more_than_a_minute_are_not():
    life = Life(RULES)
    for now in (0.0, 10.0, 20.0, 30.0, 60.0, 70.0):
        life.started(now)
        assert life.died(now, 1) is not None


def test_a_service_that_refuses_its_settings_is_not_started_again():
    life = started()
    assert life.died(1.0, EXIT_BAD_SETTINGS) is None
    assert life.state is State.FAILED


def test_an_end_on_purpose_is_no_death():
    life = started()
    life.stop(1.0)
    assert life.state is State.STOPPING
    assert life.died(2.0, 0) is None
    assert (life.state, life.restarts) == (State.STOPPED, 0)


def test_a_process_that_waits_or_backs_off_is_stopped_at_once():
    waiting, backing_off = Life(RULES), started()
    backing_off.died(0.0, 1)
    for life in (waiting, backing_off):
        life.stop(1.0)
        assert life.state is State.STOPPED


def test_a_probe_that_comes_late_changes_nothing():
    life = started()
    life.stop(1.0)
    life.probed(2.0, serving=True)
    assert life.state is State.STOPPING
