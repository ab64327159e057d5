"""`GET /v1/jobs/{id}/events` over a real socket."""

import asyncio
import json
from contextlib import asynccontextmanager

from services.gateway.settings import GatewaySettings
from services.jobs.usecases.watch import WatchTimes
from tests.unit.services.gateway.api.jobs.bench import with_bench
from tests.unit.services.jobs.accept_rig import chat

CHAT = json.loads(chat())


class Stream:
    """Blocks of a stream of events: the fields of an event, or a comment as it is."""

    def __init__(self, response):
        self.response, self._chunks, self._text = response, response.aiter_text(), ""

    async def next(self):
        while "\n\n" not in self._text:
            try:
                self._text += await asyncio.wait_for(anext(self._chunks), 5)
            except StopAsyncIteration:
                return None
        block, self._text = self._text.split("\n\n", 1)
        if block.startswith(":"):
            return block
        return dict(line.split(": ", 1) for line in block.split("\n"))

    async def event(self):
        """The next block that is an event."""
        while True:
            block = await self.next()
            if block is None or (isinstance(block, dict) and "event" in block):
                return block


@asynccontextmanager
async def opened(bench, job, client=None, **headers):
    async with (client or bench.http).stream("GET", f"/v1/jobs/{job}/events", headers=headers) as response:
        yield Stream(response)


async def submit(bench, count=1):
    return (await bench.http.post("/v1/jobs", json={"requests": [CHAT] * count})).json()["id"]


def test_news_come_until_the_job_is_over():
    async def use(bench):
        job = await submit(bench, 32)
        async with opened(bench, job) as stream:
            assert stream.response.headers["content-type"] == "text/event-stream; charset=utf-8"
            assert await stream.next() == {"retry": "1000"}
            first = await stream.event()
            assert (first["event"], json.loads(first["data"])["status"]) == ("job", "requested")
            assert first["id"] == str(json.loads(first["data"])["version"])
            await bench.rig.run_part(job, 0)
            seen = []
            while json.loads((await stream.event())["data"])["requests"]["succeeded"] < 16:
                pass
            await bench.rig.run_part(job, 1)
            while (event := await stream.event()) is not None:
                seen.append(json.loads(event["data"]))
            assert (seen[-1]["status"], seen[-1]["requests"]["succeeded"]) == ("succeeded", 32)

    with_bench(use)


def test_a_client_that_comes_back_is_told_only_what_it_has_not():
    async def use(bench):
        job = await submit(bench)
        version = (await bench.rig.store.get("acme", job)).version
        async with opened(bench, job, **{"last-event-id": str(version)}) as stream:
            assert await stream.next() == {"retry": "1000"}
            assert await stream.next() == ": ping"
            await bench.rig.run_part(job)
            assert json.loads((await stream.event())["data"])["version"] > version
        ended = (await bench.rig.store.get("acme", job)).version
        async with opened(bench, job, **{"last-event-id": str(ended)}) as stream:
            assert stream.response.status_code == 204
        for made_up in ("x", "-1", "9" * 30, "٣", str(ended + 1), "9" * 19):
            response = await bench.http.get(f"/v1/jobs/{job}/events", headers=[(b"last-event-id", made_up.encode())])
            assert response.text.count("event: job") == 1

    with_bench(use)


def test_a_client_that_knows_a_later_version_than_there_is_is_told_how_it_ends():
    """A store that came back without its last writes."""

    async def use(bench):
        job = await submit(bench)
        async with opened(bench, job, **{"last-event-id": "1000"}) as stream:
            assert json.loads((await stream.event())["data"])["status"] == "requested"
            await bench.rig.run_part(job)
            seen = []
            while (event := await stream.event()) is not None:
                seen.append(json.loads(event["data"])["status"])
            assert seen[-1] == "succeeded"

    with_bench(use)


def test_silence_is_broken_by_pings():
    async def use(bench):
        job = await submit(bench)
        async with opened(bench, job) as stream:
            blocks = [await stream.next() for _ in range(4)]
            assert blocks[2:] == [": ping", ": ping"]

    with_bench(use, times=WatchTimes(poll=5.0, heartbeat=0.02))


def test_a_client_that_leaves_is_watched_for_no_more():
    async def use(bench):
        job = await submit(bench)
        async with opened(bench, job) as stream:
            await stream.event()
            assert len(bench.rig.watches) == 1
        for _ in range(500):
            if not len(bench.rig.watches):
                return
            await asyncio.sleep(0.01)
        raise AssertionError("still watched")

    with_bench(use)


def test_a_replica_that_is_lost_is_followed_by_another():
    async def use(bench):
        job = await submit(bench)
        async with opened(bench, job) as stream:
            await stream.event()
            bench.channels[0].lose()
            await bench.rig.run_part(job)
            assert json.loads((await stream.event())["data"])["status"] == "succeeded"
            assert await stream.event() is None

    with_bench(use, replicas=2)


def test_a_job_that_is_forgotten_meanwhile_ends_the_stream_with_an_error():
    async def use(bench):
        job = await submit(bench)
        async with opened(bench, job) as stream:
            await stream.event()

            async def forgotten(*_):
                return None

            bench.rig.store.get = forgotten
            error = await stream.event()
            assert (error["event"], json.loads(error["data"])["error"]["code"]) == ("error", "not_found")
            assert await stream.next() is None

    with_bench(use)


def test_what_is_wrong_at_first_is_told_by_the_status():
    async def use(bench):
        response = await bench.http.get("/v1/jobs/job_none/events")
        assert (response.status_code, response.json()["error"]["code"]) == (404, "not_found")
        job = await submit(bench)
        bench.channels[0].lose()
        assert (await bench.http.get(f"/v1/jobs/{job}/events")).status_code == 503

    with_bench(use)


def test_a_gateway_that_stops_ends_its_streams_whole():
    async def use(bench):
        job = await submit(bench)
        async with opened(bench, job) as stream:
            await stream.event()
            await bench.gateway.news.close()
            assert await stream.event() is None
        response = await bench.http.get(f"/v1/jobs/{job}/events")
        assert (response.status_code, response.json()["error"]["code"]) == (503, "draining")

    with_bench(use)


def test_streams_are_bounded():
    async def use(bench):
        job = await submit(bench)
        async with opened(bench, job) as stream:
            await stream.event()
            response = await bench.http.get(f"/v1/jobs/{job}/events")
            assert (response.status_code, response.headers["retry-after"]) == (429, "5")
        await bench.rig.run_part(job)
        for _ in range(500):
            if (await bench.http.get(f"/v1/jobs/{job}/events")).status_code == 200:
                return
        raise AssertionError("the place was not given back")

    with_bench(use, settings=GatewaySettings(jobs={"streams_max": 1}))


def test_a_head_request_gets_the_head_alone():
    async def use(bench):
        job = await submit(bench)
        response = await bench.http.head(f"/v1/jobs/{job}/events")
        assert response.status_code == 200

    with_bench(use)
