"""Every check here runs on the ledger in memory and on the one in Valkey."""

from __future__ import annotations

import pytest

from libs.testing.valkey import ValkeyProcess
from tests.contract.services.gateway.adapters.ledger.desk import SCOPES, MemoryDesk, ValkeyDesk


@pytest.fixture(scope="module")
def server():
    with ValkeyProcess(appendfsync="always") as process:
        yield process


@pytest.fixture(params=["memory", "valkey"])
def desk(request):
    """A tenant with a user and a key that nothing bounds yet."""
    made = MemoryDesk() if request.param == "memory" else ValkeyDesk(request.getfixturevalue("server"))
    made.open(*SCOPES)
    yield made
    made.close()
