"""Tries grammars out where they can do no harm: every compilation is a process with a limit on CPU time and memory.

A pattern such as ".*" two thousand times makes xgrammar eat memory until the machine kills someone. The sandbox is
forked from the worker once vLLM is imported (so that it costs pages, not an import of its own) and before the engine
exists; it has one thread, and forks again for every grammar.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import resource
import select
import signal
import socket
import struct
import threading
from collections.abc import Callable

from services.inference.adapters.vllm.child import die_with_parent

_LENGTH = struct.Struct("!I")
_MEMORY_BYTES = 1 << 30

# Compiles (kind, grammar text); raises with words when it cannot. Kinds: "json_schema", "regex".
Compile = Callable[[str, str], None]


class GrammarSandbox:
    """The worker's end. `verdict` blocks and may be called from any thread, one call at a time."""

    def __init__(self, prepare: Callable[[], Compile], seconds: float) -> None:
        """Forks. `prepare` runs in the sandbox and returns the compile function; `seconds` bounds one compilation.

        The calling thread must live as long as the sandbox: the sandbox dies with it.
        """
        self._seconds = seconds
        self._lock = threading.Lock()
        self._peer, theirs = socket.socketpair()
        parent = os.getpid()
        self.pid = os.fork()
        if self.pid == 0:
            _serve_and_exit(theirs, prepare, seconds, parent)
        theirs.close()

    def verdict(self, kind: str, text: str) -> str | None:
        """None when the grammar compiles, else why not. Raises OSError when the sandbox is gone."""
        with self._lock:
            _send(self._peer, json.dumps([kind, text]).encode())
            answer: str | None = json.loads(_receive(self._peer))
            return answer

    def close(self) -> None:
        """Ends the sandbox's process. A repeat does nothing."""
        self._peer.close()
        with contextlib.suppress(ProcessLookupError, ChildProcessError):
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)


def _send(peer: socket.socket, payload: bytes) -> None:
    peer.sendall(_LENGTH.pack(len(payload)) + payload)


def _receive(peer: socket.socket) -> bytes:
    (length,) = _LENGTH.unpack(_exactly(peer, _LENGTH.size))
    return _exactly(peer, length)


def _exactly(peer: socket.socket, length: int) -> bytes:
    parts = bytearray()
    while len(parts) < length:
        part = peer.recv(length - len(parts))
        if not part:
            raise ConnectionResetError("the grammar sandbox has ended")
        parts += part
    return bytes(parts)


def _serve_and_exit(peer: socket.socket, prepare: Callable[[], Compile], seconds: float, parent: int) -> None:
    try:
        die_with_parent(parent)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the worker ends us; a Ctrl-C goes to the whole group
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.set_wakeup_fd(-1)
        _close_others(peer.fileno())
        gc.disable()  # a collection would write to every page that is shared with the worker
        compile_ = prepare()
        while True:
            kind, text = json.loads(_receive(peer))
            _send(peer, json.dumps(_try_out(compile_, kind, text, seconds)).encode())
    finally:
        os._exit(0)


def _close_others(keep: int) -> None:
    """Closes what was inherited: a listening socket here would keep the worker's port taken after its death.

    By name and not up to the limit of open files: that limit may be infinite, and lower than what is open.
    """
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208 - a pseudo directory, in a process that shall do little
        descriptor = int(name)
        if descriptor > 2 and descriptor != keep:
            with contextlib.suppress(OSError):  # the one that listed the directory
                os.close(descriptor)


def _try_out(compile_: Compile, kind: str, text: str, seconds: float) -> str | None:
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        _compile_and_exit(writer, compile_, kind, text, seconds)
    os.close(writer)
    try:
        ready, _, _ = select.select([reader], [], [], seconds)
        answer = os.read(reader, 1 << 16).decode() if ready else ""
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(reader)
    if answer == "ok":
        return None
    return answer or f"it takes more than {seconds:g} s or {_MEMORY_BYTES >> 20} MiB to compile"


def _compile_and_exit(writer: int, compile_: Compile, kind: str, text: str, seconds: float) -> None:
    try:
        cpu = int(seconds) + 1
        resource.setrlimit(resource.RLIMIT_CPU, (cpu, cpu))
        with open("/proc/self/statm", encoding="ascii") as statm:  # noqa: PTH123 - one line of a pseudo file
            pages = int(statm.read().split()[0])
        limit = pages * resource.getpagesize() + _MEMORY_BYTES
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        compile_(kind, text)
        answer = "ok"
    except Exception as error:  # whatever the compiler raises is the verdict
        answer = str(error) or type(error).__name__
    os.write(writer, answer.encode()[: 1 << 15])
    os._exit(0)
