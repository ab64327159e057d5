import io
import threading

from libs.telemetry.log_writer import LogWriter


class Blocked(io.StringIO):
    """A terminal that takes nothing until released."""

    def __init__(self):
        super().__init__()
        self.entered, self.release = threading.Event(), threading.Event()

    def write(self, text):
        self.entered.set()
        self.release.wait(2)
        return super().write(text)


def test_lines_come_out_in_order():
    stream = io.StringIO()
    writer = LogWriter(stream, lambda event: event["n"], 100)
    for n in "abc":
        writer.put({"n": n})
    writer.close()
    assert stream.getvalue() == "a\nb\nc\n"


def test_a_blocked_terminal_drops_and_counts_lines_and_blocks_nobody():
    stream = Blocked()
    writer = LogWriter(stream, lambda event: event["n"], 2)
    writer.put({"n": "a"})
    assert stream.entered.wait(5)
    for n in "bcdef":
        writer.put({"n": n})
    assert writer.dropped == 3
    stream.release.set()
    writer.close()
    assert stream.getvalue() == "a\nb\nc\n"


def test_a_terminal_that_has_gone_ends_nothing():
    stream = io.StringIO()
    stream.close()
    writer = LogWriter(stream, lambda event: event["n"], 2)
    writer.put({"n": "a"})
    writer.close()
    writer.close()
    assert writer.dropped == 1
