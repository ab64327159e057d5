"""Bodies are bounded before they are read and while they are."""

from __future__ import annotations

import pytest

from libs.errors import PlatformError, Reason
from libs.testing.loop import run
from services.gateway.api.body import read_body
from services.gateway.api.gone import ClientGoneError

MOST = 10


class Client:
    """Sends a body in parts; `taken` of them have been asked for."""

    def __init__(self, *parts):
        self.parts, self.taken = parts, 0

    async def receive(self):
        part = self.parts[self.taken]
        self.taken += 1
        if part is None:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": part, "more_body": self.taken < len(self.parts)}


def refused(client, content_length=None):
    with pytest.raises(PlatformError) as caught:
        run(read_body(client.receive, content_length, MOST))
    assert (caught.value.reason, caught.value.started) == (Reason.PAYLOAD_TOO_LARGE, False)
    return client.taken


@pytest.mark.parametrize("parts", [(b"x" * MOST,), (b"x" * 4, b"y" * 6), (b"", b"x", b"")])
def test_a_body_within_the_limit_comes_whole(parts):
    assert run(read_body(Client(*parts).receive, None, MOST)) == b"".join(parts)


def test_a_body_that_says_it_is_too_long_is_not_read_at_all():
    assert refused(Client(b"x" * 11), b"11") == 0


def test_a_body_without_a_length_is_refused_as_soon_as_it_is_too_long():
    assert refused(Client(b"x" * 4, b"x" * 7, b"x", b"x")) == 2


@pytest.mark.parametrize("parts", [(b"x" * 11,), (b"x" * 4, b"x" * 7)])
def test_what_is_too_long_only_with_its_last_part_is_refused_too(parts):
    assert refused(Client(*parts)) == len(parts)


@pytest.mark.parametrize("parts", [(None,), (b"x", None)])
def test_a_client_that_leaves_has_no_body(parts):
    with pytest.raises(ClientGoneError):
        run(read_body(Client(*parts, b"x").receive, None, MOST))
