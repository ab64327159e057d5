from __future__ import annotations

from datetime import datetime

import pytest

from libs.chat_template import ChatTemplate
from libs.errors import PlatformError, Reason

NOW = datetime(2026, 1, 2)  # noqa: DTZ001 - a template prints it as it is


def with_template(files, text):
    return ChatTemplate.load({**files, "chat_template.jinja": text.encode()})


def test_renders_what_the_template_says(files):
    text = ChatTemplate.load(files).render([{"role": "user", "content": "hi"}], now=NOW).text
    assert text == "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"


def test_without_generation_prompt_it_ends_after_the_last_message(files):
    rendered = ChatTemplate.load(files).render(
        [{"role": "user", "content": "hi"}], add_generation_prompt=False, now=NOW
    )
    assert rendered.text.endswith("hi<|im_end|>\n")


def test_named_tokens_and_the_frozen_date_reach_the_template(files):
    template = with_template(files, "{{ bos_token }}{{ strftime_now('%Y-%m-%d') }}{{ eos_token }}")
    rendered = template.render([{"role": "user", "content": "x"}], now=NOW)
    assert rendered.text == "<s>2026-01-02<|im_end|>"
    assert [run.special is None for run in rendered.runs] == [False, True, False]


def test_generation_tags_render_as_their_body(files):
    template = with_template(files, "a{% generation %}b{% endgeneration %}c")
    assert template.render([], now=NOW).text == "abc"


def test_tojson_neither_escapes_html_nor_unicode(files):
    template = with_template(files, "{{ messages[0].content | tojson }}")
    assert template.render([{"role": "user", "content": "é'&"}], now=NOW).text == '"é\'&"'


def test_masked_text_survives_ascii_json(files):
    template = with_template(files, "{{ messages[0].content | tojson(ensure_ascii=true) }}")
    assert template.render([{"role": "user", "content": "<s>"}], now=NOW).text == '"<s>"'


def test_a_templates_own_refusal_is_the_clients_error(files):
    template = with_template(files, "{{ raise_exception('roles must alternate') }}")
    with pytest.raises(PlatformError) as caught:
        template.render([{"role": "user", "content": "x"}], now=NOW)
    assert caught.value.reason is Reason.INVALID_REQUEST
    assert "roles must alternate" in caught.value.message
    assert not caught.value.started


@pytest.mark.parametrize("use", ["messages[0].content + 1", "messages[0].content.format()"])
def test_a_failing_template_is_an_error_without_prompt_text(files, use):
    template = with_template(files, f"{{{{ {use} }}}}")
    with pytest.raises(PlatformError) as caught:
        template.render([{"role": "user", "content": "{secret}"}], now=NOW)
    assert "secret" not in caught.value.message


def test_templates_from_the_tokenizer_config_pick_the_one_for_tools(files):
    plain, tools = b'{"name": "default", "template": "plain"}', b'{"name": "tool_use", "template": "{{ tools }}"}'
    config = b'{"chat_template": [' + plain + b"," + tools + b"]}"
    kept = {"tokenizer.json": files["tokenizer.json"], "tokenizer_config.json": config}
    template = ChatTemplate.load(kept)
    assert template.handles_tools
    assert template.render([], now=NOW).text == "plain"
    assert template.render([], [{"type": "function"}], now=NOW).text != "plain"


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        ({"tokenizer_config.json": b"{}"}, "tokenizer.json"),
        ({"tokenizer.json": b"{"}, "cannot be read"),
    ],
)
def test_a_broken_model_says_what_is_missing(broken, says):
    with pytest.raises(ValueError, match=says):
        ChatTemplate.load(broken)


def test_a_model_without_template_says_so(files):
    with pytest.raises(ValueError, match="no chat template"):
        ChatTemplate.load({"tokenizer.json": files["tokenizer.json"]})


def test_an_invalid_template_says_so(files):
    with pytest.raises(ValueError, match="no valid jinja"):
        with_template(files, "{% for %}")


def test_rendering_leaves_the_callers_messages_alone(files):
    messages = [{"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "f", "arguments": "{}"}}]}]
    before = repr(messages)
    ChatTemplate.load(files).render(messages, now=NOW)
    assert repr(messages) == before
