"""Limits on what one request may ask for. The settings say why each is what it is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Upper bounds; what passes one is a 400 that names the field and the bound."""

    messages_max: int = 4096
    max_tokens_max: int = 131_072
    n_max: int = 16
    tools_max: int = 512
    stop_max: int = 16
