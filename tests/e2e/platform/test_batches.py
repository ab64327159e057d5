"""Files and batches on the whole platform, through the unmodified openai client; jobs through plain HTTP and gRPC."""

import json
import time

import grpc
import httpx
import openai
import pytest
from headrace.gateway.v1 import work_pb2
from headrace.jobs.v1 import jobs_pb2 as pb

pytestmark = pytest.mark.timeout(120)
CHAT = "/v1/chat/completions"
ENDED = {"completed", "failed", "expired", "cancelled"}


def body(text, **more):
    return {"model": "small", "messages": [{"role": "user", "content": text}], "max_tokens": 8} | more


def line(custom_id, asked):
    return json.dumps({"custom_id": custom_id, "method": "POST", "url": CHAT, "body": asked})


class Patient(httpx.Client):
    """Asks again where a busy machine made the store too slow."""

    def request(self, *args, **more):
        for _ in range(20):
            answer = super().request(*args, **more)
            if answer.status_code != 503:
                break
            time.sleep(float(answer.headers.get("retry-after", 1)) / 4)
        return answer


@pytest.fixture
def client(running):
    with openai.OpenAI(base_url=f"{running.url}/v1", api_key=running.key, max_retries=8, timeout=30) as made:
        yield made


@pytest.fixture
def http(running):
    headers = {"authorization": f"Bearer {running.key}"}
    with Patient(base_url=running.url, headers=headers, timeout=30, trust_env=False) as made:
        yield made


def ended(client, batch):
    end = time.monotonic() + 60
    while (found := client.batches.retrieve(batch.id)).status not in ENDED:
        assert time.monotonic() < end, found
        time.sleep(0.1)
    return found


def batch_of(client, *lines):
    file = client.files.create(file=("in.jsonl", "\n".join(lines).encode()), purpose="batch")
    return client.batches.create(input_file_id=file.id, endpoint=CHAT, completion_window="24h", metadata={"run": "e2e"})


def test_a_batch_is_answered_line_by_line(client):
    lines = [line(f"q{n}", body(f"question {n}")) for n in range(60)]
    lines.insert(7, line("wrong", body("x", temperature=9)))
    batch = batch_of(client, *lines)
    assert batch.status == "validating"
    done = ended(client, batch)
    counts = done.request_counts
    assert (done.status, counts.total, counts.completed, counts.failed) == ("completed", 61, 60, 1)
    output = [json.loads(each) for each in client.files.content(done.output_file_id).text.splitlines()]
    assert [each["custom_id"] for each in output] == [f"q{n}" for n in range(60)]
    assert all(each["response"]["status_code"] == 200 and each["error"] is None for each in output)
    assert all(each["response"]["body"]["object"] == "chat.completion" for each in output)
    (failed,) = [json.loads(each) for each in client.files.content(done.error_file_id).text.splitlines()]
    assert (failed["custom_id"], failed["response"]["status_code"]) == ("wrong", 400)
    assert failed["response"]["body"]["error"]["param"] == "temperature"
    assert done.usage.output_tokens == sum(each["response"]["body"]["usage"]["completion_tokens"] for each in output)
    assert batch.id in [each.id for each in client.batches.list(limit=5).data]


def test_a_file_that_is_wrong_fails_the_batch_by_line(client):
    failed = ended(client, batch_of(client, line("a", body("x")), "{", line("a", body("y"))))
    assert failed.status == "failed"
    assert [(each.line, bool(each.code)) for each in failed.errors.data] == [(2, True), (3, True)]


def test_a_batch_is_cancelled(client):
    batch = batch_of(client, *[line(f"q{n}", body("x", max_tokens=400, ignore_eos=True)) for n in range(200)])
    end = time.monotonic() + 30
    while client.batches.retrieve(batch.id).status == "validating":
        assert time.monotonic() < end
        time.sleep(0.05)
    assert client.batches.cancel(batch.id).status in {"cancelling", "cancelled"}
    done = ended(client, batch)
    assert (done.status, done.request_counts.total) == ("cancelled", 200)
    with pytest.raises(openai.ConflictError):
        client.batches.cancel(ended(client, batch_of(client, line("a", body("x")))).id)


def test_a_job_tells_its_news_and_its_answer(http):
    answer = http.post(
        "/v1/jobs", json=body("hi") | {"job": {"metadata": {"a": "b"}}}, headers={"idempotency-key": "e2e"}
    )
    assert answer.status_code == 202, answer.text
    job = answer.json()["id"]
    with http.stream("GET", f"/v1/jobs/{job}/events") as stream:
        lines = [each for each in stream.iter_lines() if each.startswith("data: ")]
    events = [json.loads(each.removeprefix("data: ")) for each in lines]
    assert events[-1]["status"] == "succeeded"
    found = http.get(f"/v1/jobs/{job}").json()
    assert found["result"]["object"] == "chat.completion"
    assert (found["metadata"], found["attempts"], found["requests"]["succeeded"]) == ({"a": "b"}, 1, 1)
    assert found["usage"]["completion_tokens"] == found["result"]["usage"]["completion_tokens"] > 0
    again = http.post(
        "/v1/jobs", json=body("hi") | {"job": {"metadata": {"a": "b"}}}, headers={"idempotency-key": "e2e"}
    )
    assert (again.json()["id"], again.headers["idempotent-replayed"]) == (job, "true")


def test_a_wrong_request_is_refused_by_its_place(http):
    answer = http.post("/v1/jobs", json=body("hi", temperature=9))
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "temperature")
    answer = http.post("/v1/jobs", json={"requests": [body("hi"), body("hi", model="nonesuch")]})
    assert (answer.status_code, answer.json()["error"]["param"]) == (404, "requests[1].model")
    assert answer.json()["error"]["code"] == "model_not_found"


def test_large_requests_go_through(http):
    large = "word " * 16_000
    answer = http.post("/v1/jobs", json={"requests": [body(large, max_tokens=4), body("small one")]})
    if answer.status_code == 400:
        assert answer.json()["error"]["code"] == "context_length_exceeded"
        return
    assert answer.status_code == 202, answer.text


def test_jobs_over_grpc(running):
    with grpc.insecure_channel(f"127.0.0.1:{running.ports['grpc']}") as channel:
        metadata = [("authorization", f"Bearer {running.key}")]
        submit = channel.unary_unary(
            "/headrace.jobs.v1.JobService/SubmitJob",
            pb.SubmitJobRequest.SerializeToString,
            pb.SubmitJobResponse.FromString,
        )
        watch = channel.unary_stream(
            "/headrace.jobs.v1.JobService/WatchJob",
            pb.WatchJobRequest.SerializeToString,
            pb.WatchJobResponse.FromString,
        )
        work = work_pb2.Work(body=json.dumps(body("over grpc")).encode(), path=CHAT)
        job = submit(pb.SubmitJobRequest(requests=[pb.JobRequest(work=work)]), metadata=metadata, timeout=20).job
        last = [each.job for each in watch(pb.WatchJobRequest(id=job.id), metadata=metadata, timeout=30)][-1]
        assert (last.state, last.succeeded) == (pb.JOB_STATE_SUCCEEDED, 1)
