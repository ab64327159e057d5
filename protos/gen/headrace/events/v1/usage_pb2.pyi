from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class LedgerEventKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    LEDGER_EVENT_KIND_UNSPECIFIED: _ClassVar[LedgerEventKind]
    LEDGER_EVENT_KIND_SETTLED: _ClassVar[LedgerEventKind]
    LEDGER_EVENT_KIND_REFUNDED: _ClassVar[LedgerEventKind]
    LEDGER_EVENT_KIND_EXPIRED: _ClassVar[LedgerEventKind]
    LEDGER_EVENT_KIND_CORRECTED: _ClassVar[LedgerEventKind]
    LEDGER_EVENT_KIND_SOFT_BUDGET: _ClassVar[LedgerEventKind]
    LEDGER_EVENT_KIND_ACCOUNT: _ClassVar[LedgerEventKind]
LEDGER_EVENT_KIND_UNSPECIFIED: LedgerEventKind
LEDGER_EVENT_KIND_SETTLED: LedgerEventKind
LEDGER_EVENT_KIND_REFUNDED: LedgerEventKind
LEDGER_EVENT_KIND_EXPIRED: LedgerEventKind
LEDGER_EVENT_KIND_CORRECTED: LedgerEventKind
LEDGER_EVENT_KIND_SOFT_BUDGET: LedgerEventKind
LEDGER_EVENT_KIND_ACCOUNT: LedgerEventKind

class LedgerEvent(_message.Message):
    __slots__ = ("tenant", "request_id", "sequence", "kind", "at_unix_us", "cost_nanodollars", "platform_nanodollars", "prompt_tokens", "cached_tokens", "completion_tokens", "reasoning_tokens", "meta", "windows", "account_json", "outbox_id")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    AT_UNIX_US_FIELD_NUMBER: _ClassVar[int]
    COST_NANODOLLARS_FIELD_NUMBER: _ClassVar[int]
    PLATFORM_NANODOLLARS_FIELD_NUMBER: _ClassVar[int]
    PROMPT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    CACHED_TOKENS_FIELD_NUMBER: _ClassVar[int]
    COMPLETION_TOKENS_FIELD_NUMBER: _ClassVar[int]
    REASONING_TOKENS_FIELD_NUMBER: _ClassVar[int]
    META_FIELD_NUMBER: _ClassVar[int]
    WINDOWS_FIELD_NUMBER: _ClassVar[int]
    ACCOUNT_JSON_FIELD_NUMBER: _ClassVar[int]
    OUTBOX_ID_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    request_id: str
    sequence: int
    kind: LedgerEventKind
    at_unix_us: int
    cost_nanodollars: int
    platform_nanodollars: int
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    reasoning_tokens: int
    meta: UsageMeta
    windows: _containers.RepeatedCompositeFieldContainer[ScopeWindows]
    account_json: bytes
    outbox_id: str
    def __init__(self, tenant: _Optional[str] = ..., request_id: _Optional[str] = ..., sequence: _Optional[int] = ..., kind: _Optional[_Union[LedgerEventKind, str]] = ..., at_unix_us: _Optional[int] = ..., cost_nanodollars: _Optional[int] = ..., platform_nanodollars: _Optional[int] = ..., prompt_tokens: _Optional[int] = ..., cached_tokens: _Optional[int] = ..., completion_tokens: _Optional[int] = ..., reasoning_tokens: _Optional[int] = ..., meta: _Optional[_Union[UsageMeta, _Mapping]] = ..., windows: _Optional[_Iterable[_Union[ScopeWindows, _Mapping]]] = ..., account_json: _Optional[bytes] = ..., outbox_id: _Optional[str] = ...) -> None: ...

class UsageMeta(_message.Message):
    __slots__ = ("key", "user", "end_user", "model", "session", "root_session", "tags", "input_price", "cached_price", "output_price")
    class TagsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    KEY_FIELD_NUMBER: _ClassVar[int]
    USER_FIELD_NUMBER: _ClassVar[int]
    END_USER_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    ROOT_SESSION_FIELD_NUMBER: _ClassVar[int]
    TAGS_FIELD_NUMBER: _ClassVar[int]
    INPUT_PRICE_FIELD_NUMBER: _ClassVar[int]
    CACHED_PRICE_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_PRICE_FIELD_NUMBER: _ClassVar[int]
    key: str
    user: str
    end_user: str
    model: str
    session: str
    root_session: str
    tags: _containers.ScalarMap[str, str]
    input_price: int
    cached_price: int
    output_price: int
    def __init__(self, key: _Optional[str] = ..., user: _Optional[str] = ..., end_user: _Optional[str] = ..., model: _Optional[str] = ..., session: _Optional[str] = ..., root_session: _Optional[str] = ..., tags: _Optional[_Mapping[str, str]] = ..., input_price: _Optional[int] = ..., cached_price: _Optional[int] = ..., output_price: _Optional[int] = ...) -> None: ...

class ScopeWindows(_message.Message):
    __slots__ = ("scope", "windows")
    class WindowsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    WINDOWS_FIELD_NUMBER: _ClassVar[int]
    scope: str
    windows: _containers.ScalarMap[str, int]
    def __init__(self, scope: _Optional[str] = ..., windows: _Optional[_Mapping[str, int]] = ...) -> None: ...
