from headrace.common.v1 import turns_pb2 as _turns_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Channel(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CHANNEL_UNSPECIFIED: _ClassVar[Channel]
    CHANNEL_CONTENT: _ClassVar[Channel]
    CHANNEL_REASONING: _ClassVar[Channel]

class FinishReason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FINISH_REASON_UNSPECIFIED: _ClassVar[FinishReason]
    FINISH_REASON_STOP: _ClassVar[FinishReason]
    FINISH_REASON_LENGTH: _ClassVar[FinishReason]
    FINISH_REASON_TOOL_CALLS: _ClassVar[FinishReason]
    FINISH_REASON_CONTENT_FILTER: _ClassVar[FinishReason]

class PromptForm(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PROMPT_FORM_UNSPECIFIED: _ClassVar[PromptForm]
    PROMPT_FORM_TOKENS: _ClassVar[PromptForm]
    PROMPT_FORM_MESSAGES: _ClassVar[PromptForm]

class ResumeForm(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    RESUME_FORM_UNSPECIFIED: _ClassVar[ResumeForm]
    RESUME_FORM_NONE: _ClassVar[ResumeForm]
    RESUME_FORM_TEXT: _ClassVar[ResumeForm]
    RESUME_FORM_EXACT: _ClassVar[ResumeForm]

class PrefixStability(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PREFIX_STABILITY_UNSPECIFIED: _ClassVar[PrefixStability]
    PREFIX_STABILITY_NONE: _ClassVar[PrefixStability]
    PREFIX_STABILITY_INPUT: _ClassVar[PrefixStability]
    PREFIX_STABILITY_FULL: _ClassVar[PrefixStability]
CHANNEL_UNSPECIFIED: Channel
CHANNEL_CONTENT: Channel
CHANNEL_REASONING: Channel
FINISH_REASON_UNSPECIFIED: FinishReason
FINISH_REASON_STOP: FinishReason
FINISH_REASON_LENGTH: FinishReason
FINISH_REASON_TOOL_CALLS: FinishReason
FINISH_REASON_CONTENT_FILTER: FinishReason
PROMPT_FORM_UNSPECIFIED: PromptForm
PROMPT_FORM_TOKENS: PromptForm
PROMPT_FORM_MESSAGES: PromptForm
RESUME_FORM_UNSPECIFIED: ResumeForm
RESUME_FORM_NONE: ResumeForm
RESUME_FORM_TEXT: ResumeForm
RESUME_FORM_EXACT: ResumeForm
PREFIX_STABILITY_UNSPECIFIED: PrefixStability
PREFIX_STABILITY_NONE: PrefixStability
PREFIX_STABILITY_INPUT: PrefixStability
PREFIX_STABILITY_FULL: PrefixStability

class GenerateRequest(_message.Message):
    __slots__ = ("request_id", "model", "model_digest", "cache_salt", "tokens", "messages", "sampling", "guided", "tools", "tool_choice", "resume", "epoch", "adapter", "call_seed", "session", "parse_reasoning")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    MODEL_DIGEST_FIELD_NUMBER: _ClassVar[int]
    CACHE_SALT_FIELD_NUMBER: _ClassVar[int]
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    SAMPLING_FIELD_NUMBER: _ClassVar[int]
    GUIDED_FIELD_NUMBER: _ClassVar[int]
    TOOLS_FIELD_NUMBER: _ClassVar[int]
    TOOL_CHOICE_FIELD_NUMBER: _ClassVar[int]
    RESUME_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    ADAPTER_FIELD_NUMBER: _ClassVar[int]
    CALL_SEED_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    PARSE_REASONING_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    model: str
    model_digest: str
    cache_salt: str
    tokens: TokenPrompt
    messages: MessagesPrompt
    sampling: Sampling
    guided: Guided
    tools: _containers.RepeatedCompositeFieldContainer[_turns_pb2.Tool]
    tool_choice: _turns_pb2.ToolChoice
    resume: Resume
    epoch: int
    adapter: str
    call_seed: str
    session: str
    parse_reasoning: bool
    def __init__(self, request_id: _Optional[str] = ..., model: _Optional[str] = ..., model_digest: _Optional[str] = ..., cache_salt: _Optional[str] = ..., tokens: _Optional[_Union[TokenPrompt, _Mapping]] = ..., messages: _Optional[_Union[MessagesPrompt, _Mapping]] = ..., sampling: _Optional[_Union[Sampling, _Mapping]] = ..., guided: _Optional[_Union[Guided, _Mapping]] = ..., tools: _Optional[_Iterable[_Union[_turns_pb2.Tool, _Mapping]]] = ..., tool_choice: _Optional[_Union[_turns_pb2.ToolChoice, _Mapping]] = ..., resume: _Optional[_Union[Resume, _Mapping]] = ..., epoch: _Optional[int] = ..., adapter: _Optional[str] = ..., call_seed: _Optional[str] = ..., session: _Optional[str] = ..., parse_reasoning: _Optional[bool] = ...) -> None: ...

class TokenPrompt(_message.Message):
    __slots__ = ("ids", "packed")
    IDS_FIELD_NUMBER: _ClassVar[int]
    PACKED_FIELD_NUMBER: _ClassVar[int]
    ids: _containers.RepeatedScalarFieldContainer[int]
    packed: bytes
    def __init__(self, ids: _Optional[_Iterable[int]] = ..., packed: _Optional[bytes] = ...) -> None: ...

class MessagesPrompt(_message.Message):
    __slots__ = ("turns",)
    TURNS_FIELD_NUMBER: _ClassVar[int]
    turns: _containers.RepeatedCompositeFieldContainer[_turns_pb2.Turn]
    def __init__(self, turns: _Optional[_Iterable[_Union[_turns_pb2.Turn, _Mapping]]] = ...) -> None: ...

class Sampling(_message.Message):
    __slots__ = ("max_tokens", "temperature", "top_p", "top_k", "min_p", "seed", "stop", "stop_token_ids", "presence_penalty", "frequency_penalty", "repetition_penalty", "logit_bias", "logprobs", "n", "min_tokens", "ignore_eos")
    class LogitBiasEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: int
        value: float
        def __init__(self, key: _Optional[int] = ..., value: _Optional[float] = ...) -> None: ...
    MAX_TOKENS_FIELD_NUMBER: _ClassVar[int]
    TEMPERATURE_FIELD_NUMBER: _ClassVar[int]
    TOP_P_FIELD_NUMBER: _ClassVar[int]
    TOP_K_FIELD_NUMBER: _ClassVar[int]
    MIN_P_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    STOP_FIELD_NUMBER: _ClassVar[int]
    STOP_TOKEN_IDS_FIELD_NUMBER: _ClassVar[int]
    PRESENCE_PENALTY_FIELD_NUMBER: _ClassVar[int]
    FREQUENCY_PENALTY_FIELD_NUMBER: _ClassVar[int]
    REPETITION_PENALTY_FIELD_NUMBER: _ClassVar[int]
    LOGIT_BIAS_FIELD_NUMBER: _ClassVar[int]
    LOGPROBS_FIELD_NUMBER: _ClassVar[int]
    N_FIELD_NUMBER: _ClassVar[int]
    MIN_TOKENS_FIELD_NUMBER: _ClassVar[int]
    IGNORE_EOS_FIELD_NUMBER: _ClassVar[int]
    max_tokens: int
    temperature: float
    top_p: float
    top_k: int
    min_p: float
    seed: int
    stop: _containers.RepeatedScalarFieldContainer[str]
    stop_token_ids: _containers.RepeatedScalarFieldContainer[int]
    presence_penalty: float
    frequency_penalty: float
    repetition_penalty: float
    logit_bias: _containers.ScalarMap[int, float]
    logprobs: int
    n: int
    min_tokens: int
    ignore_eos: bool
    def __init__(self, max_tokens: _Optional[int] = ..., temperature: _Optional[float] = ..., top_p: _Optional[float] = ..., top_k: _Optional[int] = ..., min_p: _Optional[float] = ..., seed: _Optional[int] = ..., stop: _Optional[_Iterable[str]] = ..., stop_token_ids: _Optional[_Iterable[int]] = ..., presence_penalty: _Optional[float] = ..., frequency_penalty: _Optional[float] = ..., repetition_penalty: _Optional[float] = ..., logit_bias: _Optional[_Mapping[int, float]] = ..., logprobs: _Optional[int] = ..., n: _Optional[int] = ..., min_tokens: _Optional[int] = ..., ignore_eos: _Optional[bool] = ...) -> None: ...

class Guided(_message.Message):
    __slots__ = ("json_schema", "json_object", "regex")
    JSON_SCHEMA_FIELD_NUMBER: _ClassVar[int]
    JSON_OBJECT_FIELD_NUMBER: _ClassVar[int]
    REGEX_FIELD_NUMBER: _ClassVar[int]
    json_schema: str
    json_object: bool
    regex: str
    def __init__(self, json_schema: _Optional[str] = ..., json_object: _Optional[bool] = ..., regex: _Optional[str] = ...) -> None: ...

class Resume(_message.Message):
    __slots__ = ("choices",)
    CHOICES_FIELD_NUMBER: _ClassVar[int]
    choices: _containers.RepeatedCompositeFieldContainer[ResumeChoice]
    def __init__(self, choices: _Optional[_Iterable[_Union[ResumeChoice, _Mapping]]] = ...) -> None: ...

class ResumeChoice(_message.Message):
    __slots__ = ("choice", "token_ids", "text_sent", "reasoning_sent", "finished", "max_tokens")
    CHOICE_FIELD_NUMBER: _ClassVar[int]
    TOKEN_IDS_FIELD_NUMBER: _ClassVar[int]
    TEXT_SENT_FIELD_NUMBER: _ClassVar[int]
    REASONING_SENT_FIELD_NUMBER: _ClassVar[int]
    FINISHED_FIELD_NUMBER: _ClassVar[int]
    MAX_TOKENS_FIELD_NUMBER: _ClassVar[int]
    choice: int
    token_ids: _containers.RepeatedScalarFieldContainer[int]
    text_sent: int
    reasoning_sent: int
    finished: bool
    max_tokens: int
    def __init__(self, choice: _Optional[int] = ..., token_ids: _Optional[_Iterable[int]] = ..., text_sent: _Optional[int] = ..., reasoning_sent: _Optional[int] = ..., finished: _Optional[bool] = ..., max_tokens: _Optional[int] = ...) -> None: ...

class GenerateResponse(_message.Message):
    __slots__ = ("choice", "epoch", "first_index", "token_ids", "text", "channel", "tool_calls", "logprobs", "finish", "stop_reason", "usage")
    CHOICE_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    FIRST_INDEX_FIELD_NUMBER: _ClassVar[int]
    TOKEN_IDS_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    TOOL_CALLS_FIELD_NUMBER: _ClassVar[int]
    LOGPROBS_FIELD_NUMBER: _ClassVar[int]
    FINISH_FIELD_NUMBER: _ClassVar[int]
    STOP_REASON_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    choice: int
    epoch: int
    first_index: int
    token_ids: _containers.RepeatedScalarFieldContainer[int]
    text: str
    channel: Channel
    tool_calls: _containers.RepeatedCompositeFieldContainer[ToolCallDelta]
    logprobs: _containers.RepeatedCompositeFieldContainer[TokenLogprobs]
    finish: FinishReason
    stop_reason: str
    usage: Usage
    def __init__(self, choice: _Optional[int] = ..., epoch: _Optional[int] = ..., first_index: _Optional[int] = ..., token_ids: _Optional[_Iterable[int]] = ..., text: _Optional[str] = ..., channel: _Optional[_Union[Channel, str]] = ..., tool_calls: _Optional[_Iterable[_Union[ToolCallDelta, _Mapping]]] = ..., logprobs: _Optional[_Iterable[_Union[TokenLogprobs, _Mapping]]] = ..., finish: _Optional[_Union[FinishReason, str]] = ..., stop_reason: _Optional[str] = ..., usage: _Optional[_Union[Usage, _Mapping]] = ...) -> None: ...

class ToolCallDelta(_message.Message):
    __slots__ = ("index", "id", "name", "arguments")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    ARGUMENTS_FIELD_NUMBER: _ClassVar[int]
    index: int
    id: str
    name: str
    arguments: str
    def __init__(self, index: _Optional[int] = ..., id: _Optional[str] = ..., name: _Optional[str] = ..., arguments: _Optional[str] = ...) -> None: ...

class TokenLogprobs(_message.Message):
    __slots__ = ("index", "top")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    TOP_FIELD_NUMBER: _ClassVar[int]
    index: int
    top: _containers.RepeatedCompositeFieldContainer[TokenLogprob]
    def __init__(self, index: _Optional[int] = ..., top: _Optional[_Iterable[_Union[TokenLogprob, _Mapping]]] = ...) -> None: ...

class TokenLogprob(_message.Message):
    __slots__ = ("token_id", "token", "logprob")
    TOKEN_ID_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    LOGPROB_FIELD_NUMBER: _ClassVar[int]
    token_id: int
    token: bytes
    logprob: float
    def __init__(self, token_id: _Optional[int] = ..., token: _Optional[bytes] = ..., logprob: _Optional[float] = ...) -> None: ...

class Usage(_message.Message):
    __slots__ = ("prompt_tokens", "completion_tokens", "cached_tokens", "reasoning_tokens", "queue_ms", "first_token_ms", "estimated")
    PROMPT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    COMPLETION_TOKENS_FIELD_NUMBER: _ClassVar[int]
    CACHED_TOKENS_FIELD_NUMBER: _ClassVar[int]
    REASONING_TOKENS_FIELD_NUMBER: _ClassVar[int]
    QUEUE_MS_FIELD_NUMBER: _ClassVar[int]
    FIRST_TOKEN_MS_FIELD_NUMBER: _ClassVar[int]
    ESTIMATED_FIELD_NUMBER: _ClassVar[int]
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int
    reasoning_tokens: int
    queue_ms: float
    first_token_ms: float
    estimated: bool
    def __init__(self, prompt_tokens: _Optional[int] = ..., completion_tokens: _Optional[int] = ..., cached_tokens: _Optional[int] = ..., reasoning_tokens: _Optional[int] = ..., queue_ms: _Optional[float] = ..., first_token_ms: _Optional[float] = ..., estimated: _Optional[bool] = ...) -> None: ...

class DescribeModelRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Capabilities(_message.Message):
    __slots__ = ("prompt", "guided", "logprobs_max", "n", "seed", "lora", "kv_events", "cache_salt", "resume", "resume_guided", "resume_penalties", "tools", "reasoning", "penalties", "logit_bias")
    PROMPT_FIELD_NUMBER: _ClassVar[int]
    GUIDED_FIELD_NUMBER: _ClassVar[int]
    LOGPROBS_MAX_FIELD_NUMBER: _ClassVar[int]
    N_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    LORA_FIELD_NUMBER: _ClassVar[int]
    KV_EVENTS_FIELD_NUMBER: _ClassVar[int]
    CACHE_SALT_FIELD_NUMBER: _ClassVar[int]
    RESUME_FIELD_NUMBER: _ClassVar[int]
    RESUME_GUIDED_FIELD_NUMBER: _ClassVar[int]
    RESUME_PENALTIES_FIELD_NUMBER: _ClassVar[int]
    TOOLS_FIELD_NUMBER: _ClassVar[int]
    REASONING_FIELD_NUMBER: _ClassVar[int]
    PENALTIES_FIELD_NUMBER: _ClassVar[int]
    LOGIT_BIAS_FIELD_NUMBER: _ClassVar[int]
    prompt: PromptForm
    guided: bool
    logprobs_max: int
    n: bool
    seed: bool
    lora: bool
    kv_events: bool
    cache_salt: bool
    resume: ResumeForm
    resume_guided: bool
    resume_penalties: bool
    tools: bool
    reasoning: bool
    penalties: bool
    logit_bias: bool
    def __init__(self, prompt: _Optional[_Union[PromptForm, str]] = ..., guided: _Optional[bool] = ..., logprobs_max: _Optional[int] = ..., n: _Optional[bool] = ..., seed: _Optional[bool] = ..., lora: _Optional[bool] = ..., kv_events: _Optional[bool] = ..., cache_salt: _Optional[bool] = ..., resume: _Optional[_Union[ResumeForm, str]] = ..., resume_guided: _Optional[bool] = ..., resume_penalties: _Optional[bool] = ..., tools: _Optional[bool] = ..., reasoning: _Optional[bool] = ..., penalties: _Optional[bool] = ..., logit_bias: _Optional[bool] = ...) -> None: ...

class DescribeModelResponse(_message.Message):
    __slots__ = ("worker", "boot_id", "model", "pools", "model_digest", "tokenizer_digest", "window_tokens", "capabilities", "capacity", "prefix_stability", "adapters", "engine", "template_tools")
    WORKER_FIELD_NUMBER: _ClassVar[int]
    BOOT_ID_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    POOLS_FIELD_NUMBER: _ClassVar[int]
    MODEL_DIGEST_FIELD_NUMBER: _ClassVar[int]
    TOKENIZER_DIGEST_FIELD_NUMBER: _ClassVar[int]
    WINDOW_TOKENS_FIELD_NUMBER: _ClassVar[int]
    CAPABILITIES_FIELD_NUMBER: _ClassVar[int]
    CAPACITY_FIELD_NUMBER: _ClassVar[int]
    PREFIX_STABILITY_FIELD_NUMBER: _ClassVar[int]
    ADAPTERS_FIELD_NUMBER: _ClassVar[int]
    ENGINE_FIELD_NUMBER: _ClassVar[int]
    TEMPLATE_TOOLS_FIELD_NUMBER: _ClassVar[int]
    worker: str
    boot_id: str
    model: str
    pools: _containers.RepeatedScalarFieldContainer[str]
    model_digest: str
    tokenizer_digest: str
    window_tokens: int
    capabilities: Capabilities
    capacity: Capacity
    prefix_stability: PrefixStability
    adapters: _containers.RepeatedScalarFieldContainer[str]
    engine: str
    template_tools: bool
    def __init__(self, worker: _Optional[str] = ..., boot_id: _Optional[str] = ..., model: _Optional[str] = ..., pools: _Optional[_Iterable[str]] = ..., model_digest: _Optional[str] = ..., tokenizer_digest: _Optional[str] = ..., window_tokens: _Optional[int] = ..., capabilities: _Optional[_Union[Capabilities, _Mapping]] = ..., capacity: _Optional[_Union[Capacity, _Mapping]] = ..., prefix_stability: _Optional[_Union[PrefixStability, str]] = ..., adapters: _Optional[_Iterable[str]] = ..., engine: _Optional[str] = ..., template_tools: _Optional[bool] = ...) -> None: ...

class Capacity(_message.Message):
    __slots__ = ("block_tokens", "blocks", "running_max", "waiting_max", "sessions", "kv_bytes_per_token")
    BLOCK_TOKENS_FIELD_NUMBER: _ClassVar[int]
    BLOCKS_FIELD_NUMBER: _ClassVar[int]
    RUNNING_MAX_FIELD_NUMBER: _ClassVar[int]
    WAITING_MAX_FIELD_NUMBER: _ClassVar[int]
    SESSIONS_FIELD_NUMBER: _ClassVar[int]
    KV_BYTES_PER_TOKEN_FIELD_NUMBER: _ClassVar[int]
    block_tokens: int
    blocks: int
    running_max: int
    waiting_max: int
    sessions: int
    kv_bytes_per_token: int
    def __init__(self, block_tokens: _Optional[int] = ..., blocks: _Optional[int] = ..., running_max: _Optional[int] = ..., waiting_max: _Optional[int] = ..., sessions: _Optional[int] = ..., kv_bytes_per_token: _Optional[int] = ...) -> None: ...

class FetchTokenizerRequest(_message.Message):
    __slots__ = ("tokenizer_digest",)
    TOKENIZER_DIGEST_FIELD_NUMBER: _ClassVar[int]
    tokenizer_digest: str
    def __init__(self, tokenizer_digest: _Optional[str] = ...) -> None: ...

class FetchTokenizerResponse(_message.Message):
    __slots__ = ("file", "part", "total_bytes")
    FILE_FIELD_NUMBER: _ClassVar[int]
    PART_FIELD_NUMBER: _ClassVar[int]
    TOTAL_BYTES_FIELD_NUMBER: _ClassVar[int]
    file: str
    part: bytes
    total_bytes: int
    def __init__(self, file: _Optional[str] = ..., part: _Optional[bytes] = ..., total_bytes: _Optional[int] = ...) -> None: ...

class RenderRequest(_message.Message):
    __slots__ = ("model", "turns", "tools")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    TURNS_FIELD_NUMBER: _ClassVar[int]
    TOOLS_FIELD_NUMBER: _ClassVar[int]
    model: str
    turns: _containers.RepeatedCompositeFieldContainer[_turns_pb2.Turn]
    tools: _containers.RepeatedCompositeFieldContainer[_turns_pb2.Tool]
    def __init__(self, model: _Optional[str] = ..., turns: _Optional[_Iterable[_Union[_turns_pb2.Turn, _Mapping]]] = ..., tools: _Optional[_Iterable[_Union[_turns_pb2.Tool, _Mapping]]] = ...) -> None: ...

class RenderResponse(_message.Message):
    __slots__ = ("text", "token_ids", "estimated")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    TOKEN_IDS_FIELD_NUMBER: _ClassVar[int]
    ESTIMATED_FIELD_NUMBER: _ClassVar[int]
    text: str
    token_ids: _containers.RepeatedScalarFieldContainer[int]
    estimated: bool
    def __init__(self, text: _Optional[str] = ..., token_ids: _Optional[_Iterable[int]] = ..., estimated: _Optional[bool] = ...) -> None: ...

class CountRequest(_message.Message):
    __slots__ = ("model", "turns", "tools")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    TURNS_FIELD_NUMBER: _ClassVar[int]
    TOOLS_FIELD_NUMBER: _ClassVar[int]
    model: str
    turns: _containers.RepeatedCompositeFieldContainer[_turns_pb2.Turn]
    tools: _containers.RepeatedCompositeFieldContainer[_turns_pb2.Tool]
    def __init__(self, model: _Optional[str] = ..., turns: _Optional[_Iterable[_Union[_turns_pb2.Turn, _Mapping]]] = ..., tools: _Optional[_Iterable[_Union[_turns_pb2.Tool, _Mapping]]] = ...) -> None: ...

class CountResponse(_message.Message):
    __slots__ = ("tokens", "estimated")
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    ESTIMATED_FIELD_NUMBER: _ClassVar[int]
    tokens: int
    estimated: bool
    def __init__(self, tokens: _Optional[int] = ..., estimated: _Optional[bool] = ...) -> None: ...

class WatchStateRequest(_message.Message):
    __slots__ = ("after_sequence", "boot_id")
    AFTER_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    BOOT_ID_FIELD_NUMBER: _ClassVar[int]
    after_sequence: int
    boot_id: str
    def __init__(self, after_sequence: _Optional[int] = ..., boot_id: _Optional[str] = ...) -> None: ...

class WatchStateResponse(_message.Message):
    __slots__ = ("boot_id", "sequence", "snapshot", "running", "waiting", "kv_use", "draining", "healthy", "stored", "dropped", "cleared", "blocks_held", "queue_ms")
    BOOT_ID_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_FIELD_NUMBER: _ClassVar[int]
    RUNNING_FIELD_NUMBER: _ClassVar[int]
    WAITING_FIELD_NUMBER: _ClassVar[int]
    KV_USE_FIELD_NUMBER: _ClassVar[int]
    DRAINING_FIELD_NUMBER: _ClassVar[int]
    HEALTHY_FIELD_NUMBER: _ClassVar[int]
    STORED_FIELD_NUMBER: _ClassVar[int]
    DROPPED_FIELD_NUMBER: _ClassVar[int]
    CLEARED_FIELD_NUMBER: _ClassVar[int]
    BLOCKS_HELD_FIELD_NUMBER: _ClassVar[int]
    QUEUE_MS_FIELD_NUMBER: _ClassVar[int]
    boot_id: str
    sequence: int
    snapshot: bool
    running: int
    waiting: int
    kv_use: float
    draining: bool
    healthy: bool
    stored: bytes
    dropped: bytes
    cleared: bool
    blocks_held: int
    queue_ms: int
    def __init__(self, boot_id: _Optional[str] = ..., sequence: _Optional[int] = ..., snapshot: _Optional[bool] = ..., running: _Optional[int] = ..., waiting: _Optional[int] = ..., kv_use: _Optional[float] = ..., draining: _Optional[bool] = ..., healthy: _Optional[bool] = ..., stored: _Optional[bytes] = ..., dropped: _Optional[bytes] = ..., cleared: _Optional[bool] = ..., blocks_held: _Optional[int] = ..., queue_ms: _Optional[int] = ...) -> None: ...

class DrainRequest(_message.Message):
    __slots__ = ("grace_ms", "hand_over")
    GRACE_MS_FIELD_NUMBER: _ClassVar[int]
    HAND_OVER_FIELD_NUMBER: _ClassVar[int]
    grace_ms: int
    hand_over: bool
    def __init__(self, grace_ms: _Optional[int] = ..., hand_over: _Optional[bool] = ...) -> None: ...

class DrainResponse(_message.Message):
    __slots__ = ("running",)
    RUNNING_FIELD_NUMBER: _ClassVar[int]
    running: int
    def __init__(self, running: _Optional[int] = ...) -> None: ...

class CountSentRequest(_message.Message):
    __slots__ = ("request_ids",)
    REQUEST_IDS_FIELD_NUMBER: _ClassVar[int]
    request_ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, request_ids: _Optional[_Iterable[str]] = ...) -> None: ...

class CountSentResponse(_message.Message):
    __slots__ = ("sent", "covers_ms")
    SENT_FIELD_NUMBER: _ClassVar[int]
    COVERS_MS_FIELD_NUMBER: _ClassVar[int]
    sent: _containers.RepeatedCompositeFieldContainer[Sent]
    covers_ms: int
    def __init__(self, sent: _Optional[_Iterable[_Union[Sent, _Mapping]]] = ..., covers_ms: _Optional[int] = ...) -> None: ...

class Sent(_message.Message):
    __slots__ = ("request_id", "prompt_tokens", "cached_tokens", "choice_tokens", "running", "epoch", "estimated")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    PROMPT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    CACHED_TOKENS_FIELD_NUMBER: _ClassVar[int]
    CHOICE_TOKENS_FIELD_NUMBER: _ClassVar[int]
    RUNNING_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    ESTIMATED_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    prompt_tokens: int
    cached_tokens: int
    choice_tokens: _containers.RepeatedScalarFieldContainer[int]
    running: bool
    epoch: int
    estimated: bool
    def __init__(self, request_id: _Optional[str] = ..., prompt_tokens: _Optional[int] = ..., cached_tokens: _Optional[int] = ..., choice_tokens: _Optional[_Iterable[int]] = ..., running: _Optional[bool] = ..., epoch: _Optional[int] = ..., estimated: _Optional[bool] = ...) -> None: ...
