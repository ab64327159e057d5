from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.chat_template import ChatTemplate
from libs.chat_template.files import SpecialToken
from libs.chat_template.masking import SpecialSplitter
from libs.chat_template.outline import Outline, places
from libs.chat_template.outlines import Outlines
from libs.chat_template.sandbox import Limits
from libs.errors import PlatformError, Reason
from tests.unit.libs.chat_template.conftest import TEMPLATE

NOW = datetime(2026, 1, 2)  # noqa: DTZ001 - a template prints it as it is
MODEL = Path(__file__).parents[4] / ".headrace" / "models" / "smollm2-135m-instruct"
SPECIALS = [SpecialToken(t, i) for i, t in enumerate(("<|im_start|>", "<|im_end|>", "<s>", "<s>x", "<<", "ab"))]
TEMPLATES = (
    TEMPLATE,
    TEMPLATE.replace("{{ m['content'] }}", "{{ m['content'] ~ m.content }}"),
    (
        "{% for m in messages %}{% if loop.first and messages[0].role != 'system' %}<s>none<|im_end|>{% endif %}"
        "{{ '[' + m.role + ']' + m.content }}{% if loop.last and m.role == 'assistant' %}!{% endif %}{% endfor %}"
    ),
    "{{ messages[0].content }}{% for m in messages %}{{ m.content }}{{ m.content }}{% endfor %}",
    # Contents that meet beginnings and ends of control tokens.
    "{% for m in messages %}<|im_{{ m.content }}start|>{% endfor %}",
    "{% for m in messages %}<s>{{ m.content }}x{% endfor %}",
    "{% for m in messages %}{{ m.content }}<{{ m.content }}<{% endfor %}",
    "{% for m in messages %}a{{ m.content }}{{ m.content }}b{% endfor %}",
)
PIECES = [
    "<|im_start|>",
    "<|im_end|>",
    "<s>",
    "<s",
    "<",
    "<|im_",
    "|>",
    "im_end",
    "s>",
    "x",
    "a",
    "b",
    " ",
    "\n",
    "%s",
    "{}",
]
CONTENTS = st.lists(st.sampled_from(PIECES) | st.text(max_size=3), max_size=5).map("".join)
MESSAGES = st.lists(st.tuples(st.sampled_from(["system", "user", "assistant"]), CONTENTS), min_size=1, max_size=5)


def messages_of(pairs):
    return [{"role": role, "content": content} for role, content in pairs]


def both(source, splitter=None):
    """A template with and without outlines."""
    splitter = splitter or SpecialSplitter(SPECIALS)
    quick, full = (ChatTemplate({"default": source}, {"bos_token": "<s>"}, splitter) for _ in range(2))
    full._outlines = None
    return quick, full


@pytest.mark.parametrize("source", TEMPLATES)
@settings(max_examples=150, deadline=None)
@given(conversations=st.lists(MESSAGES, min_size=1, max_size=3), prompt=st.booleans())
def test_a_filled_outline_is_what_rendering_gives(source, conversations, prompt):
    quick, full = both(source)
    assert quick._outlines
    for messages in map(messages_of, conversations):
        rendered = [t.render(messages, add_generation_prompt=prompt, now=NOW).runs for t in (quick, full)]
        assert rendered[0] == rendered[1]


@pytest.mark.skipif(not MODEL.exists(), reason="needs the bundled model's tokenizer")
def test_the_same_with_the_bundled_models_template():
    names = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")
    files = {name: (MODEL / name).read_bytes() for name in names if (MODEL / name).exists()}
    quick, full = ChatTemplate.load(files), ChatTemplate.load(files)
    assert quick._outlines
    full._outlines = None

    @settings(max_examples=200, deadline=None)
    @given(pairs=MESSAGES, prompt=st.booleans())
    def check(pairs, prompt):
        messages = messages_of(pairs)
        rendered = [t.render(messages, add_generation_prompt=prompt, now=NOW).runs for t in (quick, full)]
        assert rendered[0] == rendered[1]

    check()


