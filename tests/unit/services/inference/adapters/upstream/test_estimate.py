from __future__ import annotations

from services.inference.adapters.upstream.estimate import Estimate


def test_estimates_grow_with_messages_and_tools_and_name_no_ids():
    short = [{"role": "user", "content": "hi"}]
    long = [{"role": "user", "content": "hi " * 400}]
    text, ids, tokens = Estimate().count(short, [])
    assert (text, ids) == ("user: hi", [])
    assert tokens < Estimate().count(long, [])[2]
    assert tokens < Estimate().count(short, [{"type": "function", "function": {"name": "f"}}])[2]
    assert Estimate().estimated
