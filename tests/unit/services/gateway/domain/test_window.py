from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.errors import PlatformError, Reason
from services.gateway.domain.window import answer_tokens


@given(prompt=st.integers(0, 200), wanted=st.none() | st.integers(1, 200), cap=st.integers(1, 200))
def test_prompt_and_answer_always_fit(prompt, wanted, cap):
    if prompt + (wanted or 1) > 100:
        with pytest.raises(PlatformError) as caught:
            answer_tokens(prompt, 100, wanted, cap)
        assert caught.value.reason is Reason.CONTEXT_LENGTH_EXCEEDED
        return
    allowed = answer_tokens(prompt, 100, wanted, cap)
    assert allowed >= 1
    assert prompt + allowed <= 100
    assert allowed == (wanted if wanted is not None else min(cap, 100 - prompt))


@pytest.mark.parametrize(("prompt", "wanted"), [(100, None), (99, 2)])
def test_the_words_are_openais(prompt, wanted):
    with pytest.raises(PlatformError, match=r"This model's maximum context length is 100 tokens\. However, you"):
        answer_tokens(prompt, 100, wanted, 10)
    assert answer_tokens(99, 100, wanted and 1, 10) == 1
