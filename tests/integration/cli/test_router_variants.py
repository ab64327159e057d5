"""The command against two real routers over one store."""

import asyncio
import json
import os
import subprocess
import sys
import time

import pytest
from headrace.router.v1 import router_pb2
from typer.testing import CliRunner

from cli.commands.router_variants import variants
from libs.rpc.dial import dial
from libs.testing.brokers import free_port
from libs.testing.loop import run_real
from libs.testing.valkey import ValkeyProcess
from services.router.api import REPORT

SPLIT = {"chat": [{"name": "stable", "model": "m-a", "weight": 95}, {"name": "canary", "model": "m-b", "weight": 5}]}
START_SECONDS_MAX = 30.0


def spawned(port, state_dir, store):
    argv = [
        *(sys.executable, "-m", "services.router.main", "--rpc.port", str(port), "--state_dir", str(state_dir)),
        *("--valkey.url", store.url, "--valkey.op_timeout_ms", "2000", "--variants", json.dumps(SPLIT)),
        *("--parent_pid", str(os.getpid()), "--log.level", "error"),
    ]
    return subprocess.Popen(argv)


@pytest.fixture(scope="module")
def routers(tmp_path_factory):
    """Addresses of two routers, and the state directory with the token."""
    state = tmp_path_factory.mktemp("state")
    token = state / "internal.token"
    token.touch(mode=0o600)
    token.write_text("secret-of-this-test")
    ports = [free_port(), free_port()]
    with ValkeyProcess() as store:
        processes = [spawned(port, state, store) for port in ports]
        try:
            yield [f"127.0.0.1:{port}" for port in ports], state
        finally:
            for process in processes:
                process.terminate()
            for process in processes:
                process.wait(timeout=10)


@pytest.fixture
def ask(routers):
    def asked(router, *words):
        addresses, state = routers
        argv = [*words, "--router", addresses[router], "--state-dir", str(state), "--json"]
        done = CliRunner().invoke(variants, argv)
        return done.exit_code, json.loads(done.stdout)

    return asked


def until(check, seconds):
    end = time.monotonic() + seconds
    while not (found := check()):
        assert time.monotonic() < end, "too late"
        time.sleep(0.05)
    return found


def weights(answer):
    code, document = answer
    return {each["name"]: each["weight"] for each in document["pools"][0]["variants"]} if code == 0 else None


def test_a_weight_that_is_set_at_one_router_is_in_use_at_the_other_within_two_seconds(ask):
    for router in (0, 1):
        assert until(lambda router=router: weights(ask(router, "list")), START_SECONDS_MAX) == {
            "stable": 95,
            "canary": 5,
        }
    code, changed = ask(0, "set", "chat", "canary=50")
    assert (code, changed["version"], changed["variants"][1]["weight"]) == (0, 1, 50)
    until(lambda: weights(ask(1, "list")) == {"stable": 95, "canary": 50}, 2.5)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["set", "chat", "canary"], "is no weight"),
        (["set", "chat", "canary=-1"], "is no weight"),
        (["set", "chat", "other=1"], "it has stable, canary"),
        (["set", "nobody", "canary=1"], "Pools that have: chat"),
    ],
)
def test_what_cannot_be_set_is_told(ask, words, said):
    until(lambda: weights(ask(0, "list")), START_SECONDS_MAX)
    code, document = ask(0, *words)
    assert code != 0
    assert said in document["error"]["message"]


def test_a_router_that_is_not_there_is_told_with_what_to_do(routers):
    _, state = routers
    argv = ["list", "--router", f"127.0.0.1:{free_port()}", "--state-dir", str(state), "--json"]
    done = CliRunner().invoke(variants, argv)
    assert done.exit_code == 1
    assert "headrace up" in json.loads(done.stdout)["error"]["fix"]


async def report_as_a_gateway(routers, seconds):
    """Tells both routers, as gateways do, of a canary that fails every third call, until one has stopped it."""
    addresses, state = routers
    token = (state / "internal.token").read_text()
    channels = [dial(address, "grpc", identity="gateway", token=token) for address in addresses]
    outcomes = [
        router_pb2.Outcomes(worker="w0", model="chat", variant="stable", attempts=40, ttft_buckets=[0, 0, 0, 40]),
        router_pb2.Outcomes(worker="w1", model="chat", variant="canary", attempts=12, failures=4, ttft_buckets=[0, 8]),
    ]
    try:
        for _ in range(int(seconds / 0.25)):
            for channel in channels:
                await channel.call(REPORT, router_pb2.ReportRequest(outcomes=outcomes), timeout=5)
            await asyncio.sleep(0.25)
    finally:
        for channel in channels:
            await channel.close()


def test_a_canary_that_fails_is_stopped_at_both_routers_by_what_gateways_report(routers, ask):
    until(lambda: weights(ask(0, "list")), START_SECONDS_MAX)
    run_real(report_as_a_gateway(routers, 6))

    def stopped():
        found = [ask(router, "list")[1]["pools"][0]["variants"] for router in (0, 1)]
        return found if all(canary["stopped"] for _, canary in found) else None

    for stable, canary in until(stopped, 5):
        assert (canary["weight"], stable["stopped"]) == (0, None)
        assert canary["stopped"].startswith("failures: ")
    code, again = ask(0, "set", "chat", "canary=5")
    assert (code, again["variants"][1]["stopped"], again["variants"][1]["weight"]) == (0, None, 5)
