import httpx
import pytest

from cli.client.answer import Answer, Question
from cli.client.rest import RestClient
from cli.errors import CliError
from libs.testing.loop import run_real

ROLE = 'data: {"choices":[{"delta":{"role":"assistant","content":""},"finish_reason":null}]}\n\n'
WORD = 'data: {"choices":[{"delta":{"content":"Paris"},"finish_reason":null}]}\n\n'
FINISH = 'data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\n'
USAGE = (
    'data: {"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":2},"headrace":'
    '{"worker":"inference-1","cached_tokens":8,"attempts":2,"resumed":true,"cost_usd":"0.0000125","truncated":"budget"}}\n\n'
)
DONE = "data: [DONE]\n\n"
HEADERS = {"content-type": "text/event-stream", "x-headrace-worker": "inference-0", "x-session-id": "s"}


def ask(status, body, headers=None):
    """(answer, texts, workers, requests) of one call against a scripted gateway."""
    texts, workers, requests = [], [], []

    def respond(request):
        requests.append(request)
        return httpx.Response(status, text=body, headers=headers or HEADERS)

    async def scenario():
        async with RestClient("http://gateway", "sk-hr-1") as client:
            await client._http.aclose()
            client._http = httpx.AsyncClient(
                base_url="http://gateway",
                headers={"authorization": "Bearer sk-hr-1"},
                transport=httpx.MockTransport(respond),
            )
            question = Question("small", [{"role": "user", "content": "?"}], "s", extra={"ignore_eos": True})
            return await client.chat(question, texts.append, workers.append)

    return run_real(scenario()), texts, workers, requests


def test_a_whole_answer():
    answer, texts, workers, requests = ask(200, ": ping\n\n" + ROLE + WORD + WORD + FINISH + USAGE + DONE)
    assert (answer.text, answer.finish, texts) == ("ParisParis", "stop", ["Paris", "Paris"])
    assert (answer.prompt_tokens, answer.completion_tokens, answer.cached_tokens) == (9, 2, 8)
    assert (workers, answer.worker, answer.attempts) == (["inference-0"], "inference-1", 2)
    assert (answer.cost_usd, answer.truncated) == ("0.0000125", "budget")
    assert 0 < answer.ttft_ms <= answer.total_ms
    assert requests[0].headers["x-session-id"] == "s"
    assert b'"ignore_eos":true' in requests[0].content


@pytest.mark.parametrize("body", [ROLE + WORD, ROLE + WORD + FINISH])
def test_a_stream_without_its_end_is_an_error(body):
    with pytest.raises(CliError, match="without \\[DONE\\]"):
        ask(200, body)


def test_an_error_event_is_an_error():
    with pytest.raises(CliError, match="broke off: lost"):
        ask(200, ROLE + WORD + 'data: {"error":{"message":"lost"}}\n\n')


def test_a_refusal_is_said_with_a_fix():
    with pytest.raises(CliError, match="HTTP 401: bad key") as caught:
        ask(401, '{"error":{"message":"bad key"}}')
    assert "--key" in caught.value.fix


def test_the_pace_counts_what_comes_after_the_first_token():
    assert Answer(completion_tokens=11, ttft_ms=100.0, total_ms=600.0).tokens_per_second == pytest.approx(20.0)
    assert Answer().tokens_per_second == 0.0
