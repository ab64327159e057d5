"""What /metrics says of a process's trunks."""

from libs.rpc.trunk.gauges import TrunkGauges, Trunks
from libs.telemetry.metrics import Registry
from libs.telemetry.trunks import watch_trunks


def rendered(registry):
    lines = registry.render()[1].decode().splitlines()
    return dict(line.rsplit(" ", 1) for line in lines if line.startswith("headrace_trunk"))


def test_live_trunks_are_summed_by_side_and_ended_ones_are_gone():
    registry, trunks = Registry(), Trunks()
    watch_trunks(registry, trunks)
    one = TrunkGauges(connected=True, open_calls=3, queued_bytes=10, write_stall_seconds=0.5, frames=30, messages=10)
    two = TrunkGauges(connected=True, open_calls=4, queued_bytes=5, loop_lag_seconds=0.25, frames=10, messages=10)
    with trunks.entered("dialling", lambda: one), trunks.entered("dialling", lambda: two):
        found = rendered(registry)
    side = '{side="dialling"}'
    assert found["headrace_trunks" + side] == "2.0"
    assert found["headrace_trunk_open_calls" + side] == "7.0"
    assert found["headrace_trunk_queued_bytes" + side] == "15.0"
    assert found["headrace_trunk_write_stall_seconds" + side] == "0.5"
    assert found["headrace_trunk_frames_per_message" + side] == "2.0"
    assert found["headrace_trunk_loop_lag_seconds" + side] == "0.25"
    assert found['headrace_trunks{side="accepting"}'] == "0.0"
    assert rendered(registry)["headrace_trunks" + side] == "0.0"
