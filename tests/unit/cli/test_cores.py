from cli.config import Worker
from cli.cores import share_cores


def test_each_vllm_worker_gets_a_core_of_its_own():
    assert share_cores([Worker(), Worker()], [0, 1, 2]) == ["0", "1"]


def test_workers_share_when_there_are_fewer_cores():
    assert share_cores([Worker()] * 3, [4, 5]) == ["4", "5", "4"]


def test_what_is_set_stays_and_other_engines_are_not_bound():
    workers = [Worker(cores="2-3"), Worker(engine="simulated"), Worker()]
    assert share_cores(workers, [0, 1]) == ["2-3", "", "0"]
