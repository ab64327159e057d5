"""Files and batches through the unmodified openai client, over a real socket, with the real jobs service behind."""

import asyncio
import io
import json

import openai
import pytest

from libs.files import FileSettings, FileViewer, NewFile, output_file_id
from services.jobs.domain.attempt import BeginAsk, Effect, PartKey
from services.jobs.domain.job import (
    Batch,
    JobError,
    JobState,
    LineError,
    PartSpec,
    StepResult,
    Usage,
)
from tests.unit.services.gateway.api.jobs.bench import with_bench
from tests.unit.services.jobs.accept_rig import CHAT

LINE = json.dumps(
    {"custom_id": "a", "method": "POST", "url": CHAT, "body": {"model": "small", "messages": []}}
).encode()


def with_client(use, **options):
    async def scenario(bench):
        client = bench.openai()
        try:
            return await use(bench, client)
        finally:
            await client.close()
            # The client's pool closes its sockets in callbacks.
            await asyncio.sleep(0)

    return with_bench(scenario, **options)


async def uploaded(client, content=LINE, name="in.jsonl"):
    return await client.files.create(file=(name, io.BytesIO(content)), purpose="batch")


async def created(client, file, **more):
    return await client.batches.create(**({"input_file_id": file, "endpoint": CHAT, "completion_window": "24h"} | more))


async def expanded(bench, batch, count):
    """As an expansion leaves it."""
    part = PartSpec(0, 0, count, f"{batch}:0", ("small",) * count)
    await bench.rig.store.add_parts("acme", batch, [part], 100)
    return await bench.rig.store.confirm("acme", batch, 0)


async def answered(bench, batch, statuses):
    key = PartKey(batch, 0)
    (begun,) = await bench.rig.store.begin("acme", [BeginAsk(key, "me", 1000, 3)])
    results = tuple(
        StepResult(step, f"c{step}", status, body=b"{}", usage=Usage(3, 1, 2, 7))
        for step, status in enumerate(statuses)
    )
    await bench.rig.store.apply("acme", [Effect(key, begun.epoch, results)])


async def told(bench, batch, *, outputs=True):
    """The end has left, with its files."""
    job = await bench.rig.store.get("acme", batch)
    files = job.batch
    if outputs:
        output = output_file_id(job.created_ms, batch, "output")

        async def lines():
            yield b'{"custom_id":"c0"}\n'

        owner = FileViewer(tenant="acme", key_id="key-1", user="ann")
        await bench.rig.files.create(
            owner, NewFile(filename="out.jsonl", purpose="batch_output"), lines(), file_id=output
        )
        files = Batch(files.input_file_id, files.endpoint, output)
    await bench.rig.store.told("acme", batch, job.version, files)


def test_a_file_is_uploaded_told_of_read_listed_and_deleted():
    async def use(bench, client):
        content = b"".join(b'{"custom_id":"%d"}\n' % n for n in range(300_000))
        file = await uploaded(client, content, "größe \U0001f600.jsonl")
        assert (file.object, file.bytes, file.purpose, file.status) == ("file", len(content), "batch", "processed")
        assert file.filename == "größe \U0001f600.jsonl"
        assert file.expires_at - file.created_at == 30 * 86_400
        assert await client.files.retrieve(file.id) == file
        answer = await client.files.content(file.id)
        assert answer.read() == content
        assert answer.response.headers["content-disposition"].startswith("attachment; filename*=UTF-8''gr%C3%B6")
        other = await uploaded(client)
        assert [each.id async for each in client.files.list()] == [other.id, file.id]
        assert [each.id async for each in client.files.list(limit=1, order="asc")] == [file.id, other.id]
        assert [each.id async for each in client.files.list(purpose="batch_output")] == []
        deleted = await client.files.delete(file.id)
        assert (deleted.id, deleted.object, deleted.deleted) == (file.id, "file", True)
        with pytest.raises(openai.NotFoundError):
            await client.files.retrieve(file.id)

    with_client(use)


def test_a_file_may_name_when_it_expires():
    async def use(bench, client):
        expires = {"anchor": "created_at", "seconds": 7200}
        file = await client.files.create(file=("a.jsonl", LINE), purpose="batch", expires_after=expires)
        assert file.expires_at - file.created_at == 7200
        for wrong in ({"anchor": "created_at", "seconds": 60}, {"anchor": "read_at", "seconds": 7200}):
            with pytest.raises(openai.BadRequestError) as raised:
                await client.files.create(file=("a.jsonl", LINE), purpose="batch", expires_after=wrong)
            assert raised.value.param.startswith("expires_after.")

    with_client(use)


