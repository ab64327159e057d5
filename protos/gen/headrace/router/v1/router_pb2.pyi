from headrace.inference.v1 import inference_pb2 as _inference_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ChooseRequest(_message.Message):
    __slots__ = ("request_id", "tenant", "model", "session", "affinity_key", "turn", "min_tier", "models_allowed")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    AFFINITY_KEY_FIELD_NUMBER: _ClassVar[int]
    TURN_FIELD_NUMBER: _ClassVar[int]
    MIN_TIER_FIELD_NUMBER: _ClassVar[int]
    MODELS_ALLOWED_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    tenant: str
    model: str
    session: str
    affinity_key: str
    turn: Turn
    min_tier: str
    models_allowed: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, request_id: _Optional[str] = ..., tenant: _Optional[str] = ..., model: _Optional[str] = ..., session: _Optional[str] = ..., affinity_key: _Optional[str] = ..., turn: _Optional[_Union[Turn, _Mapping]] = ..., min_tier: _Optional[str] = ..., models_allowed: _Optional[_Iterable[str]] = ...) -> None: ...

class Turn(_message.Message):
    __slots__ = ("text", "text_characters", "system_characters", "context_characters", "user_turns", "tools", "tool_depth", "tool_errors", "repeats", "structured")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    TEXT_CHARACTERS_FIELD_NUMBER: _ClassVar[int]
    SYSTEM_CHARACTERS_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_CHARACTERS_FIELD_NUMBER: _ClassVar[int]
    USER_TURNS_FIELD_NUMBER: _ClassVar[int]
    TOOLS_FIELD_NUMBER: _ClassVar[int]
    TOOL_DEPTH_FIELD_NUMBER: _ClassVar[int]
    TOOL_ERRORS_FIELD_NUMBER: _ClassVar[int]
    REPEATS_FIELD_NUMBER: _ClassVar[int]
    STRUCTURED_FIELD_NUMBER: _ClassVar[int]
    text: str
    text_characters: int
    system_characters: int
    context_characters: int
    user_turns: int
    tools: int
    tool_depth: int
    tool_errors: int
    repeats: int
    structured: bool
    def __init__(self, text: _Optional[str] = ..., text_characters: _Optional[int] = ..., system_characters: _Optional[int] = ..., context_characters: _Optional[int] = ..., user_turns: _Optional[int] = ..., tools: _Optional[int] = ..., tool_depth: _Optional[int] = ..., tool_errors: _Optional[int] = ..., repeats: _Optional[int] = ..., structured: _Optional[bool] = ...) -> None: ...

class ChooseResponse(_message.Message):
    __slots__ = ("choices", "decision")
    CHOICES_FIELD_NUMBER: _ClassVar[int]
    DECISION_FIELD_NUMBER: _ClassVar[int]
    choices: _containers.RepeatedCompositeFieldContainer[ModelChoice]
    decision: Decision
    def __init__(self, choices: _Optional[_Iterable[_Union[ModelChoice, _Mapping]]] = ..., decision: _Optional[_Union[Decision, _Mapping]] = ...) -> None: ...

class ModelChoice(_message.Message):
    __slots__ = ("model", "reason", "tier", "variant", "pool")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    TIER_FIELD_NUMBER: _ClassVar[int]
    VARIANT_FIELD_NUMBER: _ClassVar[int]
    POOL_FIELD_NUMBER: _ClassVar[int]
    model: str
    reason: str
    tier: str
    variant: str
    pool: str
    def __init__(self, model: _Optional[str] = ..., reason: _Optional[str] = ..., tier: _Optional[str] = ..., variant: _Optional[str] = ..., pool: _Optional[str] = ...) -> None: ...

