from __future__ import annotations

import itertools

import pytest
from jinja2 import TemplateError
from jinja2.exceptions import SecurityError

from libs.chat_template.sandbox import LimitError, Limits, Sandbox

LIMITS = Limits(steps_max=1000, seconds_max=1.0, chars_max=10_000)


def run_template(text, limits=LIMITS, clock=lambda: 0.0, **values):
    sandbox = Sandbox(limits, clock)
    template = sandbox.from_string(text)
    sandbox.begin()
    return template.render(values)


def test_loops_and_their_variables_work():
    text = "{% for x in xs %}{{ loop.index }}{{ x }}{% if loop.last %}.{% endif %}{% else %}none{% endfor %}"
    assert run_template(text, xs=["a", "b"]) == "1a2b."
    assert run_template(text, xs=[]) == "none"


def test_break_and_namespace_work():
    text = "{% set ns = namespace(n=0) %}{% for x in xs %}{% set ns.n = ns.n + x %}{% break %}{% endfor %}{{ ns.n }}"
    assert run_template(text, xs=[3, 4]) == "3"


@pytest.mark.parametrize(
    "text",
    [
        "{% for a in xs %}{% for b in xs %}{% for c in xs %}{% endfor %}{% endfor %}{% endfor %}",
        "{% set ns = namespace(s='aaaaaaaa') %}{% for a in xs %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}",
        "{% set ns = namespace(s='aaaaaaaa') %}{% for a in xs %}{% set ns.s = ns.s + ns.s %}{% endfor %}",
        "{{ 'a' * 1000000000 }}",
        "{{ 1000000000 * [1] }}",
        "{{ 9 ** 9 ** 9 }}",
        "{{ '%1000000000d' % 1 }}",
        "{{ 'a'.ljust(1000000000) }}",
        "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    ],
)
def test_what_swells_or_never_ends_is_stopped(text):
    with pytest.raises((LimitError, RecursionError)):
        run_template(text, xs=list(range(50)))


@pytest.mark.parametrize("joined", ["xs ~ 'b'", "xs + 'b'", "'b'.join([xs, ''])"])
def test_a_value_may_grow_to_its_limit_and_no_further(joined):
    limits = LIMITS._replace(chars_max=8)
    assert len(run_template(f"{{{{ {joined} }}}}", limits, xs="a" * 7)) == 8
    with pytest.raises(LimitError, match="beyond the size limit"):
        run_template(f"{{{{ {joined} }}}}", limits, xs="a" * 8)


def test_the_same_within_the_limits_passes():
    assert run_template("{{ 'ab' * 3 }}{{ [1] + [2] }}{{ 'a' ~ 1 }}{{ 7 % 4 }}") == "ababab[1, 2]a13"


def test_time_is_bounded():
    ticks = itertools.count(0, 0.1)
    with pytest.raises(LimitError, match="too long"):
        run_template("{% for a in range(100) %}{{ range(1) }}{% endfor %}", clock=lambda: next(ticks))


def test_python_is_out_of_reach():
    with pytest.raises(SecurityError):
        run_template("{{ ''.__class__.__mro__ }}")
    with pytest.raises(SecurityError):
        run_template("{{ xs.append(1) }}", xs=[])


def test_raise_exception_reaches_the_caller():
    with pytest.raises(TemplateError, match="no"):
        run_template("{{ raise_exception('no') }}")