def test_files_of_others_do_not_exist():
    async def use(bench, client):
        file = await uploaded(client)
        for name in ("bob", "stranger"):
            other = bench.openai(name)
            for call in (other.files.retrieve, other.files.content, other.files.delete):
                with pytest.raises(openai.NotFoundError):
                    await call(file.id)
            assert [each async for each in other.files.list()] == []
            with pytest.raises(openai.BadRequestError) as raised:
                await created(other, file.id)
            assert raised.value.param == "input_file_id"
            await other.close()
        assert (await client.files.retrieve(file.id)).id == file.id

    with_client(use)


def test_files_are_for_batches_and_bounded():
    async def use(bench, client):
        with pytest.raises(openai.BadRequestError) as raised:
            await client.files.create(file=("a.jsonl", LINE), purpose="fine-tune")
        assert raised.value.param == "purpose"
        with pytest.raises(openai.APIStatusError) as raised:
            await uploaded(client, b"x" * 4097)
        assert (raised.value.status_code, raised.value.code) == (413, "payload_too_large")
        assert [each async for each in client.files.list()] == []
        assert not bench.rig.blobs.stored
        assert (await uploaded(client, b"x" * 4096)).bytes == 4096

    with_client(use, file_settings=FileSettings(bytes_max=4096, part_bytes=1024))


def test_a_batch_from_its_file_to_its_output():
    async def use(bench, client):
        file = await uploaded(client)
        batch = await created(client, file.id, metadata={"run": "7"})
        assert (batch.object, batch.status, batch.endpoint, batch.completion_window) == (
            "batch",
            "validating",
            CHAT,
            "24h",
        )
        assert (batch.input_file_id, batch.metadata, batch.expires_at - batch.created_at) == (
            file.id,
            {"run": "7"},
            86_400,
        )
        assert (batch.output_file_id, batch.errors, batch.completed_at, batch.in_progress_at) == (None,) * 4
        assert batch.request_counts.total == 0
        await expanded(bench, batch.id, 3)
        assert (await client.batches.retrieve(batch.id)).status == "in_progress"
        await answered(bench, batch.id, [200, 400, 200])
        ended = await client.batches.retrieve(batch.id)
        assert (ended.status, ended.completed_at, ended.finalizing_at is not None) == ("finalizing", None, True)
        await told(bench, batch.id)
        done = await client.batches.retrieve(batch.id)
        counts = done.request_counts
        assert (done.status, counts.total, counts.completed, counts.failed) == ("completed", 3, 2, 1)
        assert done.completed_at >= done.finalizing_at >= done.in_progress_at >= done.created_at
        assert (done.failed_at, done.cancelled_at, done.expired_at, done.errors) == (None,) * 4
        assert (done.usage.input_tokens, done.usage.output_tokens, done.usage.total_tokens) == (9, 6, 15)
        text = (await client.files.content(done.output_file_id)).text
        assert json.loads(text)["custom_id"] == "c0"

    with_client(use)


def test_a_batch_whose_file_is_wrong_fails_line_by_line():
    async def use(bench, client):
        batch = await created(client, (await uploaded(client)).id)
        lines = (
            LineError("invalid_json_line", "not JSON", 1),
            LineError("duplicate_custom_id", "twice", 2, "custom_id"),
        )
        await bench.rig.store.refuse("acme", batch.id, JobError("INVALID_REQUEST", "not JSON", 1, lines))
        failed = await client.batches.retrieve(batch.id)
        assert (failed.status, failed.failed_at is not None, failed.finalizing_at) == ("failed", True, None)
        told_of = [(each.code, each.message, each.line, each.param) for each in failed.errors.data]
        assert told_of == [("invalid_json_line", "not JSON", 1, None), ("duplicate_custom_id", "twice", 2, "custom_id")]
        other = await created(client, (await uploaded(client)).id)
        await bench.rig.store.refuse("acme", other.id, JobError("BUDGET_EXCEEDED", "used up"))
        (error,) = (await client.batches.retrieve(other.id)).errors.data
        assert (error.code, error.message, error.line) == ("budget_exceeded", "used up", None)

    with_client(use)


