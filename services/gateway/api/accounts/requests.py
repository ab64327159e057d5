"""What may be sent to `/v1/admin`. A field that is not here is refused: nothing is set in passing."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import UNSET
from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictFloat, StrictInt, StrictStr

from services.gateway.api.accounts.amounts import Dollars
from services.gateway.domain.accounts.records import TOTAL, Budget, Price, RecordPolicy, Role
from services.gateway.domain.accounts.specs import KeySpec, LimitsSpec, TenantSpec, UserSpec

S = TypeVar("S", bound=msgspec.Struct)
Time = Annotated[StrictFloat | StrictInt, Field(description="Unix seconds")]
Tags = Annotated[dict[StrictStr, StrictStr], Field(description="Tags; they flow into usage")]


class Given(BaseModel):
    """Unknown fields are refused, and values are taken as what they are: "5" is no number."""

    model_config = ConfigDict(extra="forbid")


class BudgetIn(Given):
    """A ceiling per window. Passing `soft_usd` is an event, not a refusal."""

    duration: StrictStr = Field(default=TOTAL, description='"30s", "30m", "30h", "30d", or "total"')
    limit_usd: Dollars
    soft_usd: Dollars | None = None

    def budget(self) -> Budget:
        """As a record; its windows begin when it is stored."""
        return Budget(
            limit_nanodollars=self.limit_usd, duration=self.duration, soft_nanodollars=self.soft_usd, anchor_at=0.0
        )


class LimitsIn(Given):
    """Limits of one scope. null takes a limit away; what is not said is left as it is."""

    requests_per_minute: StrictInt | None = None
    tokens_per_minute: StrictInt | None = None
    parallel_requests: StrictInt | None = None
    budgets: list[BudgetIn] = []
    session_budget_usd: Dollars | None = None
    request_budget_usd: Dollars | None = None
    models: list[StrictStr] = Field(
        default=[], description="Models that may be named; empty = all that the levels above allow"
    )

    def spec(self) -> LimitsSpec:
        """What was said."""
        told: dict[str, Any] = {
            name: getattr(self, name)
            for name in ("requests_per_minute", "tokens_per_minute", "parallel_requests")
            if name in self.model_fields_set
        }
        if "budgets" in self.model_fields_set:
            told["budgets"] = tuple(budget.budget() for budget in self.budgets)
        if "models" in self.model_fields_set:
            told["models"] = tuple(self.models)
        for name in ("session_budget", "request_budget"):
            if f"{name}_usd" in self.model_fields_set:
                told[f"{name}_nanodollars"] = getattr(self, f"{name}_usd")
        return LimitsSpec(**told)


class RecordPolicyIn(Given):
    """What is kept of a tenant's requests, and for how many days."""

    enabled: StrictBool = True
    store_prompts: StrictBool = True
    retention_days: StrictInt = 30


class TenantChange(Given):
    """What is not said is left as it is."""

    name: StrictStr = ""
    limits: LimitsIn = LimitsIn()
    metadata: Tags = {}
    records: RecordPolicyIn = RecordPolicyIn()
    reservations_max_usd: Dollars | None = Field(
        default=None, description="What jobs may reserve in all; null = no such bound"
    )
    priority: StrictInt = Field(default=0, description="Orders waiting calls, -8 to 8; each step doubles a share")

    def spec(self) -> TenantSpec:
        """What was said."""
        told = _told(self, "name", "metadata", "priority")
        if "limits" in self.model_fields_set:
            told["limits"] = self.limits.spec()
        if "records" in self.model_fields_set:
            told["records"] = RecordPolicy(**self.records.model_dump())
        if "reservations_max_usd" in self.model_fields_set:
            told["reservations_max_nanodollars"] = self.reservations_max_usd
        return TenantSpec(**told)


class TenantNew(TenantChange):
    """A tenant to be made."""

    id: StrictStr


class UserChange(Given):
    """What is not said is left as it is."""

    name: StrictStr = ""
    role: Role = Role.MEMBER
    limits: LimitsIn = LimitsIn()
    metadata: Tags = {}

    def spec(self) -> UserSpec:
        """What was said."""
        told = _told(self, "name", "role", "metadata")
        if "limits" in self.model_fields_set:
            told["limits"] = self.limits.spec()
        return UserSpec(**told)


class UserNew(UserChange):
    """A user to be made; without `tenant` in the caller's own."""

    id: StrictStr
    tenant: StrictStr = ""


class KeyChange(Given):
    """What is not said is left as it is."""

    name: StrictStr = ""
    role: Role = Role.SERVICE
    limits: LimitsIn = LimitsIn()
    metadata: Tags = {}
    expires_at: Time | None = Field(default=None, description="null = never")
    cached_answers: StrictBool = Field(
        default=False, description="A stored answer to the same request will do where no worker can answer"
    )

    def spec(self) -> KeySpec:
        """What was said."""
        told = _told(self, "name", "role", "metadata", "expires_at", "cached_answers")
        if "limits" in self.model_fields_set:
            told["limits"] = self.limits.spec()
        return KeySpec(**told)


class KeyNew(KeyChange):
    """A key to be made. Without `tenant` and `user` it is the caller's tenant's, and a member's own user's."""

    tenant: StrictStr = ""
    user: StrictStr = ""


class KeyRotation(Given):
    """For `grace_seconds` the old text is accepted, too; 0 = not at all."""

    grace_seconds: StrictFloat | StrictInt = 0.0


class OwnerIn(Given):
    """A key, else a user, else a tenant; nothing named = the caller's tenant."""

    tenant: StrictStr = ""
    user: StrictStr = ""
    key: StrictStr = ""


class BudgetSet(OwnerIn, BudgetIn):
    """Sets the budget of that duration and leaves the others."""


class PriceIn(Given):
    """Dollars per million tokens. `cached_usd` is for prompt tokens that were found cached."""

    input_usd: Dollars
    cached_usd: Dollars
    output_usd: Dollars

    def price(self, model: str) -> Price:
        """As a record."""
        return Price(
            model=model,
            input_nanodollars=self.input_usd,
            cached_nanodollars=self.cached_usd,
            output_nanodollars=self.output_usd,
        )


def _told(given: Given, *names: str) -> dict[str, Any]:
    return {name: getattr(given, name) if name in given.model_fields_set else UNSET for name in names}
