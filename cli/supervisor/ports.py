"""Who holds a port."""

from __future__ import annotations

import errno
import socket
from collections.abc import Mapping
from contextlib import suppress

import psutil

from cli.errors import CliError

HOST = "127.0.0.1"


def is_free(port: int) -> bool:
    """True when a server could listen on it. Like servers do, it does not mind old connections in TIME_WAIT."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
            probe.listen(1)
        except OSError as problem:
            if problem.errno in (errno.EADDRINUSE, errno.EACCES):
                return False
            raise
    return True


def holder(port: int) -> str:
    """The process that listens on `port`, in words; other users' processes are not visible."""
    with suppress(psutil.Error, OSError):
        for connection in psutil.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr[1:2] == (port,) and connection.pid:
                command = " ".join(psutil.Process(connection.pid).cmdline())
                return f"process {connection.pid} ({command[:120]})"
    return "a process of another user" if port >= 1024 else "nobody we can see (ports below 1024 need root)"


def require_free(ports: Mapping[str, tuple[int, str]]) -> None:
    """`ports`: name → (port, how to choose another). Raises CliError that names every port in use and who has it."""
    taken = {name: port for name, (port, _) in ports.items() if not is_free(port)}
    if not taken:
        return
    said = [f"port {port} for {name} is in use by {holder(port)}" for name, port in taken.items()]
    ways = sorted({ports[name][1] for name in taken})
    raise CliError("; ".join(said), f"stop it, or choose another port: {', '.join(ways)}")
