"""Chat over the public gRPC port, as any gRPC client would: stock grpcio and the proto."""

from __future__ import annotations

import time

import grpc
import grpc.aio
from headrace.common.v1 import turns_pb2
from headrace.gateway.v1 import chat_pb2
from headrace.inference.v1 import inference_pb2

from cli.client.answer import Answer, Message, Question
from cli.client.refusal import NOT_RUNNING
from cli.client.rest import OnText
from cli.errors import CliError
from libs.money import to_dollars

METHOD = "/headrace.gateway.v1.ChatService/Chat"
DEADLINE_SECONDS = 120.0
ROLES = {
    "system": turns_pb2.ROLE_SYSTEM,
    "user": turns_pb2.ROLE_USER,
    "assistant": turns_pb2.ROLE_ASSISTANT,
}


async def chat(address: str, key: str, question: Question, on_text: OnText) -> Answer:
    """Streams an answer. Raises CliError in words."""
    begun, answer = time.perf_counter(), Answer()
    metadata = (("authorization", f"Bearer {key}"),) if key else ()
    async with grpc.aio.insecure_channel(address) as channel:
        call = channel.unary_stream(
            METHOD,
            request_serializer=chat_pb2.ChatRequest.SerializeToString,
            response_deserializer=chat_pb2.ChatResponse.FromString,
        )(_request(question), timeout=DEADLINE_SECONDS, metadata=metadata)
        try:
            async for response in call:
                _take(response, answer, on_text, begun)
        except grpc.aio.AioRpcError as problem:
            raise CliError(f"gRPC {problem.code().name}: {problem.details()}", NOT_RUNNING) from problem
    answer.total_ms = (time.perf_counter() - begun) * 1000
    return answer


def _request(question: Question) -> chat_pb2.ChatRequest:
    sampling = inference_pb2.Sampling(max_tokens=question.max_tokens)
    if question.temperature is not None:
        sampling.temperature = question.temperature
    return chat_pb2.ChatRequest(
        model=question.model,
        messages=[_turn(message) for message in question.messages],
        sampling=sampling,
        session_id=question.session,
    )


def _turn(message: Message) -> turns_pb2.Turn:
    return turns_pb2.Turn(role=ROLES[message["role"]], text=message["content"])


def _take(response: chat_pb2.ChatResponse, answer: Answer, on_text: OnText, begun: float) -> None:
    if response.text:
        answer.ttft_ms = answer.ttft_ms or (time.perf_counter() - begun) * 1000
        answer.text += response.text
        on_text(response.text)
    if response.finish:
        answer.finish = inference_pb2.FinishReason.Name(response.finish).removeprefix("FINISH_REASON_").lower()
    if response.HasField("usage"):
        answer.prompt_tokens = response.usage.prompt_tokens
        answer.completion_tokens = response.usage.completion_tokens
    if response.HasField("report"):
        report = response.report
        answer.worker, answer.session, answer.cached_tokens = report.worker, report.session_id, report.cached_tokens
        answer.attempts, answer.resumed = report.attempts, report.resumed
        answer.cost_usd, answer.truncated = to_dollars(report.cost_nanodollars), report.truncated
