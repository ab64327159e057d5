"""Uploads over a raw socket: clients that stop, lie about lengths, come too many at once."""

import asyncio
import json
from contextlib import asynccontextmanager, suppress

import pytest

from libs.files import FileSettings
from services.gateway.settings import GatewaySettings
from tests.unit.services.gateway.api.jobs.bench import with_bench

HEAD = (
    b"POST /v1/files HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ann\r\n"
    b"content-type: multipart/form-data; boundary=b0\r\ncontent-length: %d\r\n\r\n"
)
PURPOSE = b'--b0\r\ncontent-disposition: form-data; name="purpose"\r\n\r\nbatch\r\n'
EXPIRES = PURPOSE.replace(b"purpose", b"expires_after[seconds]").replace(b"batch", b"3600")
FILE = b'--b0\r\ncontent-disposition: form-data; name="file"; filename="a.jsonl"\r\n\r\n'
LARGE = b"x" * 1_000_000 + b"\r\n"
END = b"\r\n--b0--\r\n"


async def nothing_left(bench):
    for _ in range(500):
        if not bench.rig.blobs.stored:
            return
        await asyncio.sleep(0.01)
    raise AssertionError(list(bench.rig.blobs.stored))


@asynccontextmanager
async def begun(bench, sent, length=100_000):
    """An upload whose first bytes have come."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(bench.base.rsplit(":", 1)[1]))
    writer.write(HEAD % length + sent)
    await writer.drain()
    try:
        yield reader, writer
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


async def ended(reader):
    """The connection is over, without an answer."""
    with suppress(ConnectionError):
        assert await asyncio.wait_for(reader.read(), 5) == b""


def test_a_client_that_leaves_in_the_middle_leaves_no_file():
    async def use(bench):
        async with begun(bench, PURPOSE + FILE + b"x" * 5000):
            for _ in range(500):
                if bench.rig.blobs.stored:
                    break
                await asyncio.sleep(0.01)
            assert bench.rig.blobs.stored
        await nothing_left(bench)
        assert (await bench.http.get("/v1/files")).json()["data"] == []

    with_bench(use, file_settings=FileSettings(part_bytes=1024))


def test_a_client_that_stops_sending_is_cut():
    async def use(bench):
        async with begun(bench, PURPOSE + FILE + b"x" * 5000) as (reader, _):
            await ended(reader)
        await nothing_left(bench)

    settings = GatewaySettings(rest={"body_timeout_seconds": 0.1})
    with_bench(use, file_settings=FileSettings(part_bytes=1024), settings=settings)


def test_an_upload_that_takes_too_long_in_all_is_cut():
    async def use(bench):
        async with begun(bench, PURPOSE + FILE) as (reader, writer):

            async def trickle():
                while True:
                    writer.write(b"x")
                    await asyncio.sleep(0.01)

            trickling = asyncio.create_task(trickle())
            await ended(reader)
            trickling.cancel()
            await asyncio.gather(trickling, return_exceptions=True)
        await nothing_left(bench)

    # The least that the setting takes is a second.
    with_bench(use, settings=GatewaySettings(jobs={"upload_seconds": 1.0}))


def test_uploads_are_bounded_in_number():
    async def use(bench):
        files, data = {"file": ("a.jsonl", b"{}")}, {"purpose": "batch"}
        async with begun(bench, PURPOSE + FILE + b"x"):
            for _ in range(500):
                response = await bench.http.post("/v1/files", files=files, data=data)
                if response.status_code == 429:
                    break
            assert (response.status_code, response.headers["retry-after"]) == (429, "2")
        for _ in range(500):
            response = await bench.http.post("/v1/files", files=files, data=data)
            if response.status_code == 200:
                return
            await asyncio.sleep(0.01)
        raise AssertionError(response.text)

    with_bench(use, settings=GatewaySettings(jobs={"uploads_max": 1}))


def test_a_length_beyond_the_limit_is_refused_before_it_is_read():
    async def use(bench):
        answer = await bench.raw(HEAD.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n") % (300 * 2**20))
        assert b" 413 " in answer.split(b"\r\n", 1)[0]

    with_bench(use)


@pytest.mark.parametrize(
    ("form", "param"),
    [
        (FILE + b"x" + END, "purpose"),
        (PURPOSE + END, "file"),
        (PURPOSE.replace(b"batch", b"vision") + FILE + b"x" + END, "purpose"),
        (FILE + b"x\r\n" + PURPOSE.replace(b"batch", b"vision") + END, "purpose"),
        (PURPOSE + FILE.replace(b"a.jsonl", b"../a") + b"x" + END, "file"),
        (PURPOSE + FILE.replace(b'; filename="a.jsonl"', b"") + b"x" + END, "file"),
        (PURPOSE + FILE + b"x", "file"),
        # Ignored, the file would live for a month instead of an hour.
        (PURPOSE + FILE + LARGE + EXPIRES[:-2] + END, "expires_after"),
        (PURPOSE + EXPIRES.replace(b"3600", b"7200") + FILE + LARGE + EXPIRES[:-2] + END, "expires_after"),
    ],
)
def test_a_wrong_form_makes_no_file(form, param):
    async def use(bench):
        head = HEAD.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n")
        answer = await bench.raw(head % len(form), form)
        status, body = answer.split(b"\r\n", 1)[0], json.loads(answer.split(b"\r\n\r\n", 1)[1])
        assert (b" 400 " in status, body["error"]["param"]) == (True, param)
        assert not bench.rig.blobs.stored

    with_bench(use)


def test_a_form_with_its_purpose_behind_the_file_is_taken():
    async def use(bench):
        form = FILE + b"x\r\n" + PURPOSE[:-2] + END
        response = await bench.http.post(
            "/v1/files", content=form, headers={"content-type": "multipart/form-data; boundary=b0"}
        )
        assert (response.status_code, response.json()["bytes"]) == (200, 1)

    with_bench(use)
