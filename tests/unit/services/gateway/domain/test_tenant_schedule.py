from hypothesis import given
from hypothesis import strategies as st

from services.gateway.domain.tenant_schedule import TenantSchedule


def schedule(*names):
    made = TenantSchedule(1.0, 8.0)
    for name in names:
        made.add(name, 0.0)
    return made


def test_new_ones_are_due_at_once_and_stay_out_until_put_back():
    made = schedule("a", "b", "c")
    assert list(made.due(0.0, 2)) == ["a", "b"]
    assert list(made.due(0.0, 2)) == ["c"]
    assert list(made.due(99.0, 2)) == []


def test_pauses_double_up_to_their_limit_and_start_small_again_where_something_happens():
    made, now, pauses = schedule("a"), 0.0, []
    for _ in range(6):
        assert list(made.due(now, 1)) == ["a"]
        made.rest("a", now)
        start = now
        while not (found := made.due(now, 1)):
            now += 0.5
        pauses.append(now - start)
        made.later("a", now, 0.0)
    assert pauses == [1.0, 2.0, 4.0, 8.0, 8.0, 8.0]
    assert list(made.due(now, 1)) == list(found)
    made.busy("a", now)
    assert list(made.due(now, 1)) == ["a"]
    made.rest("a", now)
    assert list(made.due(now + 0.9, 1)) == []
    assert list(made.due(now + 1.0, 1)) == ["a"]


def test_one_that_is_moved_forward_comes_once():
    made = schedule("a", "b")
    made.due(0.0, 2)
    made.rest("a", 0.0)
    made.busy("a", 0.5)
    assert list(made.due(0.5, 9)) == ["a"]
    assert list(made.due(1.0, 9)) == []


def test_a_repeated_add_changes_nothing():
    made = schedule("a")
    made.due(0.0, 1)
    made.add("a", 0.0)
    assert "a" in made
    assert list(made.due(5.0, 1)) == []


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from(["rest", "busy", "later", "due"])), max_size=60))
def test_nobody_is_lost_and_nobody_comes_twice(steps):
    made, now, out = schedule(*"abcd"), 0.0, set()
    for name, step in steps:
        now += 0.7
        if step == "due":
            found = list(made.due(now, 3))
            assert len(set(found)) == len(found)
            assert not set(found) & out
            out |= set(found)
        elif step == "later":
            made.later(name, now, 2.0)
            out.discard(name)
        else:
            getattr(made, step)(name, now)
            out.discard(name)
    assert set(made.due(now + 100.0, 9)) | out == set("abcd")