def test_without_the_analysis_prompts_would_differ(monkeypatch):
    source = "{% for m in messages %}{% if m.content == 'yes' %}secret{% endif %}{{ m.content }}{% endfor %}"
    message = [{"role": "user", "content": "yes"}]
    quick, full = both(source)
    assert quick.render(message, now=NOW) == full.render(message, now=NOW)
    monkeypatch.setattr("libs.chat_template.template.content_uses", lambda *_: 1)
    assert both(source)[0].render(message, now=NOW) != full.render(message, now=NOW)


def test_without_the_rule_for_beginnings_prompts_would_differ(monkeypatch):
    source = "{% for m in messages %}<s{{ m.content }}>{% endfor %}"
    message = [{"role": "user", "content": ""}]
    quick, full = both(source)
    assert quick.render(message, now=NOW) == full.render(message, now=NOW)
    monkeypatch.setattr(SpecialSplitter, "ends_in_prefix", lambda *_: 0)
    assert quick.render(message, now=NOW) == full.render(message, now=NOW)
    assert both(source)[0].render(message, now=NOW) != full.render(message, now=NOW)


def test_tokens_that_swallow_white_space_have_no_outline():
    splitter = SpecialSplitter([SpecialToken("<s>", 1, rstrip=True)])
    assert Outline.of(f"<s>{places(1, splitter.nonce)[0]}", splitter) is None
    quick, full = both("<s>{% for m in messages %}{{ m.content }}{% endfor %}", splitter)
    message = [{"role": "user", "content": "  x"}]
    assert quick.render(message, now=NOW) == full.render(message, now=NOW)


def test_a_control_token_inside_a_mark_leaves_no_outline():
    splitter = SpecialSplitter([SpecialToken("0", 1)], random_hex=lambda _n: "abc")
    assert Outline.of(f"x{places(1, 'abc')[0]}", splitter) is None


class Counted:
    """Outlines over a template that writes each message on its own line."""

    def __init__(self, chars_max=1000):
        self.made = []
        self.outlines = Outlines(self._text, SpecialSplitter(SPECIALS), chars_max)

    def _text(self, messages, prompt):
        self.made.append([m["role"] for m in messages])
        if messages[0]["role"] == "developer":
            raise PlatformError(Reason.INVALID_REQUEST, "no developers here", started=False)
        return "".join(f"{m['role']}: {m['content']}\n" for m in messages)

    def text(self, messages):
        rendered = self.outlines.rendered(messages, add_generation_prompt=True)
        return rendered and rendered.text


def test_one_outline_serves_all_prompts_of_its_roles_and_holds_no_text():
    counted = Counted()
    for content in ("alpha", "beta"):
        assert counted.text([{"role": "user", "content": content}]) == f"user: {content}\n"
    assert counted.made == [["user"]]
    (outline,) = counted.outlines._outlines.values()
    assert "alpha" not in repr((outline._runs, outline._fills))


@pytest.mark.parametrize(
    "message",
    [
        {"role": "user", "content": "x", "name": "n"},
        {"role": "user", "content": [{"type": "text", "text": "x"}]},
        {"role": "assistant", "content": None},
        {"role": "assistant", "tool_calls": []},
        {"role": "tool", "content": "x"},
        {"role": "nobody", "content": "x"},
        {"role": "developer", "content": "x"},
        {"role": "user", "content": "x" * 1001},
        {},
    ],
)
def test_what_only_rendering_can_tell_has_no_outline(message):
    counted = Counted()
    assert counted.text([message]) is None
    assert not counted.outlines._outlines


def test_outlines_are_bounded(monkeypatch):
    monkeypatch.setattr("libs.chat_template.outlines._MESSAGES_KEPT_MAX", 20)
    counted = Counted()
    for count in range(1, 15):
        assert counted.text([{"role": "user", "content": "x"}] * count) == "user: x\n" * count
        assert sum(len(roles) + 1 for _, roles in counted.outlines._outlines) <= 20
    assert counted.text([{"role": "user", "content": "x"}] * 257) is None


def test_a_prompt_beyond_the_size_limit_is_still_refused():
    limits = Limits(chars_max=1000)
    template = ChatTemplate({"default": TEMPLATE}, {}, SpecialSplitter(SPECIALS), limits)
    for size in (400, 600, 2000):
        message = [{"role": "user", "content": "x" * size}]
        if size < 1000:
            assert "x" * size in template.render(message, now=NOW).text
            continue
        with pytest.raises(PlatformError, match="size limit"):
            template.render(message, now=NOW)
