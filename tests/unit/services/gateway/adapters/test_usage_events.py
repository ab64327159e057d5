import pytest
from headrace.events.v1 import usage_pb2 as pb
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.adapters.usage_events import UnreadableEventError, entry_of, event_of
from services.gateway.domain.ledger.types import OutboxEntry, UsageMeta

text = st.text(st.characters(exclude_categories=("Cs",)), max_size=12)
small, amount = st.integers(0, 2**31), st.integers(-(2**53), 2**53)
metas = st.builds(UsageMeta, *[text] * 6, st.dictionaries(text, text, max_size=3), amount, amount, amount)
entries = st.builds(
    OutboxEntry,
    id=text,
    kind=st.sampled_from(["settled", "refunded", "expired", "corrected", "soft_budget", "account"]),
    request_id=text.filter(bool),
    sequence=st.integers(1, 1_000),
    at_us=amount,
    cost=amount,
    platform=amount,
    prompt_tokens=small,
    cached_tokens=small,
    completion_tokens=small,
    reasoning_tokens=small,
    meta=st.none() | metas,
    windows=st.dictionaries(text, st.dictionaries(text, amount, max_size=2), max_size=3),
    account=st.binary(max_size=20),
)


@given(text.filter(bool), entries)
def test_an_entry_comes_back_as_it_went(tenant, entry):
    assert entry_of(event_of(tenant, entry).SerializeToString()) == (tenant, entry)


@pytest.mark.parametrize(
    "value",
    [
        b"\xff\xff",
        b"",
        pb.LedgerEvent(tenant="t", request_id="r").SerializeToString(),
        pb.LedgerEvent(tenant="t", request_id="r", kind=99).SerializeToString(),
        pb.LedgerEvent(request_id="r", kind=1).SerializeToString(),
    ],
)
def test_what_is_not_understood_is_an_error_and_is_not_passed_over(value):
    with pytest.raises(UnreadableEventError):
        entry_of(value)
