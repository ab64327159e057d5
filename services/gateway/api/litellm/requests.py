"""What LiteLLM's scripts send. Unknown fields are ignored; those that would bound or widen something are refused."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import UNSET
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictBool, StrictInt, StrictStr

from libs.errors import PlatformError, Reason
from services.gateway.api.accounts.amounts import Dollars
from services.gateway.api.litellm.amounts import duration_of
from services.gateway.domain.accounts.records import TOTAL, Budget, Limits
from services.gateway.domain.accounts.specs import LimitsSpec

# LiteLLM keeps any JSON as metadata; here tags are text, and what is not is kept as its JSON.
Json = dict[str, Any]
# Fields of LiteLLM's that bound or widen what a key may do, and are not honoured here. Their empty values say nothing.
_REFUSED = {
    "model_max_budget": "Budgets here are of keys, users and tenants: use max_budget.",
    "budget_fallbacks": "Leave it out.",
    "budget_id": "Give the budget itself: max_budget and budget_duration.",
    "tpd_limit": "Use tpm_limit or max_budget.",
    "model_rpm_limit": "Use rpm_limit.",
    "model_tpm_limit": "Use tpm_limit.",
    "permissions": "Leave it out.",
    "allowed_routes": "Roles bound what a key may do; see docs/admin-api.md.",
    "object_permission": "Leave it out.",
    "team_member_budget": "Set the budget of each user.",
    "temp_budget_increase": "Set max_budget.",
    "spend": "What was spent is the ledger's to say and cannot be set.",
    "new_master_key": "Admin keys are rotated as all others.",
    "new_key": "Keys are made here: take the one in the answer.",
    "auto_rotate": "Call /key/regenerate.",
    "organization_id": "There are no organizations above teams.",
    "project_id": "There are no projects; use metadata.",
    "enforced_params": "Leave it out.",
    "guardrails": "Leave it out.",
}


def _text(given: Any) -> Any:
    return None if given == "" else given


Name = Annotated[StrictStr | None, BeforeValidator(_text)]
Amount = Annotated[Dollars | None, BeforeValidator(_text)]


class Window(BaseModel):
    """One of several budgets at once."""

    budget_duration: StrictStr
    max_budget: Dollars


class Sent(BaseModel):
    """Fields that keys, teams and users share."""

    model_config = ConfigDict(extra="allow")

    models: list[StrictStr] | None = None
    max_budget: Amount = None
    soft_budget: Amount = None
    budget_duration: Name = None
    budget_limits: list[Window] | None = None
    rpm_limit: StrictInt | None = None
    tpm_limit: StrictInt | None = None
    max_parallel_requests: StrictInt | None = None
    metadata: Json | None = None
    tags: list[StrictStr] | None = None
    blocked: StrictBool | None = None

    def check(self) -> None:
        """Raises UNSUPPORTED_PARAMETER for a field that would be a lie to take."""
        for name, value in (self.model_extra or {}).items():
            if name in _REFUSED and value not in (None, "", 0, False, [], {}):
                message = f"'{name}' is not supported here. {_REFUSED[name]}"
                raise PlatformError(Reason.UNSUPPORTED_PARAMETER, message, started=False, param=name)

    def limits(self, before: Limits | None = None) -> LimitsSpec:
        """What is said of limits; of budgets only where something is said of them."""
        self.check()
        told: dict[str, Any] = {}
        for theirs, ours in _BOUNDS.items():
            if theirs in self.model_fields_set:
                told[ours] = getattr(self, theirs)
        if "models" in self.model_fields_set and self.models is not None:
            told["models"] = tuple(name for name in self.models if name not in _EVERY_MODEL)
        if self.model_fields_set & _BUDGETS:
            told["budgets"] = self._budgets(before or Limits())
        return LimitsSpec(**told)

    def told_metadata(self) -> Any:
        """Tags; UNSET where nothing is said."""
        if self.metadata is None and self.tags is None:
            return UNSET
        named = {name: _tag(value) for name, value in (self.metadata or {}).items()}
        return {**named, **dict.fromkeys(self.tags or (), "true")}

    def _budgets(self, before: Limits) -> tuple[Budget, ...]:
        """LiteLLM has one budget and maybe windows beside it. What is not said of the one stays as it was."""
        main = next(iter(before.budgets), None)
        said = self.model_fields_set
        limit, soft, duration = self.max_budget, self.soft_budget, self._duration()
        if main is not None:
            limit = limit if "max_budget" in said else main.limit_nanodollars
            soft = soft if "soft_budget" in said else main.soft_nanodollars
            duration = duration if "budget_duration" in said else main.duration
        if limit is None and self.soft_budget is not None:
            raise _soft_alone()
        windows = self._windows() if "budget_limits" in said else before.budgets[1:]
        if limit is None:
            return tuple(windows)
        if soft is not None and "soft_budget" not in said:
            # A lower ceiling takes its warning with it.
            soft = min(soft, limit)
        first = Budget(limit_nanodollars=limit, duration=duration, soft_nanodollars=soft)
        return (first, *(window for window in windows if window.duration != duration))

    def _windows(self) -> list[Budget]:
        return [
            Budget(limit_nanodollars=each.max_budget, duration=duration_of(each.budget_duration, "budget_limits"))
            for each in self.budget_limits or ()
        ]

    def _duration(self) -> str:
        return duration_of(self.budget_duration, "budget_duration") if self.budget_duration else TOTAL


class KeySent(Sent):
    """/key/generate, and what /key/update and /key/regenerate share with it."""

    key_alias: Name = None
    team_id: Name = None
    user_id: Name = None
    duration: Name = None


class KeyGenerate(KeySent):
    """`key`, a text of the caller's own choice, is refused: texts are made here."""

    key: Name = None


