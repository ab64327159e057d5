"""The engine process: `python -m services.inference.adapters.simulated.child FD PARENT`. It ends with its parent."""

from __future__ import annotations

import select
import signal
import socket
import sys
import time

import msgspec

from libs.chat_template import unpack
from libs.process import die_with_parent
from services.inference.adapters.simulated.protocol import Abort, Add, Command, Frames, Start, frame
from services.inference.adapters.simulated.scheduler import Scheduler


class Process:
    """Reads commands, makes steps when they are due, writes one message per step."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._frames = Frames()
        self._decode = msgspec.msgpack.Decoder(Command).decode
        self._scheduler: Scheduler | None = None
        self._last_step = 0.0

    def run(self) -> None:
        """Returns when the worker closes its end."""
        poll = select.poll()
        poll.register(self._connection, select.POLLIN)
        while True:
            if poll.poll(self._wait_ms()):
                data = self._connection.recv(1 << 18)
                if not data:
                    return
                for body in self._frames.feed(data):
                    self._obey(self._decode(body))
            self._step()

    def _wait_ms(self) -> float | None:
        scheduler = self._scheduler
        if scheduler is None or not scheduler.busy:
            return None
        # Rounded up: waking early would spin.
        return max(0, -int(-1000 * (scheduler.due(self._last_step) - time.monotonic()) // 1))

    def _obey(self, command: Command) -> None:
        if isinstance(command, Start):
            self._scheduler = Scheduler(command, unpack(command.words))
        elif self._scheduler is None:
            raise RuntimeError("the first command must be Start")
        elif isinstance(command, Add):
            self._scheduler.add(command, time.monotonic())
        elif isinstance(command, Abort):
            self._scheduler.abort(command.key)

    def _step(self) -> None:
        scheduler, now = self._scheduler, time.monotonic()
        if scheduler is None or not scheduler.busy or now < scheduler.due(self._last_step):
            return
        # A step that came late must not shift all later ones.
        due = scheduler.due(self._last_step)
        self._last_step = due if now - due < 0.005 else now
        step = scheduler.step(now)
        if step.outs or step.stored or step.dropped:
            self._connection.sendall(frame(step))


def main(argv: list[str]) -> None:
    """Runs the engine on the inherited socket `argv[0]` of process `argv[1]`."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the worker decides
    die_with_parent(int(argv[1]))
    with socket.socket(fileno=int(argv[0])) as connection:
        Process(connection).run()


if __name__ == "__main__":
    main(sys.argv[1:])
