"""`/v1/jobs` over a real socket: what is handed over, told of, listed, cancelled and fetched."""

import json

import pytest

from libs.errors import PlatformError, Reason
from services.gateway.settings import GatewaySettings
from tests.unit.services.gateway.api.jobs.bench import with_bench
from tests.unit.services.jobs.accept_rig import chat

CHAT = json.loads(chat())


def error(response):
    return response.status_code, response.json()["error"]["code"], response.json()["error"]["param"]


def test_a_chat_request_is_a_job():
    async def use(bench):
        response = await bench.http.post("/v1/jobs", json=CHAT)
        job = response.json()
        assert (response.status_code, job["object"], job["status"]) == (202, "job", "requested")
        assert response.headers["location"] == f"/v1/jobs/{job['id']}"
        assert response.headers["x-request-id"].startswith("chatcmpl-")
        assert "idempotent-replayed" not in response.headers
        assert (job["requests"], job["reserved_usd"]) == ({"total": 1, "succeeded": 0, "failed": 0}, "0.0000001")
        found = (await bench.http.get(response.headers["location"])).json()
        assert (found["status"], found["result"], "results" in found) == ("requested", None, False)
        await bench.rig.run_part(job["id"], body=b'{"object":"chat.completion","id":"x"}')
        found = (await bench.http.get(response.headers["location"])).json()
        assert (found["status"], found["result"]["id"], found["error"]) == ("succeeded", "x", None)
        assert (found["cost_usd"], found["usage"]["total_tokens"], found["attempts"]) == ("0.000000007", 5, 1)
        assert found["ended_at"] >= found["started_at"] >= found["created_at"] > 1_700_000_000

    with_bench(use)


def test_the_body_goes_on_as_it_is_without_the_jobs_own_options():
    async def use(bench):
        options = {"priority": 3, "metadata": {"run": "7"}, "expires_in_seconds": 600}
        body = {"metadata": {"tag": "x"}, **CHAT, "job": options}
        job = (await bench.http.post("/v1/jobs", json=body)).json()
        assert (job["priority"], job["metadata"]) == (3, {"run": "7"})
        assert job["expires_at"] - job["created_at"] in (599, 600, 601)
        (_, caller, (work,), _) = bench.rig.gateways.seen[0]
        assert (caller.tenant, caller.key_id, caller.user) == ("acme", "key-1", "ann")
        sent = work[work.index(b"{") : work.rindex(b"}") + 1]
        assert json.loads(sent) == {"metadata": {"tag": "x"}, **CHAT}

    with_bench(use)


def test_a_single_request_that_failed_is_the_jobs_error():
    async def use(bench):
        job = (await bench.http.post("/v1/jobs", json=CHAT)).json()
        body = {"error": {"message": "too long", "type": "t", "param": None, "code": "context_length_exceeded"}}
        await bench.rig.run_part(job["id"], status=400, body=json.dumps(body).encode())
        found = (await bench.http.get(f"/v1/jobs/{job['id']}")).json()
        assert (found["status"], found["result"], found["error"]) == ("failed", None, body["error"])

    with_bench(use)


def test_many_requests_are_one_job_in_any_form():
    async def use(bench):
        wrapped = {"custom_id": "b", "method": "POST", "url": "/v1/chat/completions", "body": CHAT}
        requests = [CHAT, wrapped, {"body": CHAT}, {"custom_id": "d", **CHAT}]
        job = (await bench.http.post("/v1/jobs", json={"requests": requests})).json()
        assert job["requests"]["total"] == 4
        works = bench.rig.gateways.seen[0][2]
        assert all(b"custom_id" not in work for work in works)
        await bench.rig.run_part(job["id"])
        found = (await bench.http.get(f"/v1/jobs/{job['id']}")).json()
        assert [each["custom_id"] for each in found["results"]] == [None, "b", None, "d"]
        assert found["results"][1]["response"] == {
            "status_code": 200,
            "request_id": "chatcmpl-1",
            "body": {"object": "chat.completion"},
        }
        assert "result" not in found

    with_bench(use)


