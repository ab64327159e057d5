"""Two gateway processes over one store: what one changes the other knows at once, and no key's text is anywhere."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager

import httpx
import pytest
from redis import Redis

from libs.testing.valkey import ValkeyProcess
from services.gateway.adapters.keys import create_key, list_keys, revoke_key
from services.gateway.domain.accounts.records import Role

PRICE = '[{"model": "small", "input_usd_per_million": "0.5", "output_usd_per_million": 2}]'
WRONG = "sk-hr-" + "dead" * 12
# Processes are slow on a busy machine; that changes count within a second is tested on virtual time.
WAIT_SECONDS_MAX = 30.0


class Gateway:
    def __init__(self, port, process, log):
        self.process, self.log = process, log
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10)
        self.heard = []

    def ask(self, method, path, key, **more):
        reply = self.client.request(method, path, headers={"authorization": f"Bearer {key}"}, **more)
        self.heard.append(reply.text + str(reply.headers))
        return reply

    def status(self, key):
        return self.ask("GET", "/v1/models", key).status_code


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@contextmanager
def gateway(directory, name, store):
    port, log = free_port(), directory / f"{name}.log"
    command = [
        *(sys.executable, "-m", "services.gateway.main", "--state_dir", str(directory), "--name", name),
        *("--rest.port", str(port), "--grpc.port", "0", "--router.address", "127.0.0.1:1", "--metrics.port", "0"),
        *("--valkey.url", store.url, "--valkey.op_timeout_ms", "1000", "--prices", PRICE),
        *("--log.format", "json", "--log.level", "debug", "--log.access", "true"),
    ]
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, env=os.environ | {"PYTHONPATH": "protos/gen"})
    found = Gateway(port, process, log)
    try:
        yield found
    finally:
        found.client.close()
        process.terminate()
        process.wait(WAIT_SECONDS_MAX)


def until(condition, what):
    end = time.monotonic() + WAIT_SECONDS_MAX
    while not condition():
        assert time.monotonic() < end, f"waited in vain for {what}"
        time.sleep(0.01)


def alive(gateway):
    def answers():
        assert gateway.process.poll() is None, gateway.log.read_text()
        try:
            return gateway.client.get("/healthz").status_code == 200
        except httpx.TransportError:
            return False

    return answers


@pytest.fixture
def installed(tmp_path):
    token = tmp_path / "internal.token"
    token.write_text("t")
    token.chmod(0o600)
    files = tmp_path / "keys.json", tmp_path / "pepper"
    admin = create_key(*files, "acme", "admin", role=Role.ADMIN)
    with ValkeyProcess() as store, ExitStack() as running:
        both = [running.enter_context(gateway(tmp_path, name, store)) for name in ("one", "two")]
        for each in both:
            until(alive(each), "a gateway")
        yield both, admin, files, store


def everything_stored(url):
    """Every value of the store, as text."""
    with Redis.from_url(url) as store:
        found = []
        for name in store.scan_iter():
            kind = store.type(name)
            reads = {
                b"string": store.get, b"hash": store.hgetall, b"set": store.smembers, b"stream": store.xrange,
                b"zset": lambda name: store.zrange(name, 0, -1), b"list": lambda name: store.lrange(name, 0, -1),
            }  # fmt: skip
            found.append(repr((name, reads[kind](name))))
        return "\n".join(found)


@pytest.mark.slow
def test_what_one_gateway_changes_the_other_knows_and_no_keys_text_is_kept(installed, tmp_path):
    (one, two), admin, files, store = installed
    made = one.client.post(
        "/v1/admin/keys", json={"tenant": "acme", "name": "app"}, headers={"authorization": f"Bearer {admin}"}
    ).json()
    secret, key_id = made["secret"], made["key"]["id"]
    until(lambda: two.status(secret) == 200, "the other gateway to know the key")

    rotated = two.client.post(
        f"/v1/admin/keys/{key_id}/rotate", json={"grace_seconds": 0}, headers={"authorization": f"Bearer {admin}"}
    ).json()["secret"]
    until(lambda: one.status(secret) == 401, "the old text to end")
    assert one.status(rotated) == 200

    one.ask("DELETE", f"/v1/admin/keys/{key_id}", admin)
    until(lambda: two.status(rotated) == 401, "the other gateway to refuse the key")

    late = create_key(*files, "acme", "late")
    until(lambda: one.status(late) == 200 == two.status(late), "the imported key to work")
    revoke_key(files[0], list_keys(files[0])[-1].id)
    until(lambda: one.status(late) == 401 == two.status(late), "the revoked key to end")

    assert [gateway.status(key) for gateway in (one, two) for key in (WRONG, WRONG[:-1], admin)] == [401, 401, 200] * 2
    for path in (f"/v1/models/{WRONG}", f"/key/{WRONG}/regenerate", f"/v1/admin/keys/{secret}?api_key={rotated}"):
        one.ask("GET", path, admin)
        one.ask("POST", path, admin, json={"key": WRONG, WRONG: 1})

    for each in (one, two):
        each.process.terminate()
        each.process.wait(WAIT_SECONDS_MAX)
    places = {
        "logs": one.log.read_text() + two.log.read_text(),
        "replies": "".join(one.heard + two.heard),
        "store": everything_stored(store.url),
        "files": "".join(path.read_text() for path in files),
    }
    assert key_id in places["store"]
    assert places["logs"]
    for key in (admin, secret, rotated, late, WRONG):
        for name, text in places.items():
            assert key not in text, name
            assert key.removeprefix("sk-hr-") not in text, name
