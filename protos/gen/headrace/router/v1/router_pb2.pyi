from headrace.inference.v1 import inference_pb2 as _inference_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ChooseRequest(_message.Message):
    __slots__ = ("request_id", "tenant", "model", "session")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    tenant: str
    model: str
    session: str
    def __init__(self, request_id: _Optional[str] = ..., tenant: _Optional[str] = ..., model: _Optional[str] = ..., session: _Optional[str] = ...) -> None: ...

class ChooseResponse(_message.Message):
    __slots__ = ("choices",)
    CHOICES_FIELD_NUMBER: _ClassVar[int]
    choices: _containers.RepeatedCompositeFieldContainer[ModelChoice]
    def __init__(self, choices: _Optional[_Iterable[_Union[ModelChoice, _Mapping]]] = ...) -> None: ...

class ModelChoice(_message.Message):
    __slots__ = ("model", "reason")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    model: str
    reason: str
    def __init__(self, model: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class PlaceRequest(_message.Message):
    __slots__ = ("request_id", "tenant", "model", "model_digest", "session", "affinity_key", "prompt_tokens", "block_hashes", "exclude_workers")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    MODEL_DIGEST_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    AFFINITY_KEY_FIELD_NUMBER: _ClassVar[int]
    PROMPT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    BLOCK_HASHES_FIELD_NUMBER: _ClassVar[int]
    EXCLUDE_WORKERS_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    tenant: str
    model: str
    model_digest: str
    session: str
    affinity_key: str
    prompt_tokens: int
    block_hashes: _containers.RepeatedScalarFieldContainer[bytes]
    exclude_workers: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, request_id: _Optional[str] = ..., tenant: _Optional[str] = ..., model: _Optional[str] = ..., model_digest: _Optional[str] = ..., session: _Optional[str] = ..., affinity_key: _Optional[str] = ..., prompt_tokens: _Optional[int] = ..., block_hashes: _Optional[_Iterable[bytes]] = ..., exclude_workers: _Optional[_Iterable[str]] = ...) -> None: ...

class PlaceResponse(_message.Message):
    __slots__ = ("candidates", "binding_version", "binding_uncertain")
    CANDIDATES_FIELD_NUMBER: _ClassVar[int]
    BINDING_VERSION_FIELD_NUMBER: _ClassVar[int]
    BINDING_UNCERTAIN_FIELD_NUMBER: _ClassVar[int]
    candidates: _containers.RepeatedCompositeFieldContainer[Candidate]
    binding_version: int
    binding_uncertain: bool
    def __init__(self, candidates: _Optional[_Iterable[_Union[Candidate, _Mapping]]] = ..., binding_version: _Optional[int] = ..., binding_uncertain: _Optional[bool] = ...) -> None: ...

class Candidate(_message.Message):
    __slots__ = ("worker", "address", "boot_id", "model_digest", "reason", "load")
    WORKER_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    BOOT_ID_FIELD_NUMBER: _ClassVar[int]
    MODEL_DIGEST_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    LOAD_FIELD_NUMBER: _ClassVar[int]
    worker: str
    address: str
    boot_id: str
    model_digest: str
    reason: str
    load: int
    def __init__(self, worker: _Optional[str] = ..., address: _Optional[str] = ..., boot_id: _Optional[str] = ..., model_digest: _Optional[str] = ..., reason: _Optional[str] = ..., load: _Optional[int] = ...) -> None: ...

class WatchModelsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class WatchModelsResponse(_message.Message):
    __slots__ = ("models",)
    MODELS_FIELD_NUMBER: _ClassVar[int]
    models: _containers.RepeatedCompositeFieldContainer[Model]
    def __init__(self, models: _Optional[_Iterable[_Union[Model, _Mapping]]] = ...) -> None: ...

class Model(_message.Message):
    __slots__ = ("name", "pool", "description", "addresses")
    NAME_FIELD_NUMBER: _ClassVar[int]
    POOL_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    ADDRESSES_FIELD_NUMBER: _ClassVar[int]
    name: str
    pool: bool
    description: _inference_pb2.DescribeModelResponse
    addresses: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, name: _Optional[str] = ..., pool: _Optional[bool] = ..., description: _Optional[_Union[_inference_pb2.DescribeModelResponse, _Mapping]] = ..., addresses: _Optional[_Iterable[str]] = ...) -> None: ...

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
