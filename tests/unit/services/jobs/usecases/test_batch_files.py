"""Output and error files: every request of a batch in exactly one of them, in order, the same when written again."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.errors import PlatformError, Reason
from libs.files import FileViewer
from libs.testing.loop import run
from services.jobs.domain.job import Batch, FileSlice, JobState, NewJob, PartSpec, Request
from tests.unit.services.jobs.usecases.batch_rig import ANN, CHAT, JOB, Rig, line, lines, result


async def begun(count):
    rig = Rig()
    await rig.batch(lines(count))
    await rig.expand()
    return rig


def test_answers_and_errors_go_to_their_files_in_openais_form():
    async def scenario():
        rig = await begun(3)
        error = b'{"error":{"message":"No.","type":"invalid_request_error","param":"model","code":null}}'
        await rig.answer(result(2, body=b'{"n":2}'), result(1, 404, error), result(0, body=b'{"n":0}'))
        batch = await rig.batches.write_outputs(await rig.job())
        return await rig.output_lines(batch.output_file_id), await rig.output_lines(batch.error_file_id), rig, batch

    output, error, rig, batch = run(scenario())
    ids = [each.pop("id") for each in output + error]
    assert output == [
        {
            "custom_id": f"r{step}",
            "response": {"status_code": 200, "request_id": f"req-{step}", "body": {"n": step}},
            "error": None,
        }
        for step in (0, 2)
    ]
    assert error[0]["response"]["status_code"] == 404
    assert error[0]["response"]["body"]["error"]["param"] == "model"
    assert error[0]["error"] is None
    assert len(set(ids)) == 3
    assert all(each.startswith("batch_req_") and len(each) == 34 for each in ids)
    files = run(rig.files.list(FileViewer(tenant="acme", key_id="key-1"))).files
    assert {(each.id, each.filename, each.purpose) for each in files if each.purpose != "batch"} == {
        (batch.output_file_id, f"{JOB}_output.jsonl", "batch_output"),
        (batch.error_file_id, f"{JOB}_error.jsonl", "batch_output"),
    }


def test_a_file_that_would_be_empty_is_not_there():
    async def scenario(status):
        rig = await begun(2)
        await rig.answer(result(0, status), result(1, status))
        batch = await rig.batches.write_outputs(await rig.job())
        return bool(batch.output_file_id), bool(batch.error_file_id)

    assert run(scenario(200)) == (True, False)
    assert run(scenario(400)) == (False, True)


@pytest.mark.parametrize(
    ("state", "code"), [(JobState.EXPIRED, "batch_expired"), (JobState.CANCELLED, "batch_cancelled")]
)
def test_what_the_end_came_before_is_told_by_name_in_its_place(state, code):
    async def scenario():
        rig = await begun(120)
        await rig.answer(result(3), result(60, 500), result(119))
        await rig.jobs.end(ANN.tenant, JOB, state)
        batch = await rig.batches.write_outputs(await rig.job())
        return await rig.output_lines(batch.output_file_id), await rig.output_lines(batch.error_file_id)

    output, error = run(scenario())
    assert [each["custom_id"] for each in output] == ["r3", "r119"]
    assert [each["custom_id"] for each in error] == [f"r{n}" for n in range(120) if n not in (3, 119)]
    codes = [each["error"] and each["error"]["code"] for each in error]
    assert codes == [None if each["custom_id"] == "r60" else code for each in error]
    assert all((each["response"] is None) == (each["error"] is not None) for each in error)


def test_a_batch_that_failed_before_it_ran_has_no_files():
    async def scenario():
        rig = Rig()
        await rig.batch(b"{")
        return await rig.batches.write_outputs(await rig.expand())

    batch = run(scenario())
    assert (batch.output_file_id, batch.error_file_id) == ("", "")


def test_writing_again_writes_the_same_files():
    async def scenario():
        rig = await begun(4)
        await rig.answer(result(0), result(1), result(2, 400), result(3))
        job = await rig.job()
        first = await rig.batches.write_outputs(job)
        texts = [await rig.text(first.output_file_id), await rig.text(first.error_file_id)]
        rig.clock.advance(100)
        second = await rig.batches.write_outputs(job)
        again = [await rig.text(second.output_file_id), await rig.text(second.error_file_id)]
        listed = await rig.files.list(FileViewer(tenant="acme", key_id="key-1"))
        return first == second, texts == again, len(listed.files)

    assert run(scenario()) == (True, True, 3)


def test_a_large_body_comes_out_of_its_blob_and_a_lost_one_is_told_and_holds_up_nothing():
    async def scenario():
        rig = await begun(2)
        await rig.blobs.put("jobs/acme/x/result-0-1", json.dumps({"text": "y" * 100_000}).encode())
        await rig.answer(
            result(0, body=b"", blob="jobs/acme/x/result-0-1"), result(1, body=b"", blob="jobs/acme/x/result-1-1")
        )
        batch = await rig.batches.write_outputs(await rig.job())
        return await rig.output_lines(batch.output_file_id)

    kept, lost = run(scenario())
    assert len(kept["response"]["body"]["text"]) == 100_000
    assert (lost["response"], lost["error"]["code"], lost["custom_id"]) == (None, "result_lost", "r1")


@pytest.mark.parametrize(
    ("body", "read"),
    [
        (b'{\n "a": [1,\r\n 2]\n}', {"a": [1, 2]}),
        (b'{"a": "x\\ny"}', {"a": "x\ny"}),
        (b"<html>\n\x85\xff</html>", "<html>\n\ufffd\ufffd</html>"),
        (b"", ""),
    ],
)
def test_whatever_a_body_is_its_line_is_one_line_of_json(body, read):
    async def scenario():
        rig = await begun(2)
        await rig.answer(result(0, body=body), result(1))
        batch = await rig.batches.write_outputs(await rig.job())
        return await rig.output_lines(batch.output_file_id)

    output = run(scenario())
    assert [each["response"]["body"] for each in output] == [read, {"ok": True}]


def test_without_the_input_file_requests_cannot_be_read_and_the_unanswered_ones_have_no_name():
    async def scenario():
        rig = await begun(3)
        await rig.answer(result(1))
        await rig.jobs.end(ANN.tenant, JOB, JobState.EXPIRED)
        job = await rig.job()
        await rig.files.delete(FileViewer(tenant="acme", key_id="key-1"), job.batch.input_file_id)
        with pytest.raises(PlatformError) as caught:
            await rig.batches.requests_of(job, (await rig.parts())[0])
        batch = await rig.batches.write_outputs(job)
        return caught.value.reason, await rig.output_lines(batch.error_file_id)

    reason, error = run(scenario())
    assert reason is Reason.NOT_FOUND
    assert [each["custom_id"] for each in error] == [None, None]


def test_a_slice_that_does_not_hold_its_requests_is_no_part():
    async def scenario():
        rig = await begun(3)
        job = await rig.job()
        part = (await rig.parts())[0]
        cut = PartSpec(0, 0, 3, part.reservation, part.models, FileSlice(part.slice.file_id, 0, len(line("r0")) + 1, 1))
        await rig.batches.requests_of(job, cut)

    with pytest.raises(PlatformError) as caught:
        run(scenario())
    assert caught.value.reason is Reason.INTERNAL


def test_a_batch_whose_requests_stand_in_the_store_has_files_too():
    async def scenario():
        rig = Rig()
        new = NewJob(
            JOB,
            ANN,
            "f",
            expires_seconds=60,
            batch=Batch("", CHAT),
            parts=(PartSpec(0, 0, 2, JOB, ("small", "small")),),
            requests=(Request(0, "a", b"w", "small"), Request(1, "b", b"w", "small")),
        )
        await rig.jobs.create(new)
        await rig.jobs.confirm(ANN.tenant, JOB, 7)
        await rig.jobs.end(ANN.tenant, JOB, JobState.EXPIRED)
        batch = await rig.batches.write_outputs(await rig.job())
        return [each["custom_id"] for each in await rig.output_lines(batch.error_file_id)]

    assert run(scenario()) == ["a", "b"]


def test_the_files_are_seen_by_whoever_sees_the_batch():
    async def scenario():
        rig = await begun(1)
        await rig.answer(result(0))
        batch = await rig.batches.write_outputs(await rig.job())
        with pytest.raises(PlatformError):
            await rig.text(batch.output_file_id, FileViewer(tenant="acme", key_id="key-2", user="bob"))
        return await rig.text(batch.output_file_id, FileViewer(tenant="acme", key_id="key-2", user="ann"))

    assert run(scenario())


@given(st.lists(st.sampled_from([None, 200, 400]), min_size=1, max_size=170), st.booleans())
def test_every_request_is_in_one_file_once_and_in_order(statuses, cancelled):
    async def scenario():
        rig = await begun(len(statuses))
        given_results = [result(step, status) for step, status in enumerate(statuses) if status]
        await rig.answer(*reversed(given_results))
        await rig.jobs.end(ANN.tenant, JOB, JobState.CANCELLED if cancelled else JobState.EXPIRED)
        job = await rig.job()
        batch = await rig.batches.write_outputs(job)
        files = (batch.output_file_id, batch.error_file_id)
        return job, [[each["custom_id"] for each in await rig.output_lines(file)] if file else [] for file in files]

    job, (output, error) = run(scenario())
    names = [f"r{step}" for step in range(len(statuses))]
    assert output == [name for name, status in zip(names, statuses, strict=True) if status == 200]
    assert error == [name for name, status in zip(names, statuses, strict=True) if status != 200]
    assert (job.succeeded, job.total) == (len(output), len(names))


def test_results_are_read_in_small_pages_and_written_in_small_parts():
    async def scenario():
        rig = await begun(3_000)
        body = json.dumps({"text": "z" * 2_000}).encode()
        await rig.answer(*(result(step, body=body) for step in range(3_000)))
        pages = []
        results = rig.jobs.results

        async def watched(tenant, job, first, limit):
            page = await results(tenant, job, first, limit)
            pages.append(len(page))
            return page

        rig.jobs.results = watched
        put, sizes = rig.blobs.put, []

        async def put_watched(name, data):
            sizes.append(len(data))
            await put(name, data)

        rig.blobs.put = put_watched
        await rig.batches.write_outputs(await rig.job())
        return max(pages), max(sizes)

    page, size = run(scenario())
    assert page <= 64
    assert size == 4096
