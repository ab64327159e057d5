"""What holds for any session, whatever its turns."""

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from services.router.domain.policy.session import NOTHING
from services.router.domain.policy.stay import needs_wish, settle
from services.router.domain.tiers import RANK
from tests.unit.services.router.domain.policy.world import RULE, TIERS, step, unsure, wants

TIER = st.sampled_from(["small", "large", "frontier"])
CONTEXT = st.integers(0, 2_000_000)


class Session(RuleBasedStateMachine):
    """A session whose user speaks, whose agent works and stalls, and whose calls are repeated."""

    def __init__(self):
        super().__init__()
        self.route = NOTHING
        self.turns = self.depth = 0
        self.wished_lower = 0
        self.belongs = None

    def settle(self, wish, turn):
        before = self.route
        found = settle(before, wish, turn, TIERS, RULE)
        assert found == settle(before, wish, turn, TIERS, RULE)
        assert found.route.tier == found.tier
        assert found.why
        self.route = found.route
        return before, found

    @rule(tier=TIER, context=CONTEXT, sure=st.booleans())
    def user_speaks(self, tier, context, sure):
        self.turns, self.depth = self.turns + 1, 0
        wish = wants(tier) if sure else unsure(tier)
        before, found = self.settle(wish, step(self.turns, turns=self.turns, context=context))
        assert found.route.home is None
        if self.belongs is None:
            assert found.tier == tier
        elif sure and RANK[tier] > RANK[self.belongs]:
            assert found.tier == tier, "up at once"
        elif not sure or tier == self.belongs:
            assert found.tier == self.belongs, "stays, or comes back from a lift"
        self.count(tier, found, sure=sure)
        if self.belongs is not None and RANK[found.tier] < RANK[self.belongs]:
            assert self.was_lower >= RULE.cooldown_turns, "down slowly"
            assert found.switch_cost > 0 or context == 0
            assert before.home is None, "never straight from a lift"
        self.belongs = found.tier

    def count(self, tier, found, *, sure):
        """User turns in a row that wanted less, unsure ones left out; reset by a move."""
        if sure and self.belongs is not None:
            self.wished_lower = self.wished_lower + 1 if RANK[tier] < RANK[self.belongs] else 0
        self.was_lower = self.wished_lower
        if found.tier != self.belongs:
            self.wished_lower = 0

    @precondition(lambda self: self.belongs is not None)
    @rule(context=CONTEXT, repeats=st.integers(0, 6), errors=st.integers(0, 6))
    def agent_works(self, context, repeats, errors):
        self.depth += 1
        turn = step(self.turns, turns=self.turns, depth=self.depth, repeats=repeats, errors=errors, context=context)
        assert not needs_wish(self.route, turn)
        before, found = self.settle(None, turn)
        assert RANK[found.tier] >= RANK[before.tier], "no way down inside a tool loop"
        assert RANK[found.tier] <= RANK[before.tier] + 1
        if repeats < RULE.stall_repeats and errors < RULE.stall_errors:
            assert found.tier == before.tier
        elif before.home is None and before.tier != "frontier":
            assert found.tier != before.tier, "a stalled agent moves at once"

    @precondition(lambda self: self.belongs is not None)
    @rule(tier=TIER, context=CONTEXT)
    def the_call_is_repeated(self, tier, context):
        before, found = self.settle(wants(tier), step(self.turns, turns=self.turns, context=context))
        if RANK[tier] <= RANK[before.tier]:
            assert found.route == before
        else:
            self.belongs, self.wished_lower = found.tier, 0


def test_any_session_goes_up_fast_down_slowly_and_never_down_in_a_loop():
    run_state_machine_as_test(Session)