class Decision(_message.Message):
    __slots__ = ("tier", "small_probability", "unsure", "why", "features", "previous_tier", "switch_cost_nanodollars")
    TIER_FIELD_NUMBER: _ClassVar[int]
    SMALL_PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    UNSURE_FIELD_NUMBER: _ClassVar[int]
    WHY_FIELD_NUMBER: _ClassVar[int]
    FEATURES_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_TIER_FIELD_NUMBER: _ClassVar[int]
    SWITCH_COST_NANODOLLARS_FIELD_NUMBER: _ClassVar[int]
    tier: str
    small_probability: float
    unsure: bool
    why: str
    features: _containers.RepeatedCompositeFieldContainer[Feature]
    previous_tier: str
    switch_cost_nanodollars: int
    def __init__(self, tier: _Optional[str] = ..., small_probability: _Optional[float] = ..., unsure: _Optional[bool] = ..., why: _Optional[str] = ..., features: _Optional[_Iterable[_Union[Feature, _Mapping]]] = ..., previous_tier: _Optional[str] = ..., switch_cost_nanodollars: _Optional[int] = ...) -> None: ...

class Feature(_message.Message):
    __slots__ = ("name", "weight")
    NAME_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    name: str
    weight: float
    def __init__(self, name: _Optional[str] = ..., weight: _Optional[float] = ...) -> None: ...

class PlaceRequest(_message.Message):
    __slots__ = ("request_id", "tenant", "model", "model_digest", "session", "affinity_key", "prompt_tokens", "exclude_workers", "blocks", "root_session")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    MODEL_DIGEST_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    AFFINITY_KEY_FIELD_NUMBER: _ClassVar[int]
    PROMPT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    EXCLUDE_WORKERS_FIELD_NUMBER: _ClassVar[int]
    BLOCKS_FIELD_NUMBER: _ClassVar[int]
    ROOT_SESSION_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    tenant: str
    model: str
    model_digest: str
    session: str
    affinity_key: str
    prompt_tokens: int
    exclude_workers: _containers.RepeatedScalarFieldContainer[str]
    blocks: bytes
    root_session: str
    def __init__(self, request_id: _Optional[str] = ..., tenant: _Optional[str] = ..., model: _Optional[str] = ..., model_digest: _Optional[str] = ..., session: _Optional[str] = ..., affinity_key: _Optional[str] = ..., prompt_tokens: _Optional[int] = ..., exclude_workers: _Optional[_Iterable[str]] = ..., blocks: _Optional[bytes] = ..., root_session: _Optional[str] = ...) -> None: ...

class PlaceResponse(_message.Message):
    __slots__ = ("candidates", "binding_version", "binding_uncertain", "predicted")
    CANDIDATES_FIELD_NUMBER: _ClassVar[int]
    BINDING_VERSION_FIELD_NUMBER: _ClassVar[int]
    BINDING_UNCERTAIN_FIELD_NUMBER: _ClassVar[int]
    PREDICTED_FIELD_NUMBER: _ClassVar[int]
    candidates: _containers.RepeatedCompositeFieldContainer[Candidate]
    binding_version: int
    binding_uncertain: bool
    predicted: bool
    def __init__(self, candidates: _Optional[_Iterable[_Union[Candidate, _Mapping]]] = ..., binding_version: _Optional[int] = ..., binding_uncertain: _Optional[bool] = ..., predicted: _Optional[bool] = ...) -> None: ...

class Candidate(_message.Message):
    __slots__ = ("worker", "address", "boot_id", "model_digest", "reason", "load", "cached_tokens", "cost")
    WORKER_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    BOOT_ID_FIELD_NUMBER: _ClassVar[int]
    MODEL_DIGEST_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    LOAD_FIELD_NUMBER: _ClassVar[int]
    CACHED_TOKENS_FIELD_NUMBER: _ClassVar[int]
    COST_FIELD_NUMBER: _ClassVar[int]
    worker: str
    address: str
    boot_id: str
    model_digest: str
    reason: str
    load: int
    cached_tokens: int
    cost: float
    def __init__(self, worker: _Optional[str] = ..., address: _Optional[str] = ..., boot_id: _Optional[str] = ..., model_digest: _Optional[str] = ..., reason: _Optional[str] = ..., load: _Optional[int] = ..., cached_tokens: _Optional[int] = ..., cost: _Optional[float] = ...) -> None: ...

class WatchModelsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class WatchModelsResponse(_message.Message):
    __slots__ = ("models",)
    MODELS_FIELD_NUMBER: _ClassVar[int]
    models: _containers.RepeatedCompositeFieldContainer[Model]
    def __init__(self, models: _Optional[_Iterable[_Union[Model, _Mapping]]] = ...) -> None: ...

class Model(_message.Message):
    __slots__ = ("name", "pool", "description", "addresses", "routed")
    NAME_FIELD_NUMBER: _ClassVar[int]
    POOL_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    ADDRESSES_FIELD_NUMBER: _ClassVar[int]
    ROUTED_FIELD_NUMBER: _ClassVar[int]
    name: str
    pool: bool
    description: _inference_pb2.DescribeModelResponse
    addresses: _containers.RepeatedScalarFieldContainer[str]
    routed: bool
    def __init__(self, name: _Optional[str] = ..., pool: _Optional[bool] = ..., description: _Optional[_Union[_inference_pb2.DescribeModelResponse, _Mapping]] = ..., addresses: _Optional[_Iterable[str]] = ..., routed: _Optional[bool] = ...) -> None: ...

class ListWorkersRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListWorkersResponse(_message.Message):
    __slots__ = ("workers",)
    WORKERS_FIELD_NUMBER: _ClassVar[int]
    workers: _containers.RepeatedCompositeFieldContainer[Worker]
    def __init__(self, workers: _Optional[_Iterable[_Union[Worker, _Mapping]]] = ...) -> None: ...

class Worker(_message.Message):
    __slots__ = ("worker", "address", "boot_id", "state", "last", "model", "pools", "in_flight")
    WORKER_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    BOOT_ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    LAST_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    POOLS_FIELD_NUMBER: _ClassVar[int]
    IN_FLIGHT_FIELD_NUMBER: _ClassVar[int]
    worker: str
    address: str
    boot_id: str
    state: str
    last: _inference_pb2.WatchStateResponse
    model: str
    pools: _containers.RepeatedScalarFieldContainer[str]
    in_flight: int
    def __init__(self, worker: _Optional[str] = ..., address: _Optional[str] = ..., boot_id: _Optional[str] = ..., state: _Optional[str] = ..., last: _Optional[_Union[_inference_pb2.WatchStateResponse, _Mapping]] = ..., model: _Optional[str] = ..., pools: _Optional[_Iterable[str]] = ..., in_flight: _Optional[int] = ...) -> None: ...

class WatchCapacityRequest(_message.Message):
    __slots__ = ("pool",)
    POOL_FIELD_NUMBER: _ClassVar[int]
    pool: str
    def __init__(self, pool: _Optional[str] = ...) -> None: ...

class WatchCapacityResponse(_message.Message):
    __slots__ = ("workers", "running", "waiting", "slots_idle", "queue_wait_ms")
    WORKERS_FIELD_NUMBER: _ClassVar[int]
    RUNNING_FIELD_NUMBER: _ClassVar[int]
    WAITING_FIELD_NUMBER: _ClassVar[int]
    SLOTS_IDLE_FIELD_NUMBER: _ClassVar[int]
    QUEUE_WAIT_MS_FIELD_NUMBER: _ClassVar[int]
    workers: int
    running: int
    waiting: int
    slots_idle: int
    queue_wait_ms: int
    def __init__(self, workers: _Optional[int] = ..., running: _Optional[int] = ..., waiting: _Optional[int] = ..., slots_idle: _Optional[int] = ..., queue_wait_ms: _Optional[int] = ...) -> None: ...

class ReportRequest(_message.Message):
    __slots__ = ("outcomes",)
    OUTCOMES_FIELD_NUMBER: _ClassVar[int]
    outcomes: _containers.RepeatedCompositeFieldContainer[Outcomes]
    def __init__(self, outcomes: _Optional[_Iterable[_Union[Outcomes, _Mapping]]] = ...) -> None: ...

class ReportResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Outcomes(_message.Message):
    __slots__ = ("worker", "boot_id", "model", "variant", "attempts", "failures", "refusals", "ttft_buckets", "cached_tokens_predicted", "cached_tokens_reported", "predictions")
    WORKER_FIELD_NUMBER: _ClassVar[int]
    BOOT_ID_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VARIANT_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    FAILURES_FIELD_NUMBER: _ClassVar[int]
    REFUSALS_FIELD_NUMBER: _ClassVar[int]
    TTFT_BUCKETS_FIELD_NUMBER: _ClassVar[int]
    CACHED_TOKENS_PREDICTED_FIELD_NUMBER: _ClassVar[int]
    CACHED_TOKENS_REPORTED_FIELD_NUMBER: _ClassVar[int]
    PREDICTIONS_FIELD_NUMBER: _ClassVar[int]
    worker: str
    boot_id: str
    model: str
    variant: str
    attempts: int
    failures: int
    refusals: int
    ttft_buckets: _containers.RepeatedScalarFieldContainer[int]
    cached_tokens_predicted: int
    cached_tokens_reported: int
    predictions: int
    def __init__(self, worker: _Optional[str] = ..., boot_id: _Optional[str] = ..., model: _Optional[str] = ..., variant: _Optional[str] = ..., attempts: _Optional[int] = ..., failures: _Optional[int] = ..., refusals: _Optional[int] = ..., ttft_buckets: _Optional[_Iterable[int]] = ..., cached_tokens_predicted: _Optional[int] = ..., cached_tokens_reported: _Optional[int] = ..., predictions: _Optional[int] = ...) -> None: ...

class ListVariantsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListVariantsResponse(_message.Message):
    __slots__ = ("pools",)
    POOLS_FIELD_NUMBER: _ClassVar[int]
    pools: _containers.RepeatedCompositeFieldContainer[PoolVariants]
    def __init__(self, pools: _Optional[_Iterable[_Union[PoolVariants, _Mapping]]] = ...) -> None: ...

class PoolVariants(_message.Message):
    __slots__ = ("pool", "variants", "version")
    POOL_FIELD_NUMBER: _ClassVar[int]
    VARIANTS_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    pool: str
    variants: _containers.RepeatedCompositeFieldContainer[Variant]
    version: int
    def __init__(self, pool: _Optional[str] = ..., variants: _Optional[_Iterable[_Union[Variant, _Mapping]]] = ..., version: _Optional[int] = ...) -> None: ...

class Variant(_message.Message):
    __slots__ = ("name", "model", "weight", "stopped", "attempts", "failures", "ttft_ms_p50", "ttft_ms_p95")
    NAME_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    STOPPED_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    FAILURES_FIELD_NUMBER: _ClassVar[int]
    TTFT_MS_P50_FIELD_NUMBER: _ClassVar[int]
    TTFT_MS_P95_FIELD_NUMBER: _ClassVar[int]
    name: str
    model: str
    weight: int
    stopped: str
    attempts: int
    failures: int
    ttft_ms_p50: int
    ttft_ms_p95: int
    def __init__(self, name: _Optional[str] = ..., model: _Optional[str] = ..., weight: _Optional[int] = ..., stopped: _Optional[str] = ..., attempts: _Optional[int] = ..., failures: _Optional[int] = ..., ttft_ms_p50: _Optional[int] = ..., ttft_ms_p95: _Optional[int] = ...) -> None: ...

class SetVariantsRequest(_message.Message):
    __slots__ = ("pool", "weights")
    class WeightsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    POOL_FIELD_NUMBER: _ClassVar[int]
    WEIGHTS_FIELD_NUMBER: _ClassVar[int]
    pool: str
    weights: _containers.ScalarMap[str, int]
    def __init__(self, pool: _Optional[str] = ..., weights: _Optional[_Mapping[str, int]] = ...) -> None: ...

class SetVariantsResponse(_message.Message):
    __slots__ = ("pool",)
    POOL_FIELD_NUMBER: _ClassVar[int]
    pool: PoolVariants
    def __init__(self, pool: _Optional[_Union[PoolVariants, _Mapping]] = ...) -> None: ...
