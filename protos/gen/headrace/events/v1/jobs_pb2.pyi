from headrace.jobs.v1 import jobs_pb2 as _jobs_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class JobRequested(_message.Message):
    __slots__ = ("tenant", "part", "expansion", "submission")
    class Part(_message.Message):
        __slots__ = ("job", "part")
        JOB_FIELD_NUMBER: _ClassVar[int]
        PART_FIELD_NUMBER: _ClassVar[int]
        job: str
        part: int
        def __init__(self, job: _Optional[str] = ..., part: _Optional[int] = ...) -> None: ...
    class Expansion(_message.Message):
        __slots__ = ("job",)
        JOB_FIELD_NUMBER: _ClassVar[int]
        job: str
        def __init__(self, job: _Optional[str] = ...) -> None: ...
    class Submission(_message.Message):
        __slots__ = ("key_id", "job", "idempotency_key")
        KEY_ID_FIELD_NUMBER: _ClassVar[int]
        JOB_FIELD_NUMBER: _ClassVar[int]
        IDEMPOTENCY_KEY_FIELD_NUMBER: _ClassVar[int]
        key_id: str
        job: _jobs_pb2.SubmitJobRequest
        idempotency_key: str
        def __init__(self, key_id: _Optional[str] = ..., job: _Optional[_Union[_jobs_pb2.SubmitJobRequest, _Mapping]] = ..., idempotency_key: _Optional[str] = ...) -> None: ...
    TENANT_FIELD_NUMBER: _ClassVar[int]
    PART_FIELD_NUMBER: _ClassVar[int]
    EXPANSION_FIELD_NUMBER: _ClassVar[int]
    SUBMISSION_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    part: JobRequested.Part
    expansion: JobRequested.Expansion
    submission: JobRequested.Submission
    def __init__(self, tenant: _Optional[str] = ..., part: _Optional[_Union[JobRequested.Part, _Mapping]] = ..., expansion: _Optional[_Union[JobRequested.Expansion, _Mapping]] = ..., submission: _Optional[_Union[JobRequested.Submission, _Mapping]] = ...) -> None: ...

class JobFinished(_message.Message):
    __slots__ = ("tenant", "key_id", "job")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    KEY_ID_FIELD_NUMBER: _ClassVar[int]
    JOB_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    key_id: str
    job: _jobs_pb2.Job
    def __init__(self, tenant: _Optional[str] = ..., key_id: _Optional[str] = ..., job: _Optional[_Union[_jobs_pb2.Job, _Mapping]] = ...) -> None: ...
