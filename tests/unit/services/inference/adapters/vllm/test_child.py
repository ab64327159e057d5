import multiprocessing.connection
import os
import pickle
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest

from services.inference.adapters.vllm import child


def _serve(pipe):
    pipe.send(os.getpid())
    signal.pause()


PARENT = """
import multiprocessing, signal, sys
from services.inference.adapters.vllm.child import DyingEntryPoint
import _entry
if __name__ == "__main__":
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=DyingEntryPoint(_entry.serve) if sys.argv[1] == "bound" else _entry.serve)
    process.start()
    signal.pause()
"""
ENTRY = """
import os, signal, sys
def serve():
    sys.stdout.write(f"{os.getpid()}\\n"); sys.stdout.flush()
    signal.pause()
"""


@pytest.mark.parametrize(("how", "dies"), [("bound", True), ("plain", False)])
def test_a_bound_process_dies_with_the_one_that_started_it(tmp_path, how, dies):
    (tmp_path / "_entry.py").write_text(ENTRY)
    (tmp_path / "parent.py").write_text(PARENT)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    parent = subprocess.Popen(
        [sys.executable, str(tmp_path / "parent.py"), how],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment,
    )
    pid = int(parent.stdout.readline())
    ended = os.pidfd_open(pid)
    try:
        parent.kill()
        parent.wait()
        assert bool(_wait(ended, 15 if dies else 0.5)) is dies
    finally:
        if not dies:
            os.kill(pid, signal.SIGKILL)
        os.close(ended)
        parent.stdout.close()


def _wait(descriptor, seconds):
    return multiprocessing.connection.wait([descriptor], seconds)


def test_a_process_whose_parent_is_already_gone_exits_at_once():
    pid = os.fork()
    if pid == 0:
        child.die_with_parent(1)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 1


def test_the_entry_point_unpickles_to_the_function_itself(monkeypatch):
    bound = []
    monkeypatch.setattr(child, "die_with_parent", bound.append)
    assert pickle.loads(pickle.dumps(child.DyingEntryPoint(_serve))) is _serve  # noqa: S301 - our own bytes
    assert bound == [os.getpid()]


class Grammar:
    def __init__(self):
        self.taken = []

    def accept_tokens(self, _request_id, tokens):
        self.taken += tokens
        return 13 not in tokens


def _create(resumed):
    class Manager:
        def _create_grammar(self, request):
            return Grammar()

    child.feed_resumed_tokens(Manager)
    arguments = None if resumed is None else {child.RESUMED_ARGUMENT: resumed}
    return Manager()._create_grammar(
        SimpleNamespace(request_id="r", sampling_params=SimpleNamespace(extra_args=arguments))
    )


def test_a_grammar_first_takes_what_was_resumed():
    assert _create([1, 2]).taken == [1, 2]
    assert _create(None).taken == []


def test_tokens_that_do_not_fit_fail_the_request():
    with pytest.raises(ValueError, match="do not fit"):
        _create([13])


def _condition(last_read):
    class Condition:
        def __init__(self, busy_loop_s=1.0):
            self.busy_loop_s, self.last_read, self.waits = busy_loop_s, last_read, []

        def wait(self, timeout_ms=None):
            self.waits.append(timeout_ms)

    child.wait_asleep(Condition)
    return Condition()


def test_a_waiting_process_never_spins_and_naps_while_a_notification_may_get_lost():
    recent, idle = _condition(time.monotonic()), _condition(time.monotonic() - 60)
    for condition in (recent, idle):
        condition.wait(timeout_ms=5000)
    assert (recent.busy_loop_s, recent.waits, idle.waits) == (0.0, [1], [5000])
