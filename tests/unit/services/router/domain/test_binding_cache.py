from hypothesis import example, given
from hypothesis import strategies as st

from services.router.domain.binding import Binding, SessionKey
from services.router.domain.binding_cache import BindingCache


def key(n):
    return SessionKey("t", f"s{n}")


def test_the_least_recently_used_goes_first():
    cache = BindingCache(2, 100.0)
    cache.put(key(1), Binding("w0", 1), 0.0)
    cache.put(key(2), Binding("w0", 1), 1.0)
    cache.get(key(1), 2.0)
    cache.put(key(3), Binding("w1", 1), 3.0)
    assert cache.get(key(2), 4.0) is None
    assert cache.get(key(1), 4.0).binding == Binding("w0", 1)
    assert dict(cache.sessions) == {"w0": 1, "w1": 1}


def test_the_idle_go_and_the_used_stay():
    cache = BindingCache(10, 100.0)
    cache.put(key(1), Binding("w0", 1), 0.0)
    cache.put(key(2), Binding("w1", 1), 0.0)
    cache.get(key(1), 90.0)
    cache.sweep(101.0)
    assert dict(cache.sessions) == {"w0": 1}
    assert len(cache) == 1


@example([("put", n, 0) for n in range(6)])
@given(st.lists(st.tuples(st.sampled_from(["put", "get", "sweep"]), st.integers(0, 6), st.integers(0, 2))))
def test_it_never_grows_past_its_size_and_counts_what_it_holds(steps):
    cache = BindingCache(4, 5.0)
    for now, (what, n, worker) in enumerate(steps):
        if what == "put":
            cache.put(key(n), Binding(f"w{worker}", 1), now)
        elif what == "get":
            cache.get(key(n), now)
        else:
            cache.sweep(now)
        assert len(cache) <= 4
        assert sum(cache.sessions.values()) == len(cache)
        assert all(cache.sessions.values())
