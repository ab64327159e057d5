import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.inference.domain.output.json_scan import ValueEnd

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(st.text(), values) | st.lists(values), st.text(), st.lists(st.integers(1, 9), max_size=30))
def test_the_end_is_found_wherever_the_text_is_cut(value, rest, sizes):
    text = json.dumps(value, ensure_ascii=False)
    whole, scan, place = text + rest, ValueEnd(), 0
    for size in [*sizes, len(whole)]:
        used = scan.feed(whole[place : place + size])
        if used is not None:
            assert place + used == len(text)
            return
        place += size
    raise AssertionError("no end")


@pytest.mark.parametrize("text", ["{", '{"a": "}', '{"a": "\\"}', "[[]", '{"a": {}'])
def test_what_is_not_closed_has_no_end(text):
    assert ValueEnd().feed(text) is None
