"""`metadata` of a chat call: tags, as OpenAI's and LiteLLM's callers send them."""

import json

import pytest

from libs.errors import PlatformError, Reason
from services.gateway.domain.turns import Principal
from services.gateway.wire.limits import Limits
from services.gateway.wire.openai_chat_decode import ChatDecoder

DECODER = ChatDecoder(Limits())


def metadata(given):
    body = {"model": "small", "messages": [{"role": "user", "content": "hi"}], "metadata": given}
    return DECODER.decode(json.dumps(body).encode(), {}, Principal("acme", "key_1")).request.metadata


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({"a": "b"}, {"a": "b"}),
        ({"tags": "x"}, {"tags": "x"}),
        ({"team": "core", "tags": ["x", "job:7"]}, {"team": "core", "x": "true", "job:7": "true"}),
        ({"tags": []}, {}),
    ],
)
def test_pairs_are_kept_and_a_list_of_tags_becomes_pairs(given, kept):
    assert metadata(given) == kept


@pytest.mark.parametrize(
    ("given", "param"),
    [
        ({str(i): "x" for i in range(17)}, "metadata"),
        ({"k": "x" * 513}, "metadata"),
        ({"k" * 65: "x"}, "metadata"),
        ({"k": 1}, "metadata[...]"),
        ({"k": ["x"]}, "metadata"),
        ({"session_id": ["x"]}, "metadata"),
        ({"tags": [str(i) for i in range(17)]}, "metadata"),
        ({"tags": ["x" * 65]}, "metadata"),
        ({"tags": [1]}, "metadata[...][0]"),
    ],
)
def test_what_is_no_tag_is_refused_with_its_place(given, param):
    with pytest.raises(PlatformError) as caught:
        metadata(given)
    assert (caught.value.reason, caught.value.param) == (Reason.INVALID_REQUEST, param)
