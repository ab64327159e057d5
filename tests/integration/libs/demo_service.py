"""A service for tests of signals: tells on stdout what happens to it."""

import asyncio
import os
import sys
import time

from libs.app import run_service
from libs.settings import ServiceSettings, load

MODE = os.environ["DEMO_MODE"]


def tell(what):
    sys.stdout.write(f"{what}\n")
    sys.stdout.flush()


async def build(stack, app):
    stack.callback(tell, "closed")
    if MODE == "hang":

        async def hang(grace):
            tell("draining")
            await asyncio.sleep(600)

        app.on_drain(hang)

    async def serving(*, serving):
        tell("serving" if serving else "not serving")

    app.on_serving(serving)
    if MODE == "blocked":
        tell("blocked")
        until = time.monotonic() + 600
        while time.monotonic() < until:
            pass


run_service("demo", load(ServiceSettings, sys.argv[1:], {}), build)
