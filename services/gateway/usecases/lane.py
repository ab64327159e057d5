"""The short way of a plain delta: from the worker's message to the client's socket in one tick, past the event stream.

Most deltas of an answer are one token and its text. Waking the task that waits for them, and resuming every layer
between it and the socket, costs more than all the work on them; so while that task waits, they go past it.
"""

from __future__ import annotations

from collections.abc import Callable

from headrace.inference.v1.inference_pb2 import GenerateResponse

from services.gateway.usecases.attempts import Run

# Writes a delta with its text to the client now, or says that it must go the ordinary way and has written nothing.
Write = Callable[[GenerateResponse, str], bool]


def lane(run: Run, write: Write) -> Callable[[GenerateResponse], bool]:
    """A tap (libs.rpc.api.Stream) for the attempt that `run` has just started.

    It takes what continues the answer and changes nothing but it; stale deltas, holes, finishes and usage are left to
    the ordinary way, which deals with all of them.
    """
    pass_on = run.delivered.pass_on

    def take(response: GenerateResponse) -> bool:
        return run.sent and pass_on(response, write)

    return take
