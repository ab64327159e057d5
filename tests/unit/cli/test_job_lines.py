"""Requests of a job, as people have them in files."""

import json

import pytest

from cli.errors import CliError
from cli.job_lines import job_lines

MESSAGES = [{"role": "user", "content": "hi"}]


def read(*lines, model="small"):
    return list(
        job_lines([json.dumps(line).encode() if not isinstance(line, bytes) else line for line in lines], "f", model)
    )


def test_a_prompt_is_a_question_to_the_default_model():
    (line,) = read({"prompt": "hi", "max_tokens": 5})
    assert line.request() == {
        "url": "/v1/chat/completions",
        "body": {"model": "small", "max_tokens": 5, "messages": MESSAGES},
    }


def test_a_chat_body_keeps_its_own_model_and_name():
    (line,) = read({"custom_id": "a", "model": "large", "messages": MESSAGES})
    assert line.request() == {
        "custom_id": "a",
        "url": "/v1/chat/completions",
        "body": {"model": "large", "messages": MESSAGES},
    }


def test_a_batch_line_is_taken_as_it_is():
    given = {"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": {"messages": MESSAGES, "n": 2}}
    (line,) = read(given)
    assert json.loads(line.batch_line()) == given | {"body": {"model": "small", "messages": MESSAGES, "n": 2}}


def test_a_line_without_a_name_gets_one_where_batches_need_it():
    lines = read({"prompt": "a"}, b"\n", {"prompt": "b"})
    assert [json.loads(line.batch_line())["custom_id"] for line in lines] == ["line-1", "line-3"]
    assert all(line.batch_line().endswith(b"}\n") for line in lines)


@pytest.mark.parametrize(
    ("bad", "word"),
    [
        (b"{", "is not JSON"),
        (b"\xff", "is not JSON"),
        ([1], "no JSON object"),
        ({"prompt": 3}, "prompt is no text"),
        ({"messages": "hi"}, "holds no request"),
        ({"custom_id": 7, "prompt": "a"}, "custom_id is no text"),
        ({"url": "/v1/embeddings", "body": {}}, "POST /v1/embeddings"),
        ({"method": "GET", "body": {}}, "GET /v1/chat"),
        ({"body": "hi"}, "body is no JSON object"),
    ],
)
def test_a_bad_line_is_named_by_its_number(bad, word):
    with pytest.raises(CliError, match=rf"f, line 3.*{word}") as caught:
        read({"prompt": "a"}, b"", bad)
    assert (caught.value.code, bool(caught.value.fix)) == (2, True)


def test_a_name_is_given_once():
    with pytest.raises(CliError, match="f, line 2 has the custom_id 'a' of line 1"):
        read({"custom_id": "a", "prompt": "x"}, {"custom_id": "a", "prompt": "y"})
