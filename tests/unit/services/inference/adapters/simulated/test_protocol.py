from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from services.inference.adapters.simulated.protocol import Abort, Command, Frames, Out, StepOut, frame


@given(cuts=st.lists(st.integers(1, 9), max_size=40))
def test_frames_come_back_however_the_stream_is_cut(cuts):
    messages = [Abort(5), Abort(2**40)]
    data = b"".join(map(frame, messages))
    frames, bodies = Frames(), []
    for size in [*cuts, len(data)]:
        piece, data = data[:size], data[size:]
        bodies += frames.feed(piece)
    assert [msgspec.msgpack.decode(body, type=Command) for body in bodies] == messages


def test_a_step_keeps_its_fields():
    step = StepOut([Out(1, 2, "stop", 2, 16, 0.5, [(2, -0.25)])], 3, 4, 0.5)
    (body,) = Frames().feed(frame(step))
    assert msgspec.msgpack.decode(body, type=StepOut) == step
