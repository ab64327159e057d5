from __future__ import annotations

import pytest

from services.gateway.api.headers import answer_headers
from services.gateway.events import Started


@pytest.mark.parametrize(
    ("name", "shown"), [("inference-0", b"inference-0"), ("a\r\nx-evil: 1", b"unprintable")], ids=["fine", "evil"]
)
def test_a_workers_name_cannot_become_a_header_of_its_own(name, shown):
    headers = dict(answer_headers(Started("r", "m", name, "", "", 0)))
    assert headers[b"x-headrace-worker"] == shown
