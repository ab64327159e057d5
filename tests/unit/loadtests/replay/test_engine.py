"""The simulated worker: batching, chunks, queue, time."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from loadtests.replay.engine import EngineModel, Job, SimWorker
from loadtests.replay.trace import request

MODEL = EngineModel(step_ms=10.0, prefill_ms_per_token=0.1, decode_ms_per_call=1.0, budget_tokens=1024)


class Bench:
    """One worker, driven by hand."""

    def __init__(self, model=MODEL):
        self.first, self.ended = {}, {}
        self.worker = SimWorker("w0", model, self._first, self._end, lambda _now: None)

    def _first(self, job, now):
        self.first[job.request.number] = now

    def _end(self, job, now):
        self.ended[job.request.number] = now

    def submit(self, number, now, ids, tokens=None, output=1):
        made = request(number, now, (tokens or len(ids) * 512, output), ids)
        job = Job(made, now)
        self.worker.submit(job, now)
        return job

    def run(self, until=math.inf):
        while self.worker.due_ms < until:
            self.worker.advance(self.worker.due_ms)


def test_a_prompt_takes_its_chunks_one_after_the_other():
    bench = Bench()
    bench.submit(1, 0.0, range(4))
    bench.run()
    assert bench.first[1] == pytest.approx(2 * (10 + 1024 * 0.1))
    assert bench.worker.missed_blocks == 4


def test_cached_blocks_are_not_computed_again_but_the_last_token_is():
    bench = Bench()
    bench.submit(1, 0.0, range(4))
    bench.run()
    job = bench.submit(2, 1000.0, range(4))
    bench.run()
    assert job.cached_blocks == 4
    assert bench.first[2] == pytest.approx(1000 + 10 + 0.1)


def test_an_answer_takes_a_step_per_token():
    bench = Bench()
    bench.submit(1, 0.0, range(1), output=5)
    bench.run()
    prefill = 10 + 512 * 0.1
    assert bench.first[1] == pytest.approx(prefill)
    assert bench.ended[1] == pytest.approx(prefill + 4 * (10 + 1))


def test_a_call_that_arrives_between_decodes_begins_with_the_next_step():
    bench = Bench()
    bench.submit(1, 0.0, range(1), output=100)
    bench.run(until=62.0)
    began = bench.first[1]
    bench.submit(2, began + 25.0, [50])  # in the third decode step
    bench.run(until=began + 33 + 10 + 1 + 51.2 + 1)
    assert bench.first[2] == pytest.approx(began + 33 + 10 + 1 + 51.2)
    bench.run()
    assert bench.ended[1] == pytest.approx(began + 98 * 11 + 10 + 1 + 51.2)


def test_prompts_are_served_in_order_and_share_a_step_when_there_is_room():
    bench = Bench()
    bench.submit(1, 0.0, [1])
    bench.submit(2, 0.0, range(100, 103))
    bench.submit(3, 0.0, [7])
    bench.run()
    # The first was alone when it began; then two blocks of the second; then its third and the last one.
    assert bench.first[1] == pytest.approx(61.2)
    assert bench.first[2] == bench.first[3] == pytest.approx(61.2 + 2 * (10 + 102.4))


def test_equal_prompts_at_once_are_computed_once():
    bench = Bench()
    jobs = [bench.submit(n, 0.0, range(6)) for n in range(3)]
    bench.run()
    assert [job.cached_blocks for job in jobs] == [0, 6, 6]


def test_no_more_than_running_max_run_and_the_rest_waits_its_turn():
    bench = Bench(replace(MODEL, running_max=1))
    bench.submit(1, 0.0, [1], output=10)
    job = bench.submit(2, 0.0, [2], output=1)
    bench.run()
    assert job.began_ms == pytest.approx(bench.ended[1])
    assert list(bench.worker.waits_ms)[-1][1] == pytest.approx(bench.ended[1])


def test_a_call_waits_for_room_in_the_cache():
    bench = Bench(replace(MODEL, cache_blocks=6))
    bench.submit(1, 0.0, range(3), output=20)
    job = bench.submit(2, 0.0, range(10, 14), output=1)
    bench.run()
    assert job.began_ms == pytest.approx(bench.ended[1])


def test_blocks_are_told_as_their_chunks_are_computed():
    bench = Bench()
    job = bench.submit(1, 0.0, range(5))
    bench.worker.advance(bench.worker.due_ms)
    assert bench.worker.stored == list(job.request.blocks[:2])
    bench.run()
    assert bench.worker.stored == list(job.request.blocks)


def test_what_a_lost_worker_had_says_how_far_it_was():
    bench = Bench()
    bench.submit(1, 0.0, [1], output=50)
    bench.run(until=62.0)
    bench.submit(2, 62.0, [2])
    bench.run(until=80.0)
    assert {job.request.number: job.produced for job in bench.worker.jobs()} == {1: 2, 2: 0}
