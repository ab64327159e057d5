"""The worker as a process: it dies with its engine, its engine dies with it, and it leaves as it is told."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from headrace.inference.v1 import inference_pb2 as pb

from libs.block_hash import block_hashes, unpacked
from libs.chat_template import pack
from libs.errors import PlatformError, Reason
from libs.rpc.dial import dial
from libs.testing.channels import grpc_settled
from libs.testing.loop import run_real
from services.inference.api import DRAIN, GENERATE, WATCH_STATE
from tests.unit.services.inference.world import Joined, request, write_model

ROOT = Path(__file__).parents[4]
LIMIT = 30.0


def until(condition, what):
    deadline = time.monotonic() + LIMIT
    while not (found := condition()):
        assert time.monotonic() < deadline, what
        time.sleep(0.02)
    return found


@contextmanager
def worker(path, *flags):
    """(process, port) of a worker that is ready."""
    write_model(path / "model")
    token = path / "internal.token"
    token.write_text("t0ken")
    token.chmod(0o600)
    argv = [
        sys.executable, "-m", "services.inference.main", "--name", "w", "--engine.kind", "simulated", "--rpc.port", "0",
        "--state_dir", str(path), "--model.path", str(path / "model"), "--log.format", "json", *flags,
    ]  # fmt: skip
    log = path / "log"
    env = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'protos' / 'gen'}"}
    with (
        log.open("wb") as out,
        subprocess.Popen(argv, cwd=ROOT, env=env, stdout=out, stderr=out, stdin=subprocess.DEVNULL) as process,
    ):
        try:
            until(lambda: b"worker ready" in log.read_bytes() or process.poll() is not None, "no worker")
            assert process.poll() is None, log.read_text()
            yield process, int(log.read_text().split('"port":')[1].split(",")[0].strip(' "}\n'))
        finally:
            process.kill()


@pytest.fixture(params=["grpc", "trunk"])
def transport(request):
    return request.param


def channel(port, transport="grpc"):
    return dial(f"127.0.0.1:{port}", transport, identity="gateway", token="t0ken")


async def close(client):
    await client.close()
    await grpc_settled()


def engine_of(process):
    return until(lambda: psutil.Process(process.pid).children(), "no engine process")[0]


def gone(pid):
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


async def collect(stream, limit=None):
    found = []
    async for response in stream:
        found.append(response)
        if len(found) == limit:
            break
    return found


def test_it_serves_leads_its_group_and_leaves_with_zero(tmp_path, transport):
    with worker(tmp_path) as (process, port):

        async def ask():
            client = channel(port, transport)
            try:
                return await collect(client.stream(GENERATE, request(max_tokens=300), timeout=20))
            finally:
                await close(client)

        joined = Joined(run_real(ask()))
        assert len(joined.ids[0]) == 300
        assert os.getpgid(process.pid) == process.pid
        engine = engine_of(process)
        assert os.getpgid(engine.pid) == process.pid
        process.send_signal(signal.SIGTERM)
        assert process.wait(LIMIT) == 0
        until(lambda: gone(engine.pid), "the engine outlived its worker")


def test_the_engine_dies_with_a_killed_worker(tmp_path):
    with worker(tmp_path) as (process, _):
        engine = engine_of(process)
        process.kill()
        until(lambda: gone(engine.pid), "the engine outlived its worker")


def test_the_worker_leaves_with_a_failure_when_its_engine_dies(tmp_path):
    with worker(tmp_path, "--simulated.inter_token_ms", "50") as (process, port):

        async def ask():
            client = channel(port)
            try:
                stream = client.stream(GENERATE, request(max_tokens=400), timeout=20)
                await anext(stream)
                engine_of(process).kill()
                with pytest.raises(PlatformError) as caught:
                    await collect(stream)
                return caught.value
            finally:
                await close(client)

        error = run_real(ask())
        assert error.reason in {Reason.ENGINE_DEAD, Reason.WORKER_LOST}
        assert error.started
        assert process.wait(LIMIT) == 1


def test_die_at_a_token_kills_the_worker_there(tmp_path):
    with worker(tmp_path, "--simulated.fault", "die@4", "--simulated.inter_token_ms", "20") as (process, port):

        async def ask():
            client = channel(port)
            got = []
            try:
                with pytest.raises(PlatformError) as caught:
                    async for response in client.stream(GENERATE, request(), timeout=20):
                        got.append(response)  # noqa: PERF401 - what came before the error counts
                return got, caught.value
            finally:
                await close(client)

        got, error = run_real(ask())
        assert process.wait(LIMIT) == 137
        assert error.reason is Reason.WORKER_LOST
        assert len(Joined(got).ids.get(0, [])) <= 3


def test_a_drain_by_rpc_lets_streams_finish_and_ends_the_process(tmp_path, transport):
    with worker(tmp_path, "--simulated.inter_token_ms", "20") as (process, port):

        async def ask():
            client = channel(port, transport)
            try:
                stream = client.stream(GENERATE, request(max_tokens=30), timeout=20)
                first = await anext(stream)
                answer = await client.call(DRAIN, pb.DrainRequest(grace_ms=20_000), timeout=5)
                with pytest.raises(PlatformError) as caught:
                    await collect(client.stream(GENERATE, request("late"), timeout=5))
                return answer.running, caught.value, Joined([first, *await collect(stream)])
            finally:
                await close(client)

        running, error, joined = run_real(ask())
        assert running == 1
        assert error.reason is Reason.DRAINING
        assert not error.started
        assert len(joined.ids[0]) == 30
        assert process.wait(LIMIT) == 0


def test_a_full_queue_refuses_within_five_milliseconds(tmp_path):
    flags = ("--simulated.running_max", "1", "--simulated.waiting_max", "0", "--simulated.inter_token_ms", "50")
    with worker(tmp_path, *flags) as (_, port):

        async def ask():
            client = channel(port)
            try:
                stream = client.stream(GENERATE, request(max_tokens=400), timeout=20)
                await anext(stream)
                seconds = []
                for i in range(20):
                    began = time.perf_counter()
                    with pytest.raises(PlatformError) as caught:
                        await collect(client.stream(GENERATE, request(f"r{i}"), timeout=5))
                    seconds.append(time.perf_counter() - began)
                    assert caught.value.reason is Reason.OVERLOADED
                stream.cancel()
                return min(seconds)
            finally:
                await close(client)

        # The best of twenty: a busy machine may delay any one of them.
        assert run_real(ask()) < 0.005


def test_a_bad_model_directory_is_a_settings_error(tmp_path):
    token = tmp_path / "internal.token"
    token.write_text("t0ken")
    token.chmod(0o600)
    argv = [
        sys.executable, "-m", "services.inference.main", "--engine.kind", "simulated", "--rpc.port", "0",
        "--state_dir", str(tmp_path), "--model.path", str(tmp_path / "nowhere"),
    ]  # fmt: skip
    env = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'protos' / 'gen'}"}
    done = subprocess.run(
        argv, cwd=ROOT, env=env, capture_output=True, timeout=LIMIT, check=False, stdin=subprocess.DEVNULL
    )
    assert done.returncode == 2
    assert b"headrace up" in done.stdout + done.stderr


def test_a_drain_that_hands_over_moves_streams_at_once(tmp_path):
    with worker(tmp_path, "--simulated.inter_token_ms", "20") as (process, port):

        async def ask():
            client = channel(port, "trunk")
            try:
                stream = client.stream(GENERATE, request(max_tokens=400), timeout=20)
                await anext(stream)
                await client.call(DRAIN, pb.DrainRequest(grace_ms=20_000, hand_over=True), timeout=5)
                with pytest.raises(PlatformError) as caught:
                    await collect(stream)
                return caught.value
            finally:
                await close(client)

        error = run_real(ask())
        assert (error.reason, error.started) == (Reason.DRAINING, True)
        assert process.wait(LIMIT) == 0


def test_what_does_not_finish_within_the_grace_is_handed_over(tmp_path):
    with worker(tmp_path, "--simulated.inter_token_ms", "50", "--drain.grace_seconds", "1") as (process, port):

        async def ask():
            client = channel(port, "trunk")
            try:
                stream = client.stream(GENERATE, request(max_tokens=400), timeout=30)
                await anext(stream)
                process.send_signal(signal.SIGTERM)
                with pytest.raises(PlatformError) as caught:
                    await collect(stream)
                return caught.value
            finally:
                await close(client)

        error = run_real(ask())
        assert (error.reason, error.started) == (Reason.DRAINING, True)
        assert process.wait(LIMIT) == 0


def watched(port, transport, asks=()):
    """The worker's boot id and the blocks that it tells, once they are those of `asks` and their answers."""

    async def scenario():
        client, expected, known = channel(port, transport), set(), set()
        for asked in asks:
            joined = Joined(await collect(client.stream(GENERATE, asked, timeout=LIMIT)))
            ids = [*asked.tokens.ids, *joined.ids[0][:-1]]
            expected |= set(block_hashes(pack(ids), 16, asked.cache_salt).tolist())
        stream = client.stream(WATCH_STATE, pb.WatchStateRequest(), timeout=LIMIT)
        async for state in stream:
            known = (known - set(unpacked(state.dropped).tolist())) | set(unpacked(state.stored).tolist())
            assert len(known) == state.blocks_held
            if known == expected:
                break
        stream.cancel()
        await close(client)
        return state.boot_id, known

    return run_real(scenario())


def test_it_tells_its_blocks_and_begins_again_with_none(tmp_path, transport):
    asks = [request(f"r{salt}", prompt=range(10, 60), cache_salt=salt, max_tokens=40) for salt in ("a", "b")]
    with worker(tmp_path) as (_, port):
        first, known = watched(port, transport, asks)
        assert len(known) == 10
    with worker(tmp_path) as (_, port):
        second, known = watched(port, transport)
    assert (first != second, known) == (True, set())