class KeyUpdate(KeySent):
    """`key` is an id, or the key's text; without it `key_alias` names the key."""

    key: Name = None


class KeyRegenerate(KeySent):
    """`grace_period`: how long the old text works beside the next one."""

    key: Name = None
    grace_period: Name = None


class KeyNamed(BaseModel):
    """/key/block and /key/unblock."""

    key: StrictStr


class KeysNamed(BaseModel):
    """/key/delete."""

    keys: list[StrictStr] | None = Field(None, max_length=1000)
    key_aliases: list[StrictStr] | None = Field(None, max_length=1000)


class Member(BaseModel):
    """Somebody in a team."""

    user_id: StrictStr
    role: StrictStr = "user"


class TeamNew(Sent):
    """/team/new; without `team_id` one is made."""

    team_id: Name = None
    team_alias: Name = None
    members_with_roles: list[Member] | None = Field(None, max_length=1000)


class TeamUpdate(Sent):
    """/team/update."""

    team_id: StrictStr
    team_alias: Name = None


class TeamOfUser(BaseModel):
    """Where a user belongs, and as what."""

    team_id: StrictStr
    user_role: StrictStr = "user"


class UserNew(Sent):
    """/user/new; without `user_id` one is made. A key is made beside it, unless `auto_create_key` is false."""

    user_id: Name = None
    user_email: Name = None
    user_alias: Name = None
    user_role: Name = None
    teams: list[StrictStr | TeamOfUser] | None = None
    team_id: Name = None
    auto_create_key: StrictBool = True
    key_alias: Name = None
    duration: Name = None


_BOUNDS = {
    "rpm_limit": "requests_per_minute",
    "tpm_limit": "tokens_per_minute",
    "max_parallel_requests": "parallel_requests",
}
_BUDGETS = frozenset({"max_budget", "soft_budget", "budget_duration", "budget_limits"})
# LiteLLM's names for "all that the team may".
_EVERY_MODEL = frozenset({"all-team-models", "all-proxy-models", "*"})


def _tag(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _soft_alone() -> PlatformError:
    message = "'soft_budget' needs a 'max_budget': what it warns of is a ceiling."
    return PlatformError(Reason.INVALID_REQUEST, message, started=False, param="soft_budget")
