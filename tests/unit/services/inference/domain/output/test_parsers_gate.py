import pytest

from services.inference.domain.output.parsers_gate import ToolGate


def _gate(*, parallel=True):
    return ToolGate(lambda number: f"call_{number}", {"now", "weather"}, parallel=parallel)


def _all(gate, *pieces):
    return [(p.index, p.id, p.name, p.arguments) for piece in pieces for p in gate.piece(*piece)]


def test_a_call_passes_when_it_is_whole():
    gate = _gate()
    assert _all(gate, (0, "weather", ""), (0, "", '{"city": "Pa')) == []
    assert _all(gate, (0, "", 'ris"}')) == [(0, "call_0", "weather", '{"city": "Paris"}')]
    assert gate.passed == 1


def test_what_follows_the_object_is_dropped():
    assert _all(_gate(), (0, "now", " {}}, junk"), (0, "", "more")) == [(0, "call_0", "now", "{}")]


def test_a_name_may_come_after_its_arguments():
    assert _all(_gate(), (0, "", "{}"), (0, "now", "")) == [(0, "call_0", "now", "{}")]


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("evil", "{}"),
        ("weather", '{"city": Paris}'),
        ("weather", '{"city": NaN}'),
        ("weather", "[]"),
        ("weather", '"{}"'),
        ("weather", "null"),
        ("weather", '{"city": "Paris"'),
        ("weather", ""),
        ("", "{}"),
        ("weather", '{"a":' * 100_000 + "1" + "}" * 100_000),
    ],
)
def test_what_is_no_call_never_passes_and_uses_up_no_number(name, arguments):
    gate = _gate()
    assert _all(gate, (0, name, arguments)) == []
    assert gate.passed == 0
    assert _all(gate, (1, "now", "{}")) == [(0, "call_0", "now", "{}")]


def test_without_parallel_calls_one_passes():
    assert _all(_gate(parallel=False), (0, "now", "{}"), (1, "now", "{}")) == [(0, "call_0", "now", "{}")]
