"""Methods as values, read from the generated service descriptors: one definition for both transports."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from google.protobuf import message_factory
from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.message import Message

Req = TypeVar("Req", bound=Message)
Res = TypeVar("Res", bound=Message)


@dataclass(frozen=True)
class Method(Generic[Req, Res]):
    """One RPC. `path` is the gRPC path, "/package.Service/Name"; `streaming` is about the response only."""

    path: str
    request: type[Req]
    response: type[Res]
    streaming: bool

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rsplit("/", 1)[1]


def method(service: ServiceDescriptor, name: str, request: type[Req], response: type[Res]) -> Method[Req, Res]:
    """The method `name` of `service`; raises TypeError when the types are not those of the proto."""
    found = service.methods_by_name[name]
    wanted = (message_factory.GetMessageClass(found.input_type), message_factory.GetMessageClass(found.output_type))
    if wanted != (request, response):
        raise TypeError(f"{service.full_name}/{name} takes {wanted[0].__name__} and returns {wanted[1].__name__}")
    return Method(f"/{service.full_name}/{name}", request, response, found.server_streaming)
