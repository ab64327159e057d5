"""Settings of the gateway that are about work for which nobody waits."""

from __future__ import annotations

from decimal import Decimal

from pydantic import Field

from libs.rpc.settings import RpcServerSettings
from libs.settings import SettingsGroup


class InsideSettings(RpcServerSettings):
    """The port at which the jobs service asks for work; its callers need the internal token.

    It is open where `jobs.addresses` names a jobs service.
    """

    port: int = Field(default=8102, ge=0, le=65535)


class WorkSettings(SettingsGroup):
    """What jobs pay, and how their answers are made."""

    # What a batch pays of the price, in percent; 100 = no discount. Jobs keep what they were promised when it changes.
    batch_price_percent: Decimal = Field(default=Decimal(50), gt=0, le=100, max_digits=7, decimal_places=4)
    # A longer answer cannot be sent again when its consumer dies; then its request fails as too large. It takes the
    # store's memory for idempotency.keep_seconds.
    answer_bytes_max: int = Field(default=16 * 2**20, ge=1024, le=64 * 2**20)
    # How often what there is of an answer is kept, for a gateway that goes on with it. Low values ask the store more
    # often, high ones have more of it made again when a gateway dies.
    checkpoint_seconds: float = Field(default=0.5, ge=0.02, le=60.0)

    @property
    def batch_price_ppm(self) -> int:
        """The batch price in millionths of the price."""
        return int(self.batch_price_percent * 10_000)
