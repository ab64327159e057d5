from hypothesis import given
from hypothesis import strategies as st

from libs.kafka import Seen


@given(st.lists(st.binary(max_size=4)))
def test_the_first_of_each_is_the_first(identities):
    with Seen() as seen:
        known = set()
        for identity in identities:
            assert seen.first(identity) is (identity not in known)
            known.add(identity)


def test_two_do_not_share():
    with Seen() as one, Seen() as two:
        assert one.first(b"a")
        assert two.first(b"a")
