"""What is left of an error once its reply is sent."""

from __future__ import annotations

import gc
import weakref

from libs.errors import PlatformError, Reason
from libs.testing.loop import run
from services.gateway.api.replies import send_error


class Held:
    """Stands for all that a call has."""


async def drop(_message):
    """A client that reads nothing of interest."""


def refuse(held):
    raise PlatformError(Reason.NO_WORKER, f"nobody for {id(held)}")


def failing(held):
    """Its frame has the error, and the error's traceback has the frame."""
    told = PlatformError(Reason.OVERLOADED, "full")
    try:
        refuse(held)
    except PlatformError as error:
        raise told from error


def test_an_error_that_was_answered_holds_nothing_of_its_call():
    async def scenario():
        held = Held()
        seen = weakref.ref(held)
        gc.disable()
        try:
            failing(held)
        except PlatformError as error:
            del held
            await send_error(drop, error, "r1")
        finally:
            gc.enable()
        assert seen() is None

    run(scenario())


def test_an_error_that_is_its_own_cause_is_answered():
    async def scenario():
        error = PlatformError(Reason.OVERLOADED, "full")
        try:
            raise error from error
        except PlatformError as raised:
            await send_error(drop, raised, "r1")
        assert error.__traceback__ is None

    run(scenario())