def test_the_same_key_is_the_same_job():
    async def use(bench):
        headers = {"idempotency-key": "k"}
        one = await bench.http.post("/v1/jobs", json=CHAT, headers=headers)
        two = await bench.http.post("/v1/jobs", json=CHAT, headers=headers)
        assert one.json()["id"] == two.json()["id"]
        assert (one.headers.get("idempotent-replayed"), two.headers["idempotent-replayed"]) == (None, "true")
        other = await bench.http.post("/v1/jobs", json={**CHAT, "seed": 1}, headers=headers)
        assert error(other) == (422, "idempotency_key_reused", "Idempotency-Key")
        for wrong in (b"", "schlüssel".encode("latin-1"), b"x" * 256):
            bad = await bench.http.post("/v1/jobs", json=CHAT, headers=[(b"idempotency-key", wrong)])
            assert error(bad) == (400, None, "Idempotency-Key")
        assert (await bench.http.post("/v1/jobs", json=CHAT)).json()["id"] != one.json()["id"]

    with_bench(use)


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"requests": []}, "requests"),
        ({"requests": [CHAT, 3]}, "requests[1]"),
        ({"requests": [{"body": 3}]}, "requests[0].body"),
        ({"requests": [{"body": CHAT, "url": "/v1/embeddings"}]}, "requests[0].url"),
        ({"requests": [{"body": CHAT, "method": "GET"}]}, "requests[0].method"),
        ({"requests": [{"body": CHAT, "custom_id": 3}]}, "requests[0].custom_id"),
        ({"requests": [{"body": CHAT, "custom-id": "a"}]}, "requests[0]"),
        ({"requests": [{"body": CHAT, "custom_id": "a"}] * 2}, "requests[1].custom_id"),
        ({"requests": [{**CHAT, "custom_id": 3}]}, "requests[0].custom_id"),
        ({"requests": [CHAT], "expires_in": 60}, None),
        ({"requests": [CHAT], "expires_in_seconds": 5}, "expires_in_seconds"),
        ({"requests": [CHAT], "expires_in_seconds": -5}, "expires_in_seconds"),
        ({"requests": [CHAT], "priority": 2**40}, "priority"),
        ({"requests": [CHAT], "priority": 101}, "priority"),
        ({"requests": [CHAT], "metadata": {"a": 3}}, "metadata[...]"),
        ({"requests": [CHAT], "webhook": {"url": "http://x/", "secret": "s" * 16}}, "webhook.url"),
        ({"requests": [CHAT], "webhook": {"url": "https://x/"}}, "webhook.secret"),
        ({**CHAT, "job": {"prio": 1}}, "job"),
        ({**CHAT, "job": 7}, "job"),
        ([], None),
        ("x", None),
    ],
)
def test_a_wrong_body_is_refused_by_name(body, param):
    async def use(bench):
        response = await bench.http.post("/v1/jobs", json=body)
        assert (response.status_code, response.json()["error"]["param"]) == (400, param)
        assert not bench.rig.gateways.seen

    with_bench(use)


def test_what_the_gateway_refuses_is_told_with_the_field_at_fault():
    async def use(bench):
        fail = PlatformError(Reason.INVALID_REQUEST, "wrong", started=False, param="requests[0]")
        bench.rig.gateways.fail = fail
        assert error(await bench.http.post("/v1/jobs", json=CHAT)) == (400, None, None)
        fail.param = "requests[0].messages"
        assert error(await bench.http.post("/v1/jobs", json=CHAT)) == (400, None, "messages")
        many = await bench.http.post("/v1/jobs", json={"requests": [CHAT]})
        assert error(many) == (400, None, "requests[0].messages")
        bench.rig.gateways.fail = PlatformError(Reason.BUDGET_EXCEEDED, "used up", started=False)
        assert error(await bench.http.post("/v1/jobs", json=CHAT))[:2] == (429, "budget_exceeded")

    with_bench(use)


def test_requests_are_counted_before_any_of_them_is_looked_at():
    async def use(bench):
        # Not even an object is the second; a body of 7 MiB has room for millions.
        found = error(await bench.http.post("/v1/jobs", json={"requests": [CHAT, 3, 3]}))
        assert found == (400, None, "requests")
        assert (await bench.http.post("/v1/jobs", json={"requests": [CHAT, CHAT]})).status_code == 202

    with_bench(use, settings=GatewaySettings(jobs={"requests_max": 2}))


