"""The trace goes on across a topic."""

from __future__ import annotations

from libs.kafka.handling import Delivery, Handler
from libs.telemetry import names
from libs.telemetry.tracing import Attributes, tracer

_CARRIED = ("traceparent", "tracestate")


class TracedHandler:
    """Implements `Handler`: another one, with a span around each message that continues its producer's trace.

    Costs a look at one attribute while tracing is off. A message that carries no trace begins one.
    """

    def __init__(self, handler: Handler) -> None:
        self._handler = handler

    async def handle(self, message: Delivery) -> None:
        """See Handler."""
        if not tracer.enabled:
            await self._handler.handle(message)
            return
        parent = carried(message)
        with tracer.start(f"{message.topic} process", kind="consumer", parent=parent, attributes=_told(message)):
            await self._handler.handle(message)


def carried(message: Delivery) -> dict[str, str]:
    """The trace context that its producer sent along."""
    found = ((name, message.headers.get(name)) for name in _CARRIED)
    return {name: value.decode("latin-1") for name, value in found if value}


def _told(message: Delivery) -> Attributes:
    return {
        names.MESSAGING_SYSTEM: "kafka",
        names.MESSAGING_DESTINATION: message.topic,
        names.MESSAGING_PARTITION: str(message.partition),
        names.MESSAGING_OFFSET: message.offset,
        names.MESSAGE_ATTEMPT: message.attempt,
    }
