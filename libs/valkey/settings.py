"""How the store is reached, and the functions that are kept in it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property

from pydantic import BaseModel, ConfigDict, Field


class ValkeySettings(BaseModel):
    """How the store is reached."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    # redis://host:port/db, rediss:// with TLS, or unix:///path. Credentials belong into a mounted file, not into flags.
    url: str = "redis://127.0.0.1:8121"
    # Bounds the background probe, which pays the connect. Low: a store that needs longer is no help to a request.
    connect_timeout_ms: int = Field(default=200, ge=1, le=10_000)
    # Bounds what a request can lose to the store: paid calls are refused after it, so it stays below 50. Under 5 a busy
    # event loop looks like a dead store.
    op_timeout_ms: int = Field(default=40, ge=5, le=10_000)


@dataclass(frozen=True)
class FunctionLibrary:
    """Lua functions kept in the store. `source` is a body in which `@library@` stands for the versioned name.

    The version is a hash of the source, so that old and new replicas run side by side, each with its own functions.
    """

    name: str
    source: str

    @cached_property
    def versioned(self) -> str:
        """Name in the store, e.g. "headrace_bindings_1f3a9c0d"."""
        return f"headrace_{self.name}_{hashlib.sha256(self.source.encode()).hexdigest()[:8]}"

    @cached_property
    def code(self) -> str:
        """What FUNCTION LOAD takes."""
        return f"#!lua name={self.versioned}\n" + self.source.replace("@library@", self.versioned)
