"""Opens channels: the one place where an edge's transport is chosen."""

from __future__ import annotations

from typing import Literal

from libs.rpc.api import Channel
from libs.rpc.grpc_channel import GrpcChannel
from libs.rpc.trunk.client import TrunkChannel
from libs.rpc.trunk.gauges import Trunks

Transport = Literal["trunk", "grpc"]


def dial(address: str, transport: Transport, *, identity: str, token: str, trunks: Trunks | None = None) -> Channel:
    """A channel to `address`; connects when first used and reconnects by itself. `trunks` lists it for metrics."""
    if transport == "trunk":
        return TrunkChannel(address, identity=identity, token=token, trunks=trunks)
    return GrpcChannel(address, identity=identity, token=token)
