"""The grammars' sandbox in a process whose gRPC is at work, as a worker's is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
SCRIPT = """
import os, threading, asyncio
import libs
import grpc
from services.inference.adapters.vllm.sandbox import GrammarSandbox

started = threading.Event()

def serve():
    async def main():
        server = grpc.aio.server()
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        await grpc.aio.insecure_channel(f"127.0.0.1:{port}").channel_ready()
        started.set()
        await asyncio.Event().wait()
    asyncio.run(main())

threading.Thread(target=serve, daemon=True).start()
assert started.wait(20)
for _ in range(3):
    sandbox = GrammarSandbox(lambda: lambda kind, text: None, 5.0)
    print([sandbox.verdict("regex", "good") for _ in range(3)])
    sandbox.close()
os._exit(0)
"""


def test_a_process_that_uses_grpc_can_fork_one_that_does_not():
    command = [sys.executable, "-W", "ignore", "-u", "-c", SCRIPT]
    done = subprocess.run(command, capture_output=True, text=True, timeout=50, cwd=ROOT, check=False)
    assert done.stdout == "[None, None, None]\n" * 3, done.stderr[-2000:]
