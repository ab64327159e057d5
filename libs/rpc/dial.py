"""Opens channels: the one place where an edge's transport is chosen."""

from __future__ import annotations

from typing import Literal

from libs.rpc.api import Channel
from libs.rpc.grpc_channel import GrpcChannel
from libs.rpc.trunk.client import TrunkChannel

Transport = Literal["trunk", "grpc"]


def dial(address: str, transport: Transport, *, identity: str, token: str) -> Channel:
    """A channel to `address`; connects when first used and reconnects by itself."""
    if transport == "trunk":
        return TrunkChannel(address, identity=identity, token=token)
    return GrpcChannel(address, identity=identity, token=token)
