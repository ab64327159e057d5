"""The part of an answer that a lost gateway has made: what another one needs to go on with it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from headrace.inference.v1.inference_pb2 import GenerateResponse

from services.gateway.domain.delivered import Delivered, HoleError
from services.gateway.events import Delta, Event, Started


@dataclass(frozen=True, slots=True)
class TakenUp:
    """All deltas of the part, in order, and the digest of the model that made them."""

    model_digest: str
    deltas: tuple[GenerateResponse, ...]

    def delivered(self, choices: int) -> tuple[Delivered, int] | None:
        """The account of the part and the number of its last attempt; None when it is no part of an answer."""
        found, epoch = Delivered(choices), -1
        try:
            for delta in self.deltas:
                if delta.epoch != epoch:
                    epoch = delta.epoch
                    found.begin(epoch)
                found.take([delta])
        except HoleError:
            return None
        return (found, epoch) if epoch >= 0 else None


def taken_up(events: Iterable[Event]) -> TakenUp | None:
    """The part that these events are; None without a beginning."""
    digest, deltas = "", []
    for event in events:
        if type(event) is Started:
            digest = event.model_digest
        elif type(event) is Delta:
            deltas.append(event.response)
    return TakenUp(digest, tuple(deltas)) if digest and deltas else None
