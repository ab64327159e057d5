from headrace.common.v1 import turns_pb2 as _turns_pb2
from headrace.inference.v1 import inference_pb2 as _inference_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ChatRequest(_message.Message):
    __slots__ = ("model", "messages", "tools", "tool_choice", "sampling", "guided", "session_id", "user", "metadata", "prompt_cache_key", "root_session_id")
    class MetadataEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    MODEL_FIELD_NUMBER: _ClassVar[int]
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    TOOLS_FIELD_NUMBER: _ClassVar[int]
    TOOL_CHOICE_FIELD_NUMBER: _ClassVar[int]
    SAMPLING_FIELD_NUMBER: _ClassVar[int]
    GUIDED_FIELD_NUMBER: _ClassVar[int]
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    USER_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    PROMPT_CACHE_KEY_FIELD_NUMBER: _ClassVar[int]
    ROOT_SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    model: str
    messages: _containers.RepeatedCompositeFieldContainer[_turns_pb2.Turn]
    tools: _containers.RepeatedCompositeFieldContainer[_turns_pb2.Tool]
    tool_choice: _turns_pb2.ToolChoice
    sampling: _inference_pb2.Sampling
    guided: _inference_pb2.Guided
    session_id: str
    user: str
    metadata: _containers.ScalarMap[str, str]
    prompt_cache_key: str
    root_session_id: str
    def __init__(self, model: _Optional[str] = ..., messages: _Optional[_Iterable[_Union[_turns_pb2.Turn, _Mapping]]] = ..., tools: _Optional[_Iterable[_Union[_turns_pb2.Tool, _Mapping]]] = ..., tool_choice: _Optional[_Union[_turns_pb2.ToolChoice, _Mapping]] = ..., sampling: _Optional[_Union[_inference_pb2.Sampling, _Mapping]] = ..., guided: _Optional[_Union[_inference_pb2.Guided, _Mapping]] = ..., session_id: _Optional[str] = ..., user: _Optional[str] = ..., metadata: _Optional[_Mapping[str, str]] = ..., prompt_cache_key: _Optional[str] = ..., root_session_id: _Optional[str] = ...) -> None: ...

class ChatResponse(_message.Message):
    __slots__ = ("id", "model", "choice", "text", "channel", "tool_calls", "logprobs", "finish", "usage", "report")
    ID_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    CHOICE_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    TOOL_CALLS_FIELD_NUMBER: _ClassVar[int]
    LOGPROBS_FIELD_NUMBER: _ClassVar[int]
    FINISH_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    REPORT_FIELD_NUMBER: _ClassVar[int]
    id: str
    model: str
    choice: int
    text: str
    channel: _inference_pb2.Channel
    tool_calls: _containers.RepeatedCompositeFieldContainer[_inference_pb2.ToolCallDelta]
    logprobs: _containers.RepeatedCompositeFieldContainer[_inference_pb2.TokenLogprobs]
    finish: _inference_pb2.FinishReason
    usage: _inference_pb2.Usage
    report: ChatReport
    def __init__(self, id: _Optional[str] = ..., model: _Optional[str] = ..., choice: _Optional[int] = ..., text: _Optional[str] = ..., channel: _Optional[_Union[_inference_pb2.Channel, str]] = ..., tool_calls: _Optional[_Iterable[_Union[_inference_pb2.ToolCallDelta, _Mapping]]] = ..., logprobs: _Optional[_Iterable[_Union[_inference_pb2.TokenLogprobs, _Mapping]]] = ..., finish: _Optional[_Union[_inference_pb2.FinishReason, str]] = ..., usage: _Optional[_Union[_inference_pb2.Usage, _Mapping]] = ..., report: _Optional[_Union[ChatReport, _Mapping]] = ...) -> None: ...

class ChatReport(_message.Message):
    __slots__ = ("worker", "session_id", "session_source", "attempts", "cached_tokens", "first_token_ms", "total_ms", "resumed", "cost_nanodollars", "truncated", "replayed", "queued_ms", "route", "cached_answer")
    WORKER_FIELD_NUMBER: _ClassVar[int]
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    SESSION_SOURCE_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    CACHED_TOKENS_FIELD_NUMBER: _ClassVar[int]
    FIRST_TOKEN_MS_FIELD_NUMBER: _ClassVar[int]
    TOTAL_MS_FIELD_NUMBER: _ClassVar[int]
    RESUMED_FIELD_NUMBER: _ClassVar[int]
    COST_NANODOLLARS_FIELD_NUMBER: _ClassVar[int]
    TRUNCATED_FIELD_NUMBER: _ClassVar[int]
    REPLAYED_FIELD_NUMBER: _ClassVar[int]
    QUEUED_MS_FIELD_NUMBER: _ClassVar[int]
    ROUTE_FIELD_NUMBER: _ClassVar[int]
    CACHED_ANSWER_FIELD_NUMBER: _ClassVar[int]
    worker: str
    session_id: str
    session_source: str
    attempts: int
    cached_tokens: int
    first_token_ms: float
    total_ms: float
    resumed: bool
    cost_nanodollars: int
    truncated: str
    replayed: bool
    queued_ms: float
    route: str
    cached_answer: str
    def __init__(self, worker: _Optional[str] = ..., session_id: _Optional[str] = ..., session_source: _Optional[str] = ..., attempts: _Optional[int] = ..., cached_tokens: _Optional[int] = ..., first_token_ms: _Optional[float] = ..., total_ms: _Optional[float] = ..., resumed: _Optional[bool] = ..., cost_nanodollars: _Optional[int] = ..., truncated: _Optional[str] = ..., replayed: _Optional[bool] = ..., queued_ms: _Optional[float] = ..., route: _Optional[str] = ..., cached_answer: _Optional[str] = ...) -> None: ...
