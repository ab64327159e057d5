import asyncio
import threading

import pytest

from libs.kafka import BrokerUnavailableError
from libs.kafka.consumer.handover import AHEAD_MAX, CommitRequest, FlowRequest, Handover
from libs.kafka.consumer.port import Claim, Polled
from libs.testing.loop import run_real

CLAIM = Claim("t", 0)


def test_news_come_in_order_and_errors_are_raised():
    async def main():
        handover = Handover(asyncio.get_running_loop())
        first, last = Polled(), Polled()
        for news in (first, BrokerUnavailableError("away"), last):
            handover.tell(news)
        assert await handover.next() is first
        with pytest.raises(BrokerUnavailableError):
            await handover.next()
        assert await handover.next() is last

    run_real(main())


def test_a_loop_that_is_behind_is_given_no_more_until_it_has_taken_some():
    async def main():
        handover = Handover(asyncio.get_running_loop())
        for _ in range(AHEAD_MAX):
            assert not handover.full
            handover.tell(Polled())
        assert handover.full
        await handover.next()
        assert not handover.full
        assert handover.requests.get_nowait() is None  # wakes the thread

    run_real(main())


def test_idle_means_that_all_news_were_taken_and_handled():
    async def main():
        handover = Handover(asyncio.get_running_loop())
        assert not handover.idle  # nobody has polled
        polling = asyncio.ensure_future(handover.next())
        await asyncio.sleep(0)
        assert handover.idle
        handover.tell(Polled())
        assert not handover.idle
        await polling
        assert not handover.idle  # being handled
        polling = asyncio.ensure_future(handover.next())
        await asyncio.sleep(0)
        assert handover.idle
        polling.cancel()
        await asyncio.gather(polling, return_exceptions=True)
        assert not handover.idle

    run_real(main())


def test_a_poll_that_is_cancelled_loses_nothing():
    async def main():
        handover, news = Handover(asyncio.get_running_loop()), Polled()
        polling = asyncio.ensure_future(handover.next())
        await asyncio.sleep(0)
        polling.cancel()
        handover.tell(news)
        await asyncio.gather(polling, return_exceptions=True)
        assert await handover.next() is news

    run_real(main())


@pytest.mark.parametrize("answer", [[CLAIM], BrokerUnavailableError("away")])
def test_a_commit_is_answered_by_the_thread(answer):
    async def main():
        handover = Handover(asyncio.get_running_loop())

        def work():
            request = handover.request(5.0)
            assert isinstance(request, CommitRequest)
            assert request.offsets == {CLAIM: 3}
            request.answered(answer)

        thread = threading.Thread(target=work)
        thread.start()
        if isinstance(answer, list):
            assert await handover.commit({CLAIM: 3}) == answer
        else:
            with pytest.raises(BrokerUnavailableError):
                await handover.commit({CLAIM: 3})
        thread.join()

    run_real(main())


def test_requests_come_in_order_and_none_is_waited_for_no_longer_than_said():
    async def main():
        handover = Handover(asyncio.get_running_loop())
        pause, resume = FlowRequest((CLAIM,), paused=True), FlowRequest((CLAIM,), paused=False)
        handover.requests.put(pause)
        handover.requests.put(resume)
        assert (handover.request(0), handover.request(0), handover.request(0)) == (pause, resume, None)
        assert handover.request(0.001) is None

    run_real(main())
