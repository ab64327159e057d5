"""Ready means: this engine has generated a token."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from libs.errors import PlatformError, Reason
from services.inference.domain.output.tokens import Step
from services.inference.domain.request import Common, Sampling, TokenWork
from services.inference.ports import TokenEngine

_PROMPT = [1, 2, 3]  # every vocabulary has these


async def warm_up(engine: TokenEngine, timeout_seconds: float) -> None:
    """Generates one token. Raises PlatformError(ENGINE_DEAD) when none comes in time."""
    sink = _Sink()
    engine.submit(TokenWork(Common("warm-up", Sampling(max_tokens=1, temperature=0.0)), _PROMPT), sink)
    try:
        async with asyncio.timeout(timeout_seconds):
            await sink.came
    except TimeoutError as error:
        raise PlatformError(
            Reason.ENGINE_DEAD, f"the engine gave no token within {timeout_seconds:.0f} s of its start"
        ) from error


class _Sink:
    """See StepSink."""

    def __init__(self) -> None:
        self.came: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def on_step(self, step: Step) -> None:
        """See StepSink."""
        if step.token_ids and not self.came.done():
            self.came.set_result(None)

    def on_tokens(self, choice: int, token_ids: Sequence[int]) -> None:
        """See StepSink."""
        self.on_step(Step(choice, token_ids))

    def on_error(self, error: Exception) -> None:
        """See StepSink."""
        if not self.came.done():
            self.came.set_exception(error)