def test_bodies_are_bounded():
    async def use(bench):
        large = {**CHAT, "user": "x" * 2000}
        assert error(await bench.http.post("/v1/jobs", json=large))[:2] == (413, "payload_too_large")

        async def pieces():
            for _ in range(30):
                yield b" " * 100

        assert error(await bench.http.post("/v1/jobs", content=pieces()))[:2] == (413, "payload_too_large")

    with_bench(use, settings=GatewaySettings(jobs={"body_bytes_max": 1024}))


def test_nobody_without_a_key_is_served():
    async def use(bench):
        for name in ("", "mallory"):
            async with bench.client(name) as client:
                for method, path in (("POST", "/v1/jobs"), ("GET", "/v1/jobs"), ("POST", "/v1/files")):
                    response = await client.request(method, path)
                    assert (response.status_code, response.headers["www-authenticate"]) == (
                        401,
                        'Bearer realm="headrace"',
                    )

    with_bench(use)


@pytest.mark.parametrize("path", ["", "/cancel", "/results", "/events"])
def test_jobs_of_others_do_not_exist(path):
    async def use(bench):
        job = (await bench.http.post("/v1/jobs", json=CHAT)).json()["id"]
        method = "POST" if path == "/cancel" else "GET"
        for name in ("bob", "stranger"):
            async with bench.client(name) as client:
                response = await client.request(method, f"/v1/jobs/{job}{path}")
                assert error(response)[:2] == (404, "not_found")
        async with bench.client("boss") as client:
            assert (await client.get(f"/v1/jobs/{job}")).status_code == 200
        assert (await bench.http.get(f"/v1/jobs/{job}")).json()["status"] == "requested"

    with_bench(use)


def test_a_caller_cannot_speak_for_another():
    async def use(bench):
        for name in ("x-headrace-caller", "x-headrace-caller-bin"):
            await bench.http.post("/v1/jobs", json=CHAT, headers={name: "CgVvdGhlchIFa2V5LTE="})
        assert {seen[1].tenant for seen in bench.rig.gateways.seen} == {"acme"}

    with_bench(use)


def test_jobs_are_listed_and_cancelled():
    async def use(bench):
        ids = [(await bench.http.post("/v1/jobs", json=CHAT)).json()["id"] for _ in range(3)][::-1]
        page = (await bench.http.get("/v1/jobs?limit=2")).json()
        assert ([job["id"] for job in page["data"]], page["has_more"], page["last_id"]) == (ids[:2], True, ids[1])
        assert (page["object"], page["first_id"]) == ("list", ids[0])
        last = (await bench.http.get(f"/v1/jobs?limit=2&after={ids[1]}")).json()
        assert ([job["id"] for job in last["data"]], last["has_more"]) == (ids[2:], False)
        for _ in range(2):
            cancelled = await bench.http.post(f"/v1/jobs/{ids[0]}/cancel")
            assert (cancelled.status_code, cancelled.json()["status"]) == (200, "cancelled")
        found = (await bench.http.get("/v1/jobs?status=cancelled")).json()
        assert [job["id"] for job in found["data"]] == ids[:1]
        assert error(await bench.http.get("/v1/jobs?status=done"))[2] == "status"
        for limit in ("0", "101", "-1", "x", "1e1", "٣"):
            assert error(await bench.http.get("/v1/jobs", params={"limit": limit}))[2] == "limit"

    with_bench(use)


def test_results_are_lines_from_any_place_on():
    async def use(bench):
        job = (await bench.http.post("/v1/jobs", json={"requests": [CHAT] * 20})).json()["id"]
        await bench.rig.run_part(job, 0)
        response = await bench.http.get(f"/v1/jobs/{job}/results?first=5")
        assert response.headers["content-type"] == "application/x-ndjson"
        assert [json.loads(line)["step"] for line in response.text.splitlines()] == list(range(5, 16))
        assert (await bench.http.get(f"/v1/jobs/{job}/results?first=16")).text == ""
        assert error(await bench.http.get(f"/v1/jobs/{job}/results?first=x"))[2] == "first"

    with_bench(use)


