"""The command against two real routers over one store."""

import json
import os
import subprocess
import sys
import time

import pytest
from typer.testing import CliRunner

from cli.commands.router_variants import variants
from libs.testing.brokers import free_port
from libs.testing.valkey import ValkeyProcess

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
