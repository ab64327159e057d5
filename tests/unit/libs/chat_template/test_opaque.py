from __future__ import annotations

import pytest

from libs.chat_template.opaque import content_uses
from libs.chat_template.sandbox import Limits, Sandbox
from tests.unit.libs.chat_template.conftest import TEMPLATE

CONSTANTS = {"add_generation_prompt", "bos_token", "tools"}


def uses(text):
    return content_uses(Sandbox(Limits()).parse(text), CONSTANTS)


def in_loop(text):
    return "{% for m in messages %}" + text + "{% endfor %}"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (TEMPLATE, 1),
        (in_loop("{{ '<s>' + m.role + '\n' + m.content + '</s>' }}"), 1),
        (in_loop("{{ m['role'] ~ ': ' ~ m['content'] ~ eos }}").replace("eos", "bos_token"), 1),
        (in_loop("{% if loop.first and messages[0].role != 'system' %}x{% endif %}{{ m.content }}"), 1),
        (in_loop("{% if m.role == 'user' %}{{ m.content }}{% elif not loop.last %}{{ m.content }}{% endif %}"), 2),
        ("{{ bos_token }}{{ messages[0]['content'] }}{% if not tools or tools is none %}{% endif %}", 0),
        ("{{ bos_token }}{{ messages[0]['content'] }}{% if tools %}x{% endif %}", 1),
        (in_loop("{% if m.role in ['user'] %}{{ m.content }}{% endif %}"), 0),
        ("nothing of the messages", 0),
    ],
)
def test_templates_that_only_copy_contents_are_found(text, expected):
    assert uses(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        in_loop("{% if m.content %}x{% endif %}{{ m.content }}"),
        in_loop("{% if 'x' in m.content %}x{% endif %}{{ m.content }}"),
        in_loop("{{ 'a' if m.content == 'x' else 'b' }}{{ m.content }}"),
        in_loop("{{ m.content == 'x' }}{{ m.content }}"),
        in_loop("{{ m.content and 'x' }}{{ m.content }}"),
        in_loop("{{ not m.content }}{{ m.content }}"),
        in_loop("{{ m.content | trim }}{{ m.content }}"),
        in_loop("{{ (m.content ~ 'x') | length }}{{ m.content }}"),
        in_loop("{{ m.content.strip() }}{{ m.content }}"),
        in_loop("{{ m.content[0] }}{{ m.content }}"),
        in_loop("{{ m.content[1:] }}{{ m.content }}"),
        in_loop("{{ m.content * 2 }}{{ m.content }}"),
        in_loop("{{ m }}{{ m.content }}"),
        in_loop("{{ m | tojson }}{{ m.content }}"),
        in_loop("{{ m.name }}{{ m.content }}"),
        in_loop("{{ m.items() }}{{ m.content }}"),
        in_loop("{{ m[m.content] }}{{ m.content }}"),
        in_loop("{{ m[m.role] }}{{ m.content }}"),
        in_loop("{{ messages }}{{ m.content }}"),
        in_loop("{{ messages[loop.index0].content }}{{ m.content }}"),
        in_loop("{{ loop.previtem.content }}{{ m.content }}"),
        in_loop("{{ loop.changed(m.content) }}{{ m.content }}"),
        in_loop("{% if m.content %}{% break %}{% endif %}{{ m.content }}"),
        in_loop("{% set x = m.content %}{{ x }}{{ m.content }}"),
        in_loop("{% set m = 'x' %}{{ m.content }}"),
        in_loop("{% for c in m.content %}{{ c }}{% endfor %}{{ m.content }}"),
        in_loop("{% for n in messages %}{{ m.content }}{% endfor %}"),
        in_loop("{{ raise_exception(m.content) }}{{ m.content }}"),
        in_loop("{{ m.content }}{{ strftime_now('%Y') }}"),
        in_loop("{{ m.content }}{{ range(3) }}"),
        in_loop("{{ m.content }}{{ [m.content] }}"),
        "{% for m in messages[1:] %}{{ m.content }}{% endfor %}",
        "{% for m in messages if m.content %}{{ m.content }}{% endfor %}",
        "{% for m in messages | sort(attribute='content') %}{{ m.content }}{% endfor %}",
        "{% for m in messages recursive %}{{ m.content }}{% endfor %}",
        "{% for m in messages %}{{ m.content }}{% else %}x{% endfor %}",
        "{% for k, v in messages %}{{ k.content }}{% endfor %}",
        "{% for messages in messages %}{{ messages.content }}{% endfor %}",
        "{% for loop in messages %}{{ loop.content }}{% endfor %}",
        "{% for tools in messages %}{{ tools.content }}{% endfor %}",
        "{% for m in messages %}{{ m.content }}{% endfor %}{{ m.content }}",
        "{% macro f(x) %}{{ x }}{% endmacro %}" + in_loop("{{ f(m.content) }}{{ m.content }}"),
        "{% set messages = [] %}" + in_loop("{{ m.content }}"),
        "{% set x %}" + in_loop("{{ m.content }}") + "{% endset %}{{ x | length }}",
        "{% filter upper %}" + in_loop("{{ m.content }}") + "{% endfilter %}",
        "{{ messages[-1].content }}" + in_loop("{{ m.content }}{{ unknown }}"),
    ],
)
def test_templates_that_may_do_more_are_refused(text):
    assert uses(text) == 0
