"""Budgets of a tenant, a user or a key: at most one per duration."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from libs.clock import Clock
from libs.errors import PlatformError, Reason
from services.gateway.domain.accounts.checks import check_budget
from services.gateway.domain.accounts.records import Budget, Key, Limits, Tenant, User
from services.gateway.domain.accounts.specs import anchored
from services.gateway.domain.turns import Principal
from services.gateway.usecases.accounts.changes import Changes, R

BudgetEdit = Callable[[Limits], tuple[Budget, ...]]


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose budget it is: a tenant, or its user or key of that id."""

    kind: type[Tenant | User | Key]
    tenant: str
    id: str


class Budgets:
    """Use cases on budgets. None of them asks whether the actor may: that is decided before."""

    def __init__(self, changes: Changes, clock: Clock) -> None:
        self._changes = changes
        self._clock = clock

    async def of(self, owner: Owner) -> tuple[Budget, ...]:
        """The owner's budgets. Raises NOT_FOUND."""
        return (await self._changes.get(owner.kind, owner.tenant, owner.id)).limits.budgets

    async def set(self, owner: Owner, budget: Budget, actor: Principal) -> tuple[Budget, ...]:
        """Sets the budget of that duration and returns all of the owner's.

        A budget that replaces another keeps its windows and with them what was spent in the current one. An anchor of
        0 means now. Raises NOT_FOUND, INVALID_REQUEST, CONFLICT.
        """
        check_budget(budget)
        at = self._clock.unix()

        def with_it(limits: Limits) -> tuple[Budget, ...]:
            others = [each for each in limits.budgets if each.duration != budget.duration]
            return (*others, anchored(budget, limits, at))

        return await self._edit(owner, actor, with_it)

    async def clear(self, owner: Owner, duration: str, actor: Principal) -> tuple[Budget, ...]:
        """Takes the budget of that duration away and returns those left. Raises NOT_FOUND where there is none."""

        def without(limits: Limits) -> tuple[Budget, ...]:
            left = tuple(each for each in limits.budgets if each.duration != duration)
            if len(left) == len(limits.budgets):
                message = f"There is no budget of duration {duration[:20]!r} here. List the budgets to see which are."
                raise PlatformError(Reason.NOT_FOUND, message, started=False)
            return left

        return await self._edit(owner, actor, without)

    async def _edit(self, owner: Owner, actor: Principal, edit: BudgetEdit) -> tuple[Budget, ...]:
        def edited(record: R) -> R:
            limits = msgspec.structs.replace(record.limits, budgets=edit(record.limits))
            return msgspec.structs.replace(record, limits=limits)

        after = await self._changes.edit(owner.kind, owner.tenant, owner.id, actor, edited)
        return after.limits.budgets
