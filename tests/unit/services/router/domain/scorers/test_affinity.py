from services.router.domain.binding import Binding
from services.router.domain.catalog import Pool
from services.router.domain.scorers.affinity import bound_worker, placement_key, usable
from services.router.domain.worker import Description, Worker

WORKER = Worker("a:1", Description("w0", "b1", "m", (), "d"), told=1000)
POOL = Pool((WORKER,), {"w0": WORKER})


def test_a_session_goes_to_its_worker_by_name_whatever_the_load():
    assert bound_worker(Binding("w0", 3), POOL) is WORKER


def test_a_worker_outside_the_pool_is_none():
    assert bound_worker(Binding("w9", 3), POOL) is None
    assert bound_worker(None, POOL) is None


def test_the_call_that_failed_there_goes_elsewhere():
    assert usable(WORKER, [])
    assert not usable(WORKER, ["w0"])
    assert not usable(None, [])


def test_keys_of_tenants_sessions_and_affinity_never_meet():
    keys = {placement_key("a", "s", ""), placement_key("b", "s", ""), placement_key("a", "", "s")}
    assert len(keys) == 3
    assert placement_key("a", "", "") == ""
    assert placement_key("a", "s", "k") == placement_key("a", "s", "")
