from __future__ import annotations

import asyncio

from headrace.events.v1 import jobs_pb2 as events

from libs.errors import PlatformError, Reason
from libs.kafka.events import event_record
from libs.kafka.handling import Delivery, NewerSchemaError, PoisonError, RetryLaterError
from libs.testing.clock import FakeClock
from libs.testing.loop import run
from services.jobs.adapters.outgoing import FINISHED
from services.jobs.consumers.finished import FinishedHandler
from services.jobs.domain.attempt import Verdict


class Endings:
    def __init__(self) -> None:
        self.calls: list[tuple[str, list[tuple[str, int]]]] = []
        self.error: PlatformError | None = None

    async def announce(self, tenant, told):
        if self.error is not None:
            raise self.error
        self.calls.append((tenant, list(told)))
        return [Verdict.APPLIED] * len(told)


def message(tenant: str, job: str, version: int = 3, *, schema_version: int = 1) -> Delivery:
    value = events.JobFinished(tenant=tenant, job={"id": job, "version": version})
    record = event_record(
        topic=FINISHED, key=b"k", value=value, source="s", id="i", time=0.0, schema_version=schema_version
    )
    return Delivery(FINISHED, 0, 0, record.key, record.value, dict(record.headers))


def test_what_was_polled_together_is_one_call_per_tenant():
    endings = Endings()
    handler = FinishedHandler(endings, FakeClock())
    messages = [message("a", "1"), message("b", "2"), message("a", "3", 9)]
    assert list(run(handler.handle_batch(messages))) == [None, None, None]
    assert endings.calls == [("a", [("1", 3), ("3", 9)]), ("b", [("2", 3)])]


def test_bad_messages_do_not_keep_good_ones_from_their_effect():
    endings = Endings()
    bad = message("a", "1")
    bad.value = b"\xff\xff"
    results = run(
        FinishedHandler(endings, FakeClock()).handle_batch(
            [bad, message("a", "2"), message("a", "3", schema_version=2)]
        )
    )
    assert isinstance(results[0], PoisonError)
    assert results[1] is None
    assert isinstance(results[2], NewerSchemaError)
    assert endings.calls == [("a", [("2", 3)])]


def test_the_store_is_waited_for():
    async def main():
        endings, clock = Endings(), FakeClock()
        endings.error = PlatformError(Reason.STORE_UNAVAILABLE, "away")
        handling = asyncio.create_task(FinishedHandler(endings, clock).handle_batch([message("a", "1")]))
        await clock.sleep(60.0)
        assert not handling.done()
        endings.error = None
        assert list(await handling) == [None]

    run(main())


def test_another_failure_is_tried_again_later():
    endings = Endings()
    endings.error = PlatformError(Reason.INTERNAL, "broken")
    (result,) = run(FinishedHandler(endings, FakeClock()).handle_batch([message("a", "1")]))
    assert isinstance(result, RetryLaterError)
    assert result.lasting
