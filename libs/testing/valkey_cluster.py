"""A real Valkey cluster of one node: it refuses calls whose keys lie in two slots, as others do."""

from __future__ import annotations

import socket
import time

from redis import Redis

from libs.testing.valkey import START_SECONDS_MAX, ValkeyProcess


class ValkeyCluster(ValkeyProcess):
    """As ValkeyProcess, over its unix socket; the ports that a cluster insists on are free ones of loopback."""

    def start(self) -> None:
        """Starts the node, gives it all slots, and returns when the cluster serves."""
        port, bus = _free_ports(2)
        self._flags = ["--cluster-enabled", "yes", "--bind", "127.0.0.1", "--port", port, "--cluster-port", bus]
        super().start()
        with Redis.from_url(self.url) as node:
            node.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
            end = time.monotonic() + START_SECONDS_MAX
            while b"cluster_state:ok" not in node.execute_command("CLUSTER", "INFO"):
                if time.monotonic() > end:
                    raise RuntimeError("the cluster does not serve")
                time.sleep(0.01)


def _free_ports(count: int) -> list[str]:
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [str(each.getsockname()[1]) for each in sockets]
    for each in sockets:
        each.close()
    return ports
