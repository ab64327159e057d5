"""Every check here runs on the jobs in memory and on those in Valkey."""

from __future__ import annotations

import pytest

from libs.testing.valkey import ValkeyProcess
from tests.contract.services.jobs.adapters.store.desk import MemoryDesk, ValkeyDesk


@pytest.fixture(scope="module")
def server():
    with ValkeyProcess() as process:
        yield process


@pytest.fixture(params=["memory", "valkey"])
def desk(request):
    """A tenant without jobs."""
    made = MemoryDesk() if request.param == "memory" else ValkeyDesk(request.getfixturevalue("server"))
    yield made
    made.close()
