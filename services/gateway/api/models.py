"""`/v1/models` in OpenAI's shape, with what an agent's developer wants to know beside it."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel

from services.gateway.domain.models import ModelInfo


class ModelReport(BaseModel):
    """The `headrace` object of a model. `model` is the model behind a pool's name; with `routed` it is one of several,
    among which the router chooses for each call.
    """

    model: str
    pool: bool
    digest: str
    window_tokens: int
    engine: str
    workers: int
    routed: bool
    capabilities: dict[str, Any]


class Model(BaseModel):
    """A name that clients may use."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: Literal["headrace"] = "headrace"
    headrace: ModelReport


class ModelList(BaseModel):
    """All names."""

    object: Literal["list"] = "list"
    data: list[Model]


def model_of(info: ModelInfo, created: int) -> Model:
    """The wire form of a model; `created` is the gateway's start, for models themselves have no such time."""
    can = info.capabilities
    capabilities = {name: getattr(can, name) for name in can.__slots__}
    report = ModelReport(
        model=info.model,
        pool=info.pool,
        digest=info.model_digest,
        window_tokens=info.window_tokens,
        engine=info.engine,
        workers=len(info.addresses),
        routed=info.routed,
        capabilities=capabilities,
    )
    return Model(id=info.name, created=created, headrace=report)
