"""One platform with one real vLLM worker for all tests of this folder, and an unmodified openai client."""

import json

import openai
import pytest

from loadtests.common.stack import MODEL, Layout, Stack


@pytest.fixture(scope="session")
def stack():
    if not MODEL.exists():
        pytest.skip("the bundled model is not there; `make model` fetches it")
    layout = Layout(
        base_port=18400,
        engine="vllm",
        gateway_core="0,1",
        inner_core="0,1",
        worker_core="0,1",
        worker_args=["--vllm.window_tokens", "2048", "--vllm.max_num_seqs", "8"],
    )
    with Stack(layout) as running:
        yield running


@pytest.fixture(scope="session")
def client(stack):
    with openai.OpenAI(base_url=f"{stack.url}/v1", api_key=stack.key, max_retries=0, timeout=60) as made:
        yield made


@pytest.fixture
def weather_tool():
    schema = {
        "type": "object",
        "properties": {"city": {"type": "string"}, "unit": {"type": "string", "enum": ["c", "f"]}},
        "required": ["city", "unit"],
        "additionalProperties": False,
    }
    function = {"name": "get_weather", "description": "The weather of a city.", "parameters": schema}
    return {"type": "function", "function": function}


@pytest.fixture
def check_weather_arguments():
    def check(arguments):
        value = json.loads(arguments)
        assert set(value) == {"city", "unit"}
        assert isinstance(value["city"], str)
        assert value["unit"] in {"c", "f"}

    return check
