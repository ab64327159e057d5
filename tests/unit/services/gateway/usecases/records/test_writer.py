"""Batches, what happens when a store is away, what is lost and that it is said; and that nothing unredacted is kept."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from libs.errors import PlatformError, Reason
from libs.testing.loop import run
from services.gateway.domain.accounts.records import RecordPolicy
from services.gateway.domain.redaction import PatternRedactor
from services.gateway.domain.request_record import RequestRecord
from services.gateway.domain.turns import ChatRequest, Role, ToolCall, Turn
from services.gateway.usecases.records.texts import TextFiller
from tests.unit.services.gateway.usecases.records.world import Records, writing

SECRETS = (
    "john@example.com",
    "sk-hr-" + "ab" * 24,
    "4111 1111 1111 1111",
    "+49 30 1234567",
    "AKIA" + "IOSFODNN7EXAMPLE",
)


def test_what_waits_is_written_after_a_while_one_blob_per_tenant():
    async def scenario():
        records = Records(flush_seconds=2.0)
        async with writing(records):
            for name, tenant in (("a", "acme"), ("b", "other"), ("c", "acme")):
                records.put(name, tenant=tenant)
            await asyncio.sleep(1.9)
            assert records.blobs.stored == {}
            await asyncio.sleep(0.2)
            return records, sorted(records.blobs.stored), len(records.recorder)

    records, names, left = run(scenario())
    assert [name.split("/")[1] for name in names] == ["acme", "other"]
    assert names[0].startswith("records/acme/2023-11-14/1700000000")
    lines = records.stored().splitlines()
    assert [msgspec.json.decode(line, type=RequestRecord).id for line in lines] == ["a", "c"]
    assert (left, records.watch.records, records.watch.losses) == (0, 3, {})


def test_a_full_batch_does_not_wait():
    async def scenario():
        records = Records(flush_seconds=100.0, batch_records=3)
        async with writing(records):
            for number in range(7):
                records.put(f"r{number}")
            await asyncio.sleep(0.1)
            return sorted(len(data.splitlines()) for data in records.blobs.stored.values())

    assert run(scenario()) == [1, 3, 3]


def test_each_entry_leads_to_its_own_line_and_the_index_comes_last():
    async def scenario():
        records = Records()
        async with writing(records):
            for number in range(5):
                records.put(f"r{number}", answer="é" * number)
            await asyncio.sleep(3)
            found = [await records.reader.get("acme", f"r{n}") for n in range(5)]
            return found, await records.reader.get("other", "r1")

    found, foreign = run(scenario())
    assert [(record.id, record.answers[0].content if record.answers else "") for record in found] == [
        (f"r{n}", "é" * n) for n in range(5)
    ]
    assert foreign is None


@pytest.mark.parametrize("store", ["blobs", "index"])
def test_a_store_that_is_away_costs_nothing_but_time(store):
    async def scenario():
        records = Records()
        async with writing(records):
            getattr(records, store).down = True
            records.put("a")
            await asyncio.sleep(20)
            records.put("b")
            meanwhile = await records.reader.get("acme", "a")
            getattr(records, store).down = False
            await asyncio.sleep(60)
            return records, meanwhile, await records.all()

    records, meanwhile, found = run(scenario())
    assert meanwhile.id == "a"
    assert found == ["a", "b"]
    assert records.watch.failures
    assert (records.watch.records, records.watch.losses, len(records.blobs.stored)) == (2, {}, 2)


def test_a_stop_writes_what_waits():
    async def scenario():
        records = Records(flush_seconds=100.0, batch_records=2)
        records.writer.start()
        for number in range(5):
            records.put(f"r{number}")
        await records.writer.close(5.0)
        await records.writer.close(5.0)
        return await records.all(), records.watch.losses

    assert run(scenario()) == ([f"r{n}" for n in range(5)], {})


class Telling(PatternRedactor):
    """Sets `begun` when the first piece of a text is done."""

    begun = None

    def redact(self, text):
        for piece in super().redact(text):
            self.begun.set()
            yield piece


def test_a_stop_in_the_middle_of_a_text_loses_nothing():
    async def scenario():
        redactor = Telling()
        redactor.begun = asyncio.Event()
        records = Records(flush_seconds=1.0, redactor=redactor)
        records.writer.start()
        records.put("a", prompt="line\n" * 20_000)
        records.put("b")
        await redactor.begun.wait()
        assert records.recorder.taken["a"].request is not None
        assert records.blobs.stored == {}
        await records.writer.close(5.0)
        return await records.all(), (await records.reader.get("acme", "a")).prompt[0].text

    found, text = run(scenario())
    assert found == ["a", "b"]
    assert text == "line\n" * 20_000


def test_a_stop_without_a_store_counts_what_is_lost():
    async def scenario():
        records = Records()
        records.writer.start()
        records.blobs.down = True
        records.put("a")
        records.put("b")
        await records.writer.close(1.0)
        return records.watch.losses

    assert run(scenario()) == {"record": 2}


def test_no_secret_of_prompt_answer_or_tool_call_reaches_a_store():
    async def scenario():
        records = Records()
        async with writing(records):
            for number, secret in enumerate(SECRETS):
                records.put(f"r{number}", prompt=f"I am {secret}.", answer=f"You are {secret}, then.")
            call = ToolCall("c1", "mail", f'{{"to": "{SECRETS[0]}"}}')
            turns = (Turn(Role.ASSISTANT, "", reasoning=f"Mail {SECRETS[0]}", tool_calls=(call,)),)
            records.put("tools")
            records.recorder._waiting["tools"].request = ChatRequest("m", turns)
            await asyncio.sleep(3)
            return records.stored().decode(), await records.reader.get("acme", "tools")

    stored, tools = run(scenario())
    assert [secret for secret in SECRETS if secret in stored] == []
    assert "I am [EMAIL]." in stored
    assert "You are [CARD], then." in stored
    assert tools.prompt[0].tool_calls[0]["arguments"] == '{"to": "[EMAIL]"}'
    assert tools.prompt[0].reasoning == "Mail [EMAIL]"


class Broken:
    def redact(self, text):
        yield text[:3]
        if "bad" in text:
            raise RuntimeError(text)


def test_a_text_that_breaks_the_redactor_is_dropped_and_the_others_are_written(capsys):
    async def scenario():
        records = Records(redactor=Broken())
        async with writing(records):
            records.put("a", prompt="a bad secret")
            records.put("b", prompt="good", answer="yes")
            await asyncio.sleep(3)
            return records, [await records.reader.get("acme", name) for name in ("a", "b")]

    records, (bad, good) = run(scenario())
    assert (bad.text, bad.prompt, bad.completion_tokens) == ("dropped", (), 3)
    assert (good.text, good.prompt[0].text) == ("stored", "goo")
    assert records.watch.losses == {"text": 1}
    assert b"secret" not in records.stored()
    assert "secret" not in capsys.readouterr().out


def test_what_does_not_fit_is_cut_from_the_beginning_and_the_record_says_so():
    async def scenario():
        records = Records(text_characters_max=10)
        async with writing(records):
            records.put("a", prompt="0123456789 the question", answer="yes!")
            await asyncio.sleep(3)
            return await records.reader.get("acme", "a")

    record = run(scenario())
    assert (record.text_cut, record.answers[0].content, record.prompt[0].text) == (True, "yes!", "estion")


def test_a_long_text_lets_others_have_their_turn():
    async def scenario():
        records = Records()
        records.put("a", prompt="word " * 50_000)
        records.recorder.take()
        (one,) = records.recorder.taken.values()
        return len(list(TextFiller(records.writer._filler._redactor, 10**6).fill(one)))

    assert run(scenario()) > 20


def test_records_that_are_far_apart_do_not_share_a_blob():
    async def scenario():
        records = Records()
        async with writing(records):
            records.put("old", ago=3600.0)
            records.put("new")
            await asyncio.sleep(3)
            return sorted(records.blobs.stored)

    assert len(run(scenario())) == 2


def test_a_batch_that_the_index_refuses_is_not_taken_for_written():
    async def scenario():
        records = Records()

        async def refuse(batch, keep_seconds):
            raise PlatformError(Reason.STORE_UNAVAILABLE, "no", 1.0)

        records.index.add = refuse
        records.writer.start()
        records.put("a")
        await asyncio.sleep(10)
        await records.writer.close(1.0)
        return records.watch

    watch = run(scenario())
    assert (watch.records, watch.losses) == (0, {"record": 1})


def test_the_days_of_a_tenant_are_handed_on_to_the_index():
    async def scenario():
        records = Records()
        async with writing(records):
            records.put("a", policy=RecordPolicy(retention_days=7))
            await asyncio.sleep(3)
            return records.index.keeps

    assert run(scenario()) == [7 * 86_400]


def test_a_defect_of_a_store_ends_the_writing_of_no_later_record(capsys):
    async def scenario():
        records = Records()
        put, tries = records.blobs.put, []

        async def broken(name, data):
            tries.append(name)
            if len(tries) == 1:
                raise RuntimeError("a defect")
            await put(name, data)

        records.blobs.put = broken
        async with writing(records):
            records.put("a")
            await asyncio.sleep(20)
            return records, await records.all()

    records, found = run(scenario())
    assert found == ["a"]
    assert records.watch.failures == ["RuntimeError"]
    assert "records cannot be written" in capsys.readouterr().out
