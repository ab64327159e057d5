"""The unmodified openai client against real limits: it backs off exactly as it is told, or not at all."""

import asyncio
import os
import signal
import time

import openai
import pytest

from libs.money import to_dollars
from libs.testing.loop import run_real
from loadtests.common.accounts import admin, new_account
from loadtests.common.stack import MODEL_NAME

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]
HI = [{"role": "user", "content": "hi"}]
CALL = {"model": MODEL_NAME, "messages": HI, "max_tokens": 4, "extra_body": {"ignore_eos": True}}


class Client:
    """An openai client of an account; `seen` are the replies to its attempts, `waits` what it slept between them."""

    def __init__(self, stack, account, between):
        self.account, self.seen, self.waits, self._between = account, [], [], between
        http = openai.DefaultAsyncHttpxClient(event_hooks={"response": [self._note]}, trust_env=False)
        self.api = openai.AsyncOpenAI(
            base_url=f"{stack.url}/v1", api_key=account.secret, max_retries=2, http_client=http
        )

    async def _note(self, reply):
        self.seen.append(reply)

    async def sleep(self, seconds):
        self.waits.append(seconds)
        await self._between()

    @property
    def told(self):
        """Seconds that each reply asked to wait for."""
        return [int(reply.headers["retry-after-ms"]) / 1000 for reply in self.seen if "retry-after-ms" in reply.headers]


async def nothing():
    pass


@pytest.fixture
def as_client(stack, request, monkeypatch):
    """Runs a scenario with a client of a fresh tenant; its sleeps are recorded, not slept."""

    def run(scenario, limits, between=nothing):
        name = f"openai-{request.node.name[:40].replace('_', '-').strip('-')}"
        account = new_account(stack.url, stack.key, name, limits={"key": limits})

        async def with_client():
            client = Client(stack, account, between)
            monkeypatch.setattr("openai._base_client.anyio.sleep", client.sleep)
            try:
                return await scenario(client)
            finally:
                await client.api.close()
                await asyncio.sleep(0)  # the client's pool closes its sockets in callbacks

        return run_real(with_client())

    return run


async def refused(client, **changes):
    with pytest.raises(openai.RateLimitError) as caught:
        await client.api.chat.completions.create(**{**CALL, **changes})
    return caught.value


def budget(usd, **more):
    return {"budgets": [{"duration": "total", "limit_usd": usd}], **more}


def test_a_rate_limit_is_retried_after_exactly_the_time_it_names(as_client):
    async def scenario(client):
        await client.api.chat.completions.create(**CALL)
        error = await refused(client)
        assert (error.code, error.type, error.status_code) == ("rate_limit_exceeded", "rate_limit_error", 429)
        assert "1 requests per minute" in error.message
        assert [reply.status_code for reply in client.seen] == [200, 429, 429, 429]
        # After the last one it gives up.
        assert client.waits == client.told[:2]
        assert all(50 < wait <= 60 for wait in client.waits)

    as_client(scenario, {"requests_per_minute": 1})


def test_parallel_requests_are_retried_when_they_may_have_ended(as_client):
    async def scenario(client):
        stream = await client.api.chat.completions.create(**{**CALL, "max_tokens": 200}, stream=True)
        error = await refused(client)
        await stream.close()
        assert error.code == "rate_limit_exceeded"
        assert client.waits == client.told[:2] == [1.0, 1.0]

    as_client(scenario, {"parallel_requests": 1})


def test_a_spent_budget_is_not_retried(as_client):
    async def scenario(client):
        error = await refused(client)
        assert (error.code, error.type) == ("insufficient_quota", "insufficient_quota")
        assert error.response.headers["x-should-retry"] == "false"
        assert "retry-after" not in error.response.headers
        assert (len(client.seen), client.waits) == (1, [])

    as_client(scenario, budget("0.000000005"))


def test_a_budget_that_running_calls_hold_is_not_retried(as_client):
    async def scenario(client):
        stream = await client.api.chat.completions.create(**{**CALL, "max_tokens": 100}, stream=True)
        error = await refused(client, max_tokens=100)
        await stream.close()
        assert (error.code, error.type) == ("budget_exceeded", "insufficient_quota")
        assert "running" in error.message
        assert (len(client.seen), client.waits) == (2, [])

    as_client(scenario, budget("0.00000015"))


def test_a_store_that_is_away_is_retried_and_serves_when_it_is_back(as_client, stack):
    store = stack.processes["valkey"].pid

    async def back():
        os.kill(store, signal.SIGCONT)

    async def scenario(client):
        await client.api.chat.completions.create(**CALL)  # the key is known
        os.kill(store, signal.SIGSTOP)
        try:
            answer = await client.api.with_options(max_retries=200).chat.completions.create(**CALL)
        finally:
            await back()
        assert answer.usage.completion_tokens == 4
        codes = [reply.status_code for reply in client.seen]
        assert codes[1] == 503
        assert codes[-1] == 200
        assert client.waits == client.told
        assert client.told[0] == 1.0

    async def between():
        await back()
        await asyncio.to_thread(time.sleep, 0.1)  # real time: the gateway looks for its store by itself

    as_client(scenario, {}, between)


def test_headers_tell_what_is_left(as_client):
    async def scenario(client):
        raw = await client.api.chat.completions.with_raw_response.create(**CALL)
        usage, headers = raw.parse().usage, raw.headers
        assert headers["x-ratelimit-limit-requests"] == "100"
        assert headers["x-ratelimit-remaining-requests"] == "99"
        assert headers["x-ratelimit-reset-requests"] == "600ms"
        assert headers["x-ratelimit-limit-tokens"] == "10000"
        assert int(headers["x-ratelimit-remaining-tokens"]) == 10_000 - usage.total_tokens
        assert headers["x-headrace-cost-usd"] == to_dollars(usage.total_tokens)
        assert headers["x-headrace-budget-remaining-usd"] == to_dollars(1_000_000 - usage.total_tokens)
        assert raw.parse().headrace["cost_usd"] == headers["x-headrace-cost-usd"]

    as_client(scenario, budget("0.001", requests_per_minute=100, tokens_per_minute=10_000))


def test_a_stream_whose_budget_runs_out_ends_with_length_and_says_why(as_client, stack):
    async def scenario(client):
        # One short answer: the next hold is for 64 tokens, and must be extended for more.
        first = (await client.api.chat.completions.create(**CALL)).usage
        left = first.prompt_tokens + 64 + 10
        budget_now = {"limits": budget(to_dollars(first.total_tokens + left))}
        path = f"/v1/admin/keys/{client.account.key}?tenant={client.account.tenant}"
        admin(stack.url, stack.key, "PATCH", path, budget_now)
        stream = await client.api.chat.completions.create(
            **{**CALL, "max_tokens": 120}, stream=True, stream_options={"include_usage": True}
        )
        chunks = [chunk async for chunk in stream]
        finishes = [c.choices[0].finish_reason for c in chunks if c.choices and c.choices[0].finish_reason]
        assert finishes == ["length"]
        last = chunks[-1]
        assert last.headrace["truncated"] == "budget"
        assert 64 <= last.usage.completion_tokens <= 74
        assert last.headrace["cost_usd"] == to_dollars(last.usage.total_tokens)

    as_client(scenario, budget("0.001"))