def test_a_batch_is_cancelled_and_a_repeat_changes_nothing():
    async def use(bench, client):
        batch = await created(client, (await uploaded(client)).id)
        await expanded(bench, batch.id, 3)
        for _ in range(2):
            cancelled = await client.batches.cancel(batch.id)
            assert (cancelled.status, cancelled.cancelling_at is not None, cancelled.cancelled_at) == (
                "cancelling",
                True,
                None,
            )
        await told(bench, batch.id, outputs=False)
        assert (await client.batches.cancel(batch.id)).status == "cancelled"
        done = await client.batches.retrieve(batch.id)
        assert (done.cancelled_at is not None, done.finalizing_at, done.completed_at) == (True, None, None)

    with_client(use)


def test_a_batch_that_has_ended_otherwise_cannot_be_cancelled():
    async def use(bench, client):
        batch = await created(client, (await uploaded(client)).id)
        await expanded(bench, batch.id, 1)
        await answered(bench, batch.id, [200])
        for status in ("finalizing", "completed"):
            with pytest.raises(openai.ConflictError, match=status):
                await client.batches.cancel(batch.id)
            await told(bench, batch.id)

    with_client(use)


def test_a_batch_expires():
    async def use(bench, client):
        batch = await created(client, (await uploaded(client)).id)
        await expanded(bench, batch.id, 1)
        await bench.rig.store.end("acme", batch.id, JobState.EXPIRED)
        assert (await client.batches.retrieve(batch.id)).status == "finalizing"
        await told(bench, batch.id, outputs=False)
        expired = await client.batches.retrieve(batch.id)
        assert (expired.status, expired.expired_at is not None, expired.completed_at) == ("expired", True, None)

    with_client(use)


def test_batches_are_listed_page_by_page_without_other_jobs():
    async def use(bench, client):
        file = (await uploaded(client)).id
        ids = [(await created(client, file)).id for _ in range(5)][::-1]
        await bench.http.post("/v1/jobs", content=json.dumps({"model": "small", "messages": []}))
        page = await client.batches.list(limit=2)
        assert ([batch.id for batch in page.data], page.has_more, page.has_next_page()) == (ids[:2], True, True)
        assert [batch.id async for batch in client.batches.list(limit=2)] == ids
        assert [batch.id async for batch in client.batches.list()] == ids
        job = (await bench.http.get("/v1/jobs")).json()["data"][0]["id"]
        with pytest.raises(openai.NotFoundError):
            await client.batches.retrieve(job)
        with pytest.raises(openai.NotFoundError):
            await client.batches.cancel(job)

    with_client(use)


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"completion_window": "1h"}, "completion_window"),
        ({"endpoint": "/v1/embeddings"}, "endpoint"),
        ({"input_file_id": "file-nothing"}, "input_file_id"),
        ({"input_file_id": ""}, "input_file_id"),
        ({"metadata": {f"k{n}": "v" for n in range(17)}}, "metadata"),
        ({"metadata": {"k": "v" * 513}}, "metadata"),
        ({"output_expires_after": {"anchor": "created_at", "seconds": 3600}}, "output_expires_after"),
        ({"extra_body": {"model": "small"}}, None),
        ({"extra_body": {"endpoint": 7}}, "endpoint"),
    ],
)
def test_a_wrong_batch_is_refused_by_name(more, param):
    async def use(bench, client):
        file = (await uploaded(client)).id
        with pytest.raises(openai.BadRequestError) as raised:
            await created(client, file, **more)
        assert raised.value.param == param
        assert [each async for each in client.batches.list()] == []

    with_client(use)


def test_a_file_of_outputs_is_no_input():
    async def use(bench, client):
        batch = await created(client, (await uploaded(client)).id)
        await expanded(bench, batch.id, 1)
        await answered(bench, batch.id, [200])
        await told(bench, batch.id)
        output = (await client.batches.retrieve(batch.id)).output_file_id
        with pytest.raises(openai.BadRequestError) as raised:
            await created(client, output)
        assert raised.value.param == "input_file_id"

    with_client(use)


def test_the_same_key_is_the_same_batch():
    async def use(bench, client):
        file, headers = (await uploaded(client)).id, {"Idempotency-Key": "k"}
        one = await client.batches.with_raw_response.create(
            input_file_id=file, endpoint=CHAT, completion_window="24h", extra_headers=headers
        )
        two = await client.batches.with_raw_response.create(
            input_file_id=file, endpoint=CHAT, completion_window="24h", extra_headers=headers
        )
        assert one.parse().id == two.parse().id
        assert (one.headers.get("idempotent-replayed"), two.headers["idempotent-replayed"]) == (None, "true")
        with pytest.raises(openai.UnprocessableEntityError):
            await created(client, file, metadata={"a": "b"}, extra_headers=headers)

    with_client(use)
