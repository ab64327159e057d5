"""Chat, streaming, raw responses and errors through the unmodified openai client against real vLLM."""

import openai
import pytest

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(300)]
MODEL = "smollm2-135m-instruct"
QUESTION = [{"role": "user", "content": "What is the capital of France? Answer in one word."}]


def test_a_question_gets_its_answer(client):
    answer = client.chat.completions.create(model=MODEL, messages=QUESTION, max_tokens=16, temperature=0)
    assert "Paris" in answer.choices[0].message.content
    assert answer.choices[0].finish_reason in {"stop", "length"}
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    assert answer.object == "chat.completion"


@pytest.mark.parametrize("name", ["small", "large", MODEL])
def test_pools_and_the_model_are_served(client, name):
    assert name in {model.id for model in client.models.list()}
    assert client.models.retrieve(name).id == name
    answer = client.chat.completions.create(model=name, messages=QUESTION, max_tokens=4)
    assert answer.choices[0].message.role == "assistant"


def test_a_stream_is_the_same_text_in_pieces(client):
    whole = client.chat.completions.create(model=MODEL, messages=QUESTION, max_tokens=24, temperature=0)
    chunks = list(
        client.chat.completions.create(
            model=MODEL,
            messages=QUESTION,
            max_tokens=24,
            temperature=0,
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    assert chunks[0].choices[0].delta.role == "assistant"
    assert all(c.choices[0].delta.role is None for c in chunks[1:-1])
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert text == whole.choices[0].message.content
    assert chunks[-1].choices == []
    assert chunks[-1].usage.completion_tokens == whole.usage.completion_tokens
    finishes = [c.choices[0].finish_reason for c in chunks if c.choices]
    assert finishes[:-1] == [None] * (len(finishes) - 1)
    assert finishes[-1] == whole.choices[0].finish_reason


def test_a_second_turn_of_a_session_is_cached(client):
    first = "You are a guide. " + "The river has a mill, a bridge and a weir. " * 40
    messages = [{"role": "system", "content": first}, {"role": "user", "content": "Name one thing."}]
    headers = {"x-session-id": "cached-turns"}
    one = client.chat.completions.create(model=MODEL, messages=messages, max_tokens=8, extra_headers=headers)
    messages += [{"role": "assistant", "content": one.choices[0].message.content}]
    messages += [{"role": "user", "content": "And another?"}]
    two = client.chat.completions.create(model=MODEL, messages=messages, max_tokens=8, extra_headers=headers)
    assert two.usage.prompt_tokens_details.cached_tokens > 0.8 * one.usage.prompt_tokens


def test_raw_responses_tell_worker_session_and_request(client):
    raw = client.chat.completions.with_raw_response.create(
        model=MODEL, messages=QUESTION, max_tokens=4, extra_headers={"x-session-id": "raw"}
    )
    assert raw.headers["x-request-id"]
    assert raw.headers["x-headrace-worker"] == "inference-0"
    assert raw.headers["x-session-id"] == "raw"
    assert int(raw.headers["x-headrace-cached-tokens"]) >= 0
    assert raw.parse().choices[0].message.content is not None


def test_n_choices_all_finish(client):
    answer = client.chat.completions.create(model=MODEL, messages=QUESTION, max_tokens=8, n=3, temperature=1.0)
    assert [choice.index for choice in answer.choices] == [0, 1, 2]
    assert all(choice.finish_reason for choice in answer.choices)


def test_logprobs_cover_every_token(client):
    answer = client.chat.completions.create(
        model=MODEL, messages=QUESTION, max_tokens=6, logprobs=True, top_logprobs=3, temperature=0
    )
    content = answer.choices[0].logprobs.content
    assert len(content) == answer.usage.completion_tokens
    assert all(len(entry.top_logprobs) == 3 and entry.logprob <= 0 for entry in content)


def test_a_stop_string_ends_the_text_before_it(client):
    messages = [{"role": "user", "content": "Count: one, two, three, four, five, six."}]
    free = client.chat.completions.create(model=MODEL, messages=messages, max_tokens=40, temperature=0)
    text = free.choices[0].message.content
    stop = text[len(text) // 2 : len(text) // 2 + 3]
    cut = client.chat.completions.create(model=MODEL, messages=messages, max_tokens=40, temperature=0, stop=[stop])
    assert cut.choices[0].message.content == text[: text.index(stop)]
    assert cut.choices[0].finish_reason == "stop"


def test_a_seed_repeats_and_does_not_kill_the_engine(client):
    long = [{"role": "user", "content": "Tell a story of a river. " * 120}]
    answers = [
        client.chat.completions.create(model=MODEL, messages=long, max_tokens=12, seed=11, temperature=0.9)
        for _ in range(2)
    ]
    assert answers[0].choices[0].message.content == answers[1].choices[0].message.content


@pytest.mark.parametrize(
    ("change", "error", "code", "param"),
    [
        ({"model": "nothing-like-it"}, openai.NotFoundError, "model_not_found", "model"),
        ({"model": "auto"}, openai.NotFoundError, "model_not_found", "model"),
        ({"messages": []}, openai.BadRequestError, None, "messages"),
        ({"temperature": -1}, openai.BadRequestError, None, "temperature"),
        ({"max_tokens": 100_000}, openai.BadRequestError, "context_length_exceeded", None),
        ({"messages": [{"role": "wizard", "content": "hi"}]}, openai.BadRequestError, None, None),
    ],
)
def test_errors_are_openais(client, change, error, code, param):
    request = {"model": MODEL, "messages": QUESTION, "max_tokens": 4, **change}
    with pytest.raises(error) as caught:
        client.chat.completions.create(**request)
    body = caught.value.body
    assert set(body) == {"message", "type", "param", "code"}
    assert body["message"]
    if code:
        assert body["code"] == code
    if param:
        assert body["param"].startswith(param)


def test_images_are_refused_with_words(client):
    parts = [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]
    with pytest.raises(openai.BadRequestError, match="text"):
        client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": parts}])


def test_a_wrong_key_is_401(client):
    with pytest.raises(openai.AuthenticationError) as caught:
        client.with_options(api_key="sk-hr-wrong").chat.completions.create(model=MODEL, messages=QUESTION)
    assert caught.value.body["code"] == "invalid_api_key"