def test_results_that_break_off_are_not_taken_for_whole():
    async def use(bench):
        job = (await bench.http.post("/v1/jobs", json={"requests": [CHAT] * 30})).json()["id"]
        for part in range(2):
            await bench.rig.run_part(job, part, body=b'"' + b"x" * 200_000 + b'"')
        bodies, whole = bench.rig.reader._body, []

        async def failing(result):
            whole.append(result)
            if len(whole) > 16:
                raise PlatformError(Reason.STORE_UNAVAILABLE, "away")
            return await bodies(result)

        bench.rig.reader._body = failing
        with pytest.raises(Exception, match=r"peer closed|disconnected|incomplete"):
            await bench.http.get(f"/v1/jobs/{job}/results")

    with_bench(use)


def test_methods_and_paths_that_are_none():
    async def use(bench):
        wrong = await bench.http.delete("/v1/jobs")
        assert (wrong.status_code, wrong.headers["allow"]) == (405, "GET, HEAD, OPTIONS, POST")
        options = await bench.http.options("/v1/files/x")
        assert (options.status_code, options.headers["allow"]) == (204, "DELETE, GET, HEAD, OPTIONS")
        assert (await bench.http.head("/v1/jobs")).status_code == 200
        for path in ("/v1/jobs/a/b/c", "/v1/jobs/", "/v1/files/x/y", "/v1/batches/x/results"):
            assert error(await bench.http.get(path))[:2] == (404, "not_found")
        for path in ("/v1/jobsx", "/v1/filesystem"):
            assert (await bench.http.get(path)).status_code == 404

    with_bench(use)


def test_keys_in_urls_are_refused_here_too():
    async def use(bench):
        response = await bench.http.get("/v1/jobs?after=sk-hr-" + "a" * 48)
        assert (response.status_code, "aaa" in response.text) == (400, False)

    with_bench(use)


def test_without_a_jobs_service_the_routes_say_so():
    async def use(bench):
        for method, path in (("POST", "/v1/jobs"), ("GET", "/v1/batches"), ("GET", "/v1/files/x"), ("PUT", "/v1/jobs")):
            response = await bench.http.request(method, path)
            assert (response.status_code, response.json()["error"]["code"]) == (501, "not_implemented")
            assert "jobs.addresses" in response.json()["error"]["message"]
        async with bench.client("") as client:
            assert (await client.get("/v1/jobs")).status_code == 401

    with_bench(use, jobs=False)


def test_a_jobs_service_that_is_away_is_503_and_another_replica_serves():
    async def use(bench):
        bench.channels[0].lose()
        assert (await bench.http.post("/v1/jobs", json=CHAT)).status_code == 202
        bench.channels[1].lose()
        response = await bench.http.post("/v1/jobs", json=CHAT)
        assert error(response)[:2] == (503, "jobs_unavailable")
        assert response.headers["retry-after"] == "1"

    with_bench(use, replicas=2)


def test_a_replica_that_dies_behind_its_acceptance_leaves_one_job(monkeypatch):
    """The caller named no key; the gateway did, so that the other replica finds what the first one accepted."""

    async def use(bench):
        first = bench.channels[0]
        call = first.call

        async def dies(*args, **more):
            await call(*args, **more)
            first.lose()
            raise PlatformError(Reason.WORKER_LOST, "gone", started=True)

        monkeypatch.setattr(first, "call", dies)
        response = await bench.http.post("/v1/jobs", json=CHAT)
        assert (response.status_code, first._lost) == (202, True)
        assert "idempotent-replayed" not in response.headers
        found = await bench.rig.store.list("acme", batches=False, after="", limit=10)
        assert [job.id for job in found] == [response.json()["id"]]
        assert len(bench.rig.gateways.held) == 1

    with_bench(use, replicas=2)


def test_defects_are_told_as_such(monkeypatch):
    async def use(bench):
        async def broken(*_, **__):
            raise ZeroDivisionError

        monkeypatch.setattr(bench.rig.reader, "get", broken)
        response = await bench.http.get("/v1/jobs/job_1")
        assert error(response)[:2] == (500, "internal_error")

    with_bench(use)
