"""What a chat call needs of the gateway's neighbours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from headrace.inference.v1.inference_pb2 import GenerateResponse

from libs.rpc.api import Stream
from services.gateway.domain.choose import Choices, ChooseQuery
from services.gateway.domain.models import ModelInfo
from services.gateway.domain.plan import Candidate, PlaceQuery, Plan
from services.gateway.domain.prompt import EncodedPrompt, Prompt
from services.gateway.domain.record import CallRecord
from services.gateway.domain.work import Attempt, Work

Metadata = Mapping[str, str]


class Catalog(Protocol):
    """The models that the router knows, kept up to date in the background. Nothing blocks or raises."""

    def find(self, name: str) -> ModelInfo | None:
        """The model or pool of that name."""
        ...

    def models(self) -> list[ModelInfo]:
        """All names, sorted."""
        ...

    def connected(self) -> bool:
        """True while the router answers; else the last catalog is kept."""
        ...


class Router(Protocol):
    """Decides on models and workers. Raises PlatformError; ROUTER_UNAVAILABLE when no router answers."""

    async def choose(self, query: ChooseQuery, *, timeout: float, metadata: Metadata) -> Choices:
        """Models for this turn, best first, and why. A repeat does no harm. Raises MODEL_NOT_FOUND, too."""
        ...

    async def place(self, query: PlaceQuery, *, timeout: float, metadata: Metadata) -> Plan:
        """Workers for this prompt, best first. A repeat does no harm."""
        ...

    def forget(self, query: PlaceQuery) -> None:
        """A worker of the query's plan has failed: what is remembered of it is void. Never blocks or raises."""
        ...


class Workers(Protocol):
    """Calls to inference workers, by the address a plan names."""

    def generate(
        self, candidate: Candidate, work: Work, attempt: Attempt, *, timeout: float, metadata: Metadata
    ) -> Stream[GenerateResponse]:
        """Starts an attempt in this tick; errors come from the stream, whose `cancel` aborts the engine's work."""
        ...

    async def lives(self, address: str, boot_id: str, *, timeout: float) -> bool:
        """Whether that worker is reachable and still in the same life. Never raises."""
        ...

    async def died(self, address: str, boot_id: str, *, timeout: float) -> bool:
        """Whether that life of the worker is over for certain: its port is closed, or another life answers there.

        One that says nothing, or cannot be told from a network that is away, has not died. Never raises.
        """
        ...


class Encoder(Protocol):
    """Template and tokenizer of one tokenizer digest."""

    async def encode(self, prompt: Prompt, tenant: str) -> EncodedPrompt:
        """The prompt's token ids; short ones in this tick, long ones off the event loop.

        Raises PlatformError(INVALID_REQUEST) for turns that the template refuses.
        """
        ...


class Encoders(Protocol):
    """Encoders by digest, fetched from a worker once and kept."""

    def cached(self, info: ModelInfo) -> Encoder | None:
        """The model's encoder when it is in memory."""
        ...

    async def fetch(self, info: ModelInfo, *, timeout: float) -> Encoder:
        """The model's encoder, from disk or a worker; concurrent fetches of a digest are one. Raises PlatformError."""
        ...


class Owners(Protocol):
    """Who owns a session, for all gateways."""

    async def claim(self, tenant: str, session: str, owner: str) -> str:
        """The session's owner, `owner` if it had none; renews its idle time. Repeats do no harm.

        Raises PlatformError(STORE_UNAVAILABLE).
        """
        ...


class Observer(Protocol):
    """Learns of every call that has ended, for metrics. Must be quick; never raises."""

    def ended(self, record: CallRecord) -> None:
        """Called once per call, whatever its end."""
        ...
