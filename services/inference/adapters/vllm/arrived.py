"""The engine steps that have arrived from vLLM's core client."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Protocol


class Core(Protocol):
    """What is used of vLLM's AsyncMPClient: not public, and the same in 0.32."""

    outputs_queue: asyncio.Queue[Any]

    async def get_output_async(self) -> Any:
        """The next step, from the queue. Raises when the engine has died."""
        ...


class Arrived:
    """Takes steps from the client's queue. One task at a time."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._died: Exception | None = None

    async def take(self) -> Sequence[Any]:
        """All that are here, waiting for the first. Raises when the engine has died, after all it had made by then."""
        if self._died is not None:
            raise self._died
        steps = [await self._core.get_output_async()]
        while not self._core.outputs_queue.empty():
            try:
                steps.append(await self._core.get_output_async())
            except Exception as error:  # vLLM says by various exceptions that its engine has died
                self._died = error
                break
        return steps
