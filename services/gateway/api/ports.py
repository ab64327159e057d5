"""What the public face needs of the rest of the gateway."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from typing import Protocol

from headrace.inference.v1.inference_pb2 import GenerateResponse

from services.gateway.domain.auth import bearer
from services.gateway.domain.idempotency import Keyed
from services.gateway.domain.ledger.types import Standing
from services.gateway.domain.models import ModelInfo
from services.gateway.domain.turns import ChatRequest, Principal
from services.gateway.events import Event


class Pipeline(Protocol):
    """`services.gateway.usecases.chat.ChatPipeline`, seen from outside."""

    def chat(
        self,
        request: ChatRequest,
        principal: Principal,
        *,
        request_id: str,
        deadline: float,
        write: Callable[[GenerateResponse, str], bool] | None = None,
        held: Callable[[Standing], None] | None = None,
    ) -> AsyncGenerator[list[Event], None]:
        """Streams the answer; closing the iterator aborts the work. Raises PlatformError.

        `write` may be given plain deltas and their text past the iterator, while it is waited for; False = not written.
        `held` hears what is left of the caller's limits, once the call's price is held.
        """
        ...

    def models(self) -> list[ModelInfo]:
        """Every name that clients may use."""
        ...

    def ready(self) -> bool:
        """True when a call could be served."""
        ...


class KeyedAnswer(Protocol):
    """`services.gateway.usecases.idempotent.Answer`, seen from outside: the answer to a call with an idempotency key.

    `answer_id` and `created` (Unix seconds) are those of the first call with that key; `replayed`: this is a later one.
    """

    answer_id: str
    created: int
    replayed: bool

    def events(self, held: Callable[[Standing], None] | None = None) -> AsyncGenerator[list[Event], None]:
        """As of Pipeline.chat. Closing the iterator aborts nothing: the answer is made for the call that asks again."""
        ...


class KeyedPipeline(Protocol):
    """`services.gateway.usecases.idempotent.KeyedChat`, seen from outside."""

    async def open(
        self, keyed: Keyed, request: ChatRequest, principal: Principal, *, request_id: str, deadline: float
    ) -> KeyedAnswer:
        """The answer, which is made, being made, or begun. Raises PlatformError; then nothing was begun."""
        ...


class Authenticator(Protocol):
    """Turns a presented key into a principal. Nothing it raises, logs or keeps holds the key's text."""

    def known(self, presented: str) -> Principal | None:
        """The principal where it is in memory, else None. Never blocks or raises."""
        ...

    async def authenticate(self, presented: str) -> Principal:
        """The key's principal, from the store where it must be.

        Raises PlatformError: INVALID_API_KEY, STORE_UNAVAILABLE, or OVERLOADED in a flood of unknown keys.
        """
        ...


async def admitted(door: Authenticator, authorization: str) -> Principal:
    """The principal of an Authorization header's value; raises as `authenticate` does."""
    presented = bearer(authorization)
    return door.known(presented) or await door.authenticate(presented)


class Anonymous:
    """Takes every caller for one principal: for loopback only, which `settings` enforces."""

    def known(self, presented: str) -> Principal | None:
        """See Authenticator."""
        del presented
        return Principal("anonymous", "anonymous")

    async def authenticate(self, presented: str) -> Principal:
        """See Authenticator."""
        del presented
        return Principal("anonymous", "anonymous")
