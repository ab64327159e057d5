"""Records by time, key and user, in pages; what is gone; and cursors that are none."""

from __future__ import annotations

import asyncio
import base64

import pytest

from libs.errors import PlatformError, Reason
from libs.testing.loop import run
from services.gateway.usecases.records.costs import RecordCosts
from services.gateway.usecases.records.reader import Query
from tests.unit.services.gateway.usecases.records.world import NOW, Records, writing


async def filled(records):
    """r0 … r9, ten minutes apart, the oldest first; of two keys and two users in turn, and one of another tenant."""
    async with writing(records):
        for number in range(10):
            records.put(f"r{number}", ago=600.0 * (9 - number), key=f"k{number % 2}", user=f"u{number % 5 // 4}")
            await asyncio.sleep(0)
        records.put("foreign", tenant="other")
        await asyncio.sleep(3)
    return records


def test_records_come_by_time_key_and_user():
    async def scenario():
        records = await filled(Records())
        return (
            await records.all(),
            await records.all(key="k1"),
            await records.all(user="u1"),
            await records.all(user="u0", key="k1"),
            await records.all(first=-600.0 * 7, last=-600.0 * 5),
            await records.all(tenant="other"),
            await records.all(tenant="nobody"),
        )

    every, one, user, both, within, other, nobody = run(scenario())
    assert every == [f"r{n}" for n in range(10)]
    assert one == ["r1", "r3", "r5", "r7", "r9"]
    assert (user, both) == (["r4", "r9"], ["r1", "r3", "r5", "r7"])
    assert within == ["r2", "r3", "r4"]
    assert (other, nobody) == (["foreign"], [])


@pytest.mark.parametrize("size", [1, 3, 10])
def test_pages_join_to_the_whole_whatever_blobs_they_cross(size):
    async def scenario():
        records = await filled(Records())
        async with writing(records):
            for number in range(5):
                records.put(f"s{number}", key="k1")
            await asyncio.sleep(3)
        found, after = [], ""
        while True:
            page = []
            async for record, cursor in records.reader.read(Query("acme", NOW - 1e6, NOW + 1e6, key="k1"), after):
                page.append(record.id)
                after = cursor
                if len(page) == size:
                    break
            found += page
            if not page:
                return found

    assert run(scenario()) == ["r1", "r3", "r5", "r7", "r9", *[f"s{n}" for n in range(5)]]


def test_more_blobs_than_the_index_gives_at_once():
    async def scenario():
        records = Records(batch_records=1)
        async with writing(records):
            for number in range(150):
                records.put(f"r{number:03d}")
            await asyncio.sleep(3)
        assert len(records.blobs.stored) == 150
        return await records.all()

    assert sorted(run(scenario())) == [f"r{n:03d}" for n in range(150)]


@pytest.mark.parametrize("limit", [1, 4, 99])
def test_the_newest_come_first(limit):
    async def scenario():
        records = await filled(Records())
        query = Query("acme", NOW - 1e6, NOW + 1e6)
        of_key = await records.reader.newest(Query("acme", NOW - 1e6, NOW + 1e6, key="k1"), limit)
        return [record.id for record in await records.reader.newest(query, limit)], [record.id for record in of_key]

    every, of_key = run(scenario())
    assert every == [f"r{n}" for n in reversed(range(10))][:limit]
    assert of_key == ["r9", "r7", "r5", "r3", "r1"][:limit]


def test_more_of_the_newest_blobs_than_the_index_gives_at_once():
    async def scenario():
        records = Records(batch_records=1)
        async with writing(records):
            for number in range(150):
                records.put(f"r{number:03d}", ago=150.0 - number)
            await asyncio.sleep(3)
        return [record.id for record in await records.reader.newest(Query("acme", 0.0, NOW + 1e6), 140)]

    assert run(scenario()) == [f"r{n:03d}" for n in reversed(range(10, 150))]


def test_costs_are_read_without_the_index():
    async def scenario():
        records = await filled(Records())
        records.index.down = True
        costs = RecordCosts(records.blobs)
        return [pair async for pair in costs.read("acme")], [pair async for pair in costs.read("nobody")]

    found, none = run(scenario())
    assert found == [(f"r{n}", 2_500) for n in range(10)]
    assert none == []


def test_what_is_past_its_days_is_not_there():
    async def scenario():
        records = await filled(Records())
        await records.blobs.delete_prefix("records/acme/")
        return await records.reader.get("acme", "r1"), await records.all()

    assert run(scenario()) == (None, [])


def test_what_is_not_written_yet_is_known_without_its_texts():
    async def scenario():
        records = Records()
        records.put("a")
        early = await records.reader.get("acme", "a")
        return early.text, early.prompt, await records.reader.get("other", "a")

    assert run(scenario()) == ("pending", (), None)


def cursor(text):
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


NONE = ["[]", '["../../pepper", 0]', '["/etc/passwd",0]', "[1,2]", '["a","b"]']
BAD = ["x", "ä", "====", *map(cursor, NONE)]


@pytest.mark.parametrize("after", BAD)
def test_a_cursor_that_is_none_is_refused(after):
    async def scenario():
        with pytest.raises(PlatformError) as caught:
            await Records().all(after=after)
        return caught.value.reason, caught.value.param

    assert run(scenario()) == (Reason.INVALID_REQUEST, "after")


def test_a_cursor_of_another_tenant_leads_to_no_record_of_it():
    async def scenario():
        records = await filled(Records())
        found = [mark async for _, mark in records.reader.read(Query("other", NOW - 1e6, NOW + 1e6))]
        return await records.all(after=found[0])

    assert "foreign" not in run(scenario())


def test_a_dead_store_says_so():
    async def scenario():
        records = await filled(Records())
        records.index.down = True
        with pytest.raises(PlatformError) as one:
            await records.reader.get("acme", "r1")
        with pytest.raises(PlatformError) as many:
            await records.all()
        return one.value.reason, many.value.reason

    assert run(scenario()) == (Reason.STORE_UNAVAILABLE, Reason.STORE_UNAVAILABLE)
