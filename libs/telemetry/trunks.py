"""Gauges of a process's trunks, read when /metrics is scraped."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, get_args

from libs.rpc.trunk.gauges import Side, TrunkGauges, Trunks
from libs.telemetry import names
from libs.telemetry.metrics import Registry


class SideLabels(NamedTuple):
    """`side` is which end of the trunks this process is."""

    side: Side


Fold = Callable[[list[TrunkGauges]], float]


def _per_message(moments: list[TrunkGauges]) -> float:
    messages = sum(moment.messages for moment in moments)
    return sum(moment.frames for moment in moments) / messages if messages else 0.0


_GAUGES: tuple[tuple[str, str, Fold], ...] = (
    (names.METRIC_TRUNKS, "Live trunks.", len),
    (names.METRIC_TRUNK_CALLS, "Calls open on trunks.", lambda found: sum(one.open_calls for one in found)),
    (names.METRIC_TRUNK_QUEUED, "Bytes waiting to be written.", lambda found: sum(one.queued_bytes for one in found)),
    (
        names.METRIC_TRUNK_STALL,
        "How long the longest present write has waited for the peer.",
        lambda found: max((one.write_stall_seconds for one in found), default=0.0),
    ),
    (names.METRIC_TRUNK_BATCH, "Frames per message written, since the trunks began.", _per_message),
    (
        names.METRIC_TRUNK_LAG,
        "How late the trunk's own timer last ran.",
        lambda found: max((one.loop_lag_seconds for one in found), default=0.0),
    ),
)


def watch_trunks(registry: Registry, trunks: Trunks) -> None:
    """Declares the gauges of both sides."""
    for name, text, fold in _GAUGES:
        gauge = registry.gauge(name, text, SideLabels)
        for side in get_args(Side):
            gauge.read_from(SideLabels(side), _reader(trunks, side, fold))


def _reader(trunks: Trunks, side: Side, fold: Fold) -> Callable[[], float]:
    return lambda: fold(trunks.moments(side))
