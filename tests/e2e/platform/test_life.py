"""Start and end of a platform, good and bad."""

import os
import signal
import socket
import time

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


def nothing_is_left(platform, wait_until):
    wait_until(lambda: not platform.leftovers(), "every process to be gone", 10)


def test_one_ctrl_c_finishes_what_runs_and_leaves_nothing(platform, wait_until):
    platform.up("--workers", "1").answers().processes()
    with platform.stream(max_tokens=100, ignore_eos=True) as (_, events):
        seen = [next(events)]
        platform.interrupt()
        seen += events
    assert seen[-1] == "data: [DONE]"
    assert platform.end() == 0
    nothing_is_left(platform, wait_until)
    assert not (platform.state_dir / "run" / "state.json").exists()
    assert list((platform.state_dir / "valkey").rglob("*.aof"))
    assert platform.run("status").returncode == 3


def test_a_second_ctrl_c_kills(platform, wait_until):
    platform.up("--workers", "1").answers().processes()
    with platform.stream(max_tokens=1900, ignore_eos=True) as (_, events):
        next(events)
        platform.interrupt()
        wait_until(lambda: platform.processes()["gateway"]["state"] == "stopping", "the gateway to drain")
        begun = time.monotonic()
        platform.interrupt()
        assert platform.end() == 130
    assert time.monotonic() - begun < 5
    nothing_is_left(platform, wait_until)


def test_kill_9_of_up_leaves_no_orphan_and_up_works_again(platform, wait_until):
    platform.up("--workers", "1").answers().processes()
    key = platform.key
    platform.interrupt(signal.SIGKILL)
    platform.end()
    nothing_is_left(platform, wait_until)
    assert not platform.json("status")["running"]
    platform.up("--workers", "1").answers()
    assert platform.key == key
    assert platform.chat()[0] == 200
    assert platform.json("down")["stopped"]
    assert platform.end() == 0
    nothing_is_left(platform, wait_until)


def test_down_ends_an_up_that_has_not_answered_yet(platform, wait_until):
    platform.up("--workers", "1")
    wait_until((platform.state_dir / "run" / "state.json").exists, "the supervisor to start")
    platform.processes()
    assert platform.json("down")["stopped"]
    assert platform.end() == 0
    nothing_is_left(platform, wait_until)


def test_a_port_in_use_is_named_with_its_holder(platform):
    with socket.create_server(("127.0.0.1", platform.ports["grpc"])):
        done = platform.run("up", "--engine", "simulated")
    assert done.returncode == 1
    assert f"port {platform.ports['grpc']} for gRPC is in use by process {os.getpid()}" in done.stderr
    assert "--grpc-port" in done.stderr


def test_an_unknown_key_of_the_file_is_refused(platform):
    platform.configure(prots={"rest": 1})
    done = platform.run("up")
    assert done.returncode == 2
    assert "prots: is not a setting" in done.stderr


def test_an_unknown_key_of_a_service_shows_as_failed_with_its_words(platform, wait_until):
    platform.configure(services={"gateway": {"limts": {"n_max": 2}}})
    platform.up("--workers", "1")
    gateway = wait_until(lambda: platform.failed("gateway"), "the gateway to be given up", 60)
    assert gateway["restarts"] == 0
    assert "limts" in "\n".join(gateway["log_tail"])
    wait_until(lambda: "refuses its settings" in platform.output, "its words on the terminal", 10)
    doctor = platform.run("doctor")
    assert "limts" in doctor.stdout
    platform.interrupt()
    assert platform.end() == 0


def test_pools_can_have_workers_of_their_own(platform):
    platform.up("--workers", "small=1,large=1").answers().all_ready()
    assert platform.chat(model="small")[1]["x-headrace-worker"] == "inference-0"
    assert platform.chat(model="large")[1]["x-headrace-worker"] == "inference-1"


def test_anonymous_calls_need_no_key(platform):
    platform.up("--workers", "1", "--anonymous").answers()
    assert platform.run("chat", "hi", "--max-tokens", "3", "--key", "").returncode == 0
