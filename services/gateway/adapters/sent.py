"""Asks every live worker what it has sent (CountSent), all at once."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence

from google.protobuf.descriptor import ServiceDescriptor
from headrace.inference.v1 import inference_pb2

from libs.errors import PlatformError
from libs.rpc.method import method
from services.gateway import convert
from services.gateway.adapters.workers import Channels
from services.gateway.domain.sent import Sent, SentAnswer, merged
from services.gateway.ports import Catalog

_SERVICE: ServiceDescriptor = inference_pb2.DESCRIPTOR.services_by_name["InferenceService"]
COUNT_SENT = method(_SERVICE, "CountSent", inference_pb2.CountSentRequest, inference_pb2.CountSentResponse)
# What a worker takes in one question.
ASKED_MAX = 4096


class RpcSentCounts:
    """See ports.sent.SentCounts. Workers are those of the catalog; `timeout_seconds` is for each question."""

    def __init__(self, catalog: Catalog, channels: Channels, *, timeout_seconds: float = 1.0) -> None:
        self._catalog, self._channels, self._timeout = catalog, channels, timeout_seconds

    async def ask(self, request_ids: Sequence[str]) -> SentAnswer:
        """See SentCounts."""
        # Without the router, the catalog is an old one: workers may be missing from it.
        connected = self._catalog.connected()
        addresses = {address for model in self._catalog.models() for address in model.addresses}
        parts = [request_ids[start : start + ASKED_MAX] for start in range(0, len(request_ids), ASKED_MAX)]
        answers = await asyncio.gather(*[self._ask(address, part) for address in addresses for part in parts])
        whole = [answer for answer in answers if answer is not None]
        return SentAnswer(
            sent=_joined(whole),
            complete=connected and bool(addresses) and len(whole) == len(answers),
            covers_seconds=min((answer.covers_ms for answer in whole), default=0) / 1000,
        )

    async def _ask(self, address: str, request_ids: Sequence[str]) -> inference_pb2.CountSentResponse | None:
        request = inference_pb2.CountSentRequest(request_ids=request_ids)
        try:
            channel = self._channels.get(address, self._timeout)
            return await channel.call(COUNT_SENT, request, timeout=self._timeout)
        except PlatformError:
            return None


def _joined(answers: Iterable[inference_pb2.CountSentResponse]) -> dict[str, Sent]:
    found: dict[str, Sent] = {}
    for answer in answers:
        for given in answer.sent:
            sent, before = convert.sent(given), found.get(given.request_id)
            found[given.request_id] = sent if before is None else merged(before, sent)
    return found
