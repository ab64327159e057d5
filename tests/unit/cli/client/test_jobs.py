"""The client of the jobs API: one submission is one job, and a job is followed whatever becomes of the gateway."""

import json

import httpx
import pytest

from cli.client.jobs import AWAY_SECONDS_MAX, JOBS, JobsClient
from cli.errors import CliError
from tests.unit.cli.client.jobs_fake import JOB, Gateway, broken, job, news, refusal, result, stream

GONE = httpx.ConnectError("connection refused")
CUT = httpx.ReadError("connection reset")


class Bench:
    """A client over a scripted gateway, with a clock that only its pauses move."""

    def __init__(self, *answers):
        self.gateway = Gateway(*answers)
        self.seconds = 0.0
        self.away = []
        self.client = JobsClient(
            "http://gateway",
            "sk-hr-1",
            transport=self.gateway,
            on_away=self.away.append,
            sleep=self._sleep,
            now=lambda: self.seconds,
        )

    def _sleep(self, seconds):
        self.seconds += seconds

    @property
    def sent(self):
        return [(request.method, request.url.path) for request in self.gateway.requests]


def test_a_submission_that_was_cut_is_sent_again_under_the_same_key():
    bench = Bench(CUT, refusal(503, "draining"), job())
    assert bench.client.submit({"requests": []}, "k1")["id"] == JOB
    assert bench.sent == [("POST", JOBS)] * 3
    assert {request.headers["idempotency-key"] for request in bench.gateway.requests} == {"k1"}
    assert {request.content for request in bench.gateway.requests} == {b'{"requests":[]}'}
    assert bench.away == ["HTTP 503: draining", ""]


def test_what_is_refused_is_not_sent_again():
    bench = Bench(refusal(422, "another job has this key", "idempotency_mismatch"))
    with pytest.raises(CliError, match="another job has this key") as caught:
        bench.client.submit({}, "k1")
    assert caught.value.reason == "idempotency_mismatch"
    assert len(bench.sent) == 1


def test_a_platform_that_is_not_there_is_said_at_once():
    bench = Bench(GONE)
    with pytest.raises(CliError, match="no answer from http://gateway") as caught:
        bench.client.submit({}, "k1")
    assert "headrace up" in caught.value.fix
    assert (bench.seconds, bench.away) == (0, [])


def test_patience_ends():
    bench = Bench(CUT, GONE)
    with pytest.raises(CliError, match=f"for {AWAY_SECONDS_MAX:.0f} s"):
        bench.client.submit({}, "k1")
    assert AWAY_SECONDS_MAX <= bench.seconds < AWAY_SECONDS_MAX + 10
    assert len(bench.sent) < 60


def test_a_job_is_followed_to_its_end():
    bench = Bench(stream(news(job(version=1), job(done=2, version=5), job("succeeded", done=4, version=9))))
    assert [each["version"] for each in bench.client.watch(JOB)] == [1, 5, 9]
    assert bench.sent == [("GET", f"{JOBS}/{JOB}/events")]
    assert "last-event-id" not in bench.gateway.requests[0].headers


@pytest.mark.parametrize(
    "trouble",
    [
        GONE,
        CUT,
        refusal(503, "no gateway"),
        refusal(500, "a fault"),
        stream(""),
        stream("event: error\ndata: lost\n\n"),
    ],
)
def test_watching_goes_on_after_the_gateway_was_away_from_the_last_version(trouble):
    ends = stream(news(job("succeeded", done=4, version=9)))
    bench = Bench(broken(news(job(version=1), job(done=2, version=5))), trouble, ends)
    assert [each["version"] for each in bench.client.watch(JOB)] == [1, 5, 9]
    assert [request.headers.get("last-event-id") for request in bench.gateway.requests] == [None, "5", "5"]
    assert len(bench.away) == 2
    assert bench.away[1] == ""


def test_a_stream_that_merely_ended_is_taken_up_without_a_word():
    bench = Bench(stream(news(job(version=1))), stream(news(job("succeeded", version=2))))
    assert [each["version"] for each in bench.client.watch(JOB)] == [1, 2]
    assert bench.away == []


def test_an_end_that_was_heard_is_the_end_though_the_stream_breaks():
    bench = Bench(broken(news(job("failed", version=1), job("failed", version=2))))
    assert [each["version"] for each in bench.client.watch(JOB)] == [1, 2]
    assert len(bench.sent) == 1


def test_an_absence_after_news_counts_from_its_own_beginning():
    long = [CUT] * 20
    bench = Bench(
        broken(news(job(version=1))), *long, broken(news(job(version=2))), *long, stream(news(job("failed", version=3)))
    )
    assert [each["version"] for each in bench.client.watch(JOB)] == [1, 2, 3]
    assert AWAY_SECONDS_MAX / 2 < bench.seconds < 2 * AWAY_SECONDS_MAX
    assert [bool(why) for why in bench.away] == [True, False, True, False]


def test_an_unknown_job_is_said_at_once():
    bench = Bench(refusal(404, f"There is no job {JOB!r}.", "not_found"))
    with pytest.raises(CliError, match="There is no job") as caught:
        list(bench.client.watch(JOB))
    assert "headrace jobs list" in caught.value.fix


def test_results_go_on_where_they_broke_off():
    lines = [json.dumps(result(step)) + "\n" for step in range(4)]
    bench = Bench(broken(lines[0] + lines[1] + lines[2][:20]), stream(lines[2] + lines[3]))
    assert [each["step"] for each in bench.client.results(JOB)] == [0, 1, 2, 3]
    assert [request.url.params["first"] for request in bench.gateway.requests] == ["0", "2"]


def test_a_list_is_read_page_by_page_up_to_what_is_wanted():
    pages = [{"data": [{"id": f"j{at}"} for at in range(100)], "last_id": "j99", "has_more": True}] * 2
    bench = Bench(*pages, {"data": [{"id": "last"}], "has_more": False})
    assert len(list(bench.client.list(JOBS, 250, status="running"))) == 201
    asked = [dict(request.url.params) for request in bench.gateway.requests]
    assert asked == [
        {"status": "running", "limit": "100"},
        {"status": "running", "limit": "100", "after": "j99"},
        {"status": "running", "limit": "50", "after": "j99"},
    ]


def test_an_id_leads_to_no_other_route():
    bench = Bench(job())
    bench.client.get("../admin/keys")
    assert bench.gateway.requests[0].url.raw_path == b"/v1/jobs/..%2Fadmin%2Fkeys"
    with pytest.raises(CliError, match="is no id"):
        bench.client.get("..")
