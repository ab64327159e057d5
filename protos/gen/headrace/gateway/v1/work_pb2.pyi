from headrace.gateway.v1 import chat_pb2 as _chat_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Caller(_message.Message):
    __slots__ = ("tenant", "key_id", "user", "manages_tenant")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    KEY_ID_FIELD_NUMBER: _ClassVar[int]
    USER_FIELD_NUMBER: _ClassVar[int]
    MANAGES_TENANT_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    key_id: str
    user: str
    manages_tenant: bool
    def __init__(self, tenant: _Optional[str] = ..., key_id: _Optional[str] = ..., user: _Optional[str] = ..., manages_tenant: _Optional[bool] = ...) -> None: ...

class Work(_message.Message):
    __slots__ = ("body", "chat", "path")
    BODY_FIELD_NUMBER: _ClassVar[int]
    CHAT_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    body: bytes
    chat: _chat_pb2.ChatRequest
    path: str
    def __init__(self, body: _Optional[bytes] = ..., chat: _Optional[_Union[_chat_pb2.ChatRequest, _Mapping]] = ..., path: _Optional[str] = ...) -> None: ...

class ReserveRequest(_message.Message):
    __slots__ = ("reservation", "caller", "requests", "batch")
    RESERVATION_FIELD_NUMBER: _ClassVar[int]
    CALLER_FIELD_NUMBER: _ClassVar[int]
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    BATCH_FIELD_NUMBER: _ClassVar[int]
    reservation: str
    caller: Caller
    requests: _containers.RepeatedCompositeFieldContainer[Work]
    batch: bool
    def __init__(self, reservation: _Optional[str] = ..., caller: _Optional[_Union[Caller, _Mapping]] = ..., requests: _Optional[_Iterable[_Union[Work, _Mapping]]] = ..., batch: _Optional[bool] = ...) -> None: ...

class ReserveResponse(_message.Message):
    __slots__ = ("reserved_nanodollars", "models")
    RESERVED_NANODOLLARS_FIELD_NUMBER: _ClassVar[int]
    MODELS_FIELD_NUMBER: _ClassVar[int]
    reserved_nanodollars: int
    models: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, reserved_nanodollars: _Optional[int] = ..., models: _Optional[_Iterable[str]] = ...) -> None: ...

class ReleaseRequest(_message.Message):
    __slots__ = ("tenant", "reservations")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    RESERVATIONS_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    reservations: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, tenant: _Optional[str] = ..., reservations: _Optional[_Iterable[str]] = ...) -> None: ...

class ReleaseResponse(_message.Message):
    __slots__ = ("released_nanodollars",)
    RELEASED_NANODOLLARS_FIELD_NUMBER: _ClassVar[int]
    released_nanodollars: int
    def __init__(self, released_nanodollars: _Optional[int] = ...) -> None: ...

class PerformRequest(_message.Message):
    __slots__ = ("reservation", "tenant", "work", "key", "caller", "batch")
    RESERVATION_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    WORK_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    CALLER_FIELD_NUMBER: _ClassVar[int]
    BATCH_FIELD_NUMBER: _ClassVar[int]
    reservation: str
    tenant: str
    work: Work
    key: str
    caller: Caller
    batch: bool
    def __init__(self, reservation: _Optional[str] = ..., tenant: _Optional[str] = ..., work: _Optional[_Union[Work, _Mapping]] = ..., key: _Optional[str] = ..., caller: _Optional[_Union[Caller, _Mapping]] = ..., batch: _Optional[bool] = ...) -> None: ...

class AbandonRequest(_message.Message):
    __slots__ = ("tenant", "reservation", "key")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    RESERVATION_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    reservation: str
    key: str
    def __init__(self, tenant: _Optional[str] = ..., reservation: _Optional[str] = ..., key: _Optional[str] = ...) -> None: ...

class AbandonResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class PerformResponse(_message.Message):
    __slots__ = ("completion_tokens", "outcome")
    class Outcome(_message.Message):
        __slots__ = ("status_code", "body", "request_id", "prompt_tokens", "cached_tokens", "completion_tokens", "cost_nanodollars", "replayed")
        STATUS_CODE_FIELD_NUMBER: _ClassVar[int]
        BODY_FIELD_NUMBER: _ClassVar[int]
        REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
        PROMPT_TOKENS_FIELD_NUMBER: _ClassVar[int]
        CACHED_TOKENS_FIELD_NUMBER: _ClassVar[int]
        COMPLETION_TOKENS_FIELD_NUMBER: _ClassVar[int]
        COST_NANODOLLARS_FIELD_NUMBER: _ClassVar[int]
        REPLAYED_FIELD_NUMBER: _ClassVar[int]
        status_code: int
        body: bytes
        request_id: str
        prompt_tokens: int
        cached_tokens: int
        completion_tokens: int
        cost_nanodollars: int
        replayed: bool
        def __init__(self, status_code: _Optional[int] = ..., body: _Optional[bytes] = ..., request_id: _Optional[str] = ..., prompt_tokens: _Optional[int] = ..., cached_tokens: _Optional[int] = ..., completion_tokens: _Optional[int] = ..., cost_nanodollars: _Optional[int] = ..., replayed: _Optional[bool] = ...) -> None: ...
    COMPLETION_TOKENS_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    completion_tokens: int
    outcome: PerformResponse.Outcome
    def __init__(self, completion_tokens: _Optional[int] = ..., outcome: _Optional[_Union[PerformResponse.Outcome, _Mapping]] = ...) -> None: ...
