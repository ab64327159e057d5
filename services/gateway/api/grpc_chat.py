"""`headrace.gateway.v1.ChatService` on the public gRPC port: the same keys, rules and pipeline as REST."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from headrace.gateway.v1 import chat_pb2

from libs.clock import Clock
from libs.errors import PlatformError
from libs.ids import request_id as new_request_id
from libs.rpc.api import CallInfo, Handler, Responder
from libs.rpc.method import method
from services.gateway.api.ports import Authenticator, KeyedAnswer, KeyedPipeline, Pipeline, admitted
from services.gateway.domain.idempotency import keyed as keyed_of
from services.gateway.domain.idempotency import unkept
from services.gateway.domain.turns import ChatRequest, Principal
from services.gateway.metrics import RestMetrics
from services.gateway.wire.grpc_chat import request_of, responses_of
from services.gateway.wire.limits import Limits

CHAT = method(chat_pb2.DESCRIPTOR.services_by_name["ChatService"], "Chat", chat_pb2.ChatRequest, chat_pb2.ChatResponse)
ROUTE = "grpc_chat"


@dataclass(frozen=True, slots=True)
class GrpcChat:
    """Serves `Chat`. `timeout` bounds calls whose deadline is further away, in seconds."""

    pipeline: Pipeline
    authenticator: Authenticator
    clock: Clock
    metrics: RestMetrics
    limits: Limits = field(default_factory=Limits)
    timeout: float = 600.0
    request_ids: Callable[[], str] = new_request_id
    keyed: KeyedPipeline | None = None

    def handler(self) -> Handler:
        """What an RpcServer serves."""
        return Handler(CHAT, self.chat)

    async def chat(
        self, request: chat_pb2.ChatRequest, responder: Responder[chat_pb2.ChatResponse], info: CallInfo
    ) -> None:
        """Streams one answer; raises PlatformError. A caller that goes away aborts the work at once."""
        began, status = self.clock.monotonic(), 499
        try:
            await self._chat(request, responder, info)
            status = 200
        except PlatformError as problem:
            status = problem.http_status
            raise
        finally:
            self.metrics.request(ROUTE, status, self.clock.monotonic() - began)

    async def _chat(
        self, request: chat_pb2.ChatRequest, responder: Responder[chat_pb2.ChatResponse], info: CallInfo
    ) -> None:
        principal = await admitted(self.authenticator, info.metadata.get("authorization", ""))
        asked = request_of(request, info.metadata, principal, self.limits)
        request_id = self.request_ids()
        latest = self.clock.monotonic() + self.timeout
        deadline = latest if info.deadline is None else min(latest, info.deadline)
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - handlers run in tasks; this tells mypy
        responder.on_cancel(partial(_cancel, task))
        key = info.metadata.get("idempotency-key")
        stored = None
        if key is None:
            events = self.pipeline.chat(asked, principal, request_id=request_id, deadline=deadline)
        else:
            stored = await self._stored(key, request, asked, principal, request_id, deadline)
            events = stored.events()
        async with aclosing(events):
            async for batch in events:
                answer_id, replayed = (stored.answer_id, stored.replayed) if stored else (request_id, False)
                for response in responses_of(batch, answer_id, asked.model, replayed=replayed):
                    responder.send(response)
                await responder.ready()

    async def _stored(
        self,
        key: str,
        request: chat_pb2.ChatRequest,
        asked: ChatRequest,
        principal: Principal,
        request_id: str,
        deadline: float,
    ) -> KeyedAnswer:
        keyed = keyed_of(key, ROUTE, request.SerializeToString(deterministic=True), asked, principal)
        if self.keyed is None:
            raise unkept()
        return await self.keyed.open(keyed, asked, principal, request_id=request_id, deadline=deadline)


def _cancel(task: asyncio.Task[Any]) -> None:
    task.cancel()
