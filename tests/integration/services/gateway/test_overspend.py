"""The campaign of killed gateways and stores, small: the platform as processes over one store, and an audit."""

import asyncio
import contextlib
import random
import socket

import pytest

from loadtests.common.stack import Stack
from loadtests.overspend.campaign import CALLS, Campaign, layout
from loadtests.overspend.chaos import STORE, Blow
from tests.unit.services.inference.world import write_model

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]
PORTS = 40


def free_base():
    """Ports in a row that are free; below the range that the kernel gives to clients."""
    for _ in range(100):
        base = random.randrange(20_000, 31_000, PORTS)
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError):
            for port in range(base, base + PORTS):
                stack.enter_context(contextlib.closing(socket.create_server(("127.0.0.1", port))))
            return base
    raise AssertionError("no free ports in a row")


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    model = write_model(tmp_path_factory.mktemp("model"))
    with Stack(layout(free_base(), both_at_once=False, model_path=model, ready_seconds=60.0)) as running:
        yield running


def spend(stack, seed, *blows):
    campaign = Campaign(stack, lambda _rng: list(blows), callers=50, spend_seconds=20.0)
    (found,) = asyncio.run(campaign.run([seed]))
    return found


def test_a_budget_for_37_calls_pays_for_37_calls_and_no_more_while_the_store_is_killed(stack):
    # While calls run, and a moment after their end, which is then told once more.
    found = spend(stack, 2, Blow(0.8, (STORE,)), Blow(4.0, (STORE,)))
    assert found.violations == []
    assert (found.outcomes["completed"], found.settled) == (CALLS, found.budget)


def test_what_a_killed_gateway_held_is_charged_what_was_sent_and_the_rest_is_spent_by_others(stack):
    found = spend(stack, 4, Blow(1.5, ("gateway-1",)))
    assert found.violations == []
    broken, received, charged, produced = found.broken
    assert broken
    assert 0 < received <= charged <= produced
    assert not found.out_of_time
