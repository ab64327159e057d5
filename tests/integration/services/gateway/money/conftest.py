"""Three gateways over one store as processes, on simulated engines, for all tests of this folder."""

import contextlib
import random
import socket

import pytest

from loadtests.common.stack import Stack
from loadtests.overspend.campaign import layout
from tests.unit.services.inference.world import write_model

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


@pytest.fixture(scope="package")
def stack(tmp_path_factory):
    model = write_model(tmp_path_factory.mktemp("model"))
    with Stack(layout(free_base(), both_at_once=False, model_path=model, ready_seconds=60.0)) as running:
        yield running
