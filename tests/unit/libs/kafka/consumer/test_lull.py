from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from kafka.future import Future

from libs.kafka.consumer import lull
from libs.kafka.consumer.handover import FlowRequest, Handover
from libs.kafka.consumer.lull import FETCH_MS, LULL_FETCH_MS, Lull

HANG_SECONDS = 30.0
REQUEST = FlowRequest((), paused=False)


def client_of(*fetches: Future, paused: bool = False, rejoins: bool = False, known: bool = True, placed: bool = True):
    """What Lull asks a client of kafka-python."""
    return SimpleNamespace(
        config={"request_timeout_ms": 5_000},
        paused=lambda: {"t-0"} if paused else set(),
        _coordinator=SimpleNamespace(need_rejoin=lambda: rejoins, coordinator_unknown=lambda: not known),
        _subscription=SimpleNamespace(has_all_fetch_positions=lambda: placed),
        _fetcher=SimpleNamespace(config={}, _fetch_futures=list(fetches)),
    )


@pytest.fixture
def handover(monkeypatch: pytest.MonkeyPatch) -> Iterator[Handover]:
    """Where nothing wakes the thread it stands for a minute, which the tests take for a hang."""
    monkeypatch.setattr(lull, "LULL_FETCH_MS", 60_000)
    monkeypatch.setattr(lull, "LOOK_SECONDS", 60.0)
    loop = asyncio.new_event_loop()
    yield Handover(loop)
    loop.close()


def waited(made: Lull, wake) -> object:
    """What `wait` returns, woken from another thread once it waits."""
    answers: list[object] = []
    thread = threading.Thread(target=lambda: answers.append(made.wait()), daemon=True)
    thread.start()
    wake()
    thread.join(HANG_SECONDS)
    assert not thread.is_alive(), "nothing woke it"
    return answers[0]


def test_it_begins_only_when_nothing_is_under_way(handover: Handover, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lull, "LULL_SECONDS", -1.0)
    assert Lull(client_of(), handover).begun()
    for busy in ({"paused": True}, {"rejoins": True}, {"known": False}, {"placed": False}):
        assert not Lull(client_of(**busy), handover).begun()


def test_messages_end_it_and_fetches_are_short_again(handover: Handover, monkeypatch: pytest.MonkeyPatch) -> None:
    client = client_of()
    client.config["request_timeout_ms"] = 300
    made = Lull(client, handover)
    monkeypatch.setattr(lull, "LULL_SECONDS", -1.0)
    assert made.begun()
    # Never so long that the client takes the broker for dead.
    assert client._fetcher.config["fetch_max_wait_ms"] == 150
    monkeypatch.setattr(lull, "LULL_SECONDS", 3600.0)
    made.end()
    assert not made.begun()
    assert client._fetcher.config["fetch_max_wait_ms"] == FETCH_MS < LULL_FETCH_MS


def test_a_request_wakes_it_at_once(handover: Handover) -> None:
    assert waited(Lull(client_of(Future()), handover), lambda: handover.requests.put(REQUEST)) is REQUEST


def test_an_answered_fetch_wakes_it_at_once(handover: Handover) -> None:
    fetch = Future()
    assert waited(Lull(client_of(fetch), handover), lambda: fetch.success(None)) is None


def test_a_fetch_that_was_answered_before_it_waited_is_not_waited_for(handover: Handover) -> None:
    fetch = Future()
    made = Lull(client_of(fetch), handover)
    assert waited(made, lambda: fetch.success(None)) is None
    while not handover.requests.empty():
        handover.requests.get_nowait()
    assert waited(made, lambda: None) is None


def test_a_group_that_wants_something_back_does_not_wait_for_it(handover: Handover) -> None:
    began = time.monotonic()
    assert Lull(client_of(rejoins=True), handover).wait() is None
    assert time.monotonic() - began < HANG_SECONDS
