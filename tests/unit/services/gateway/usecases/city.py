"""Two gateways over one store of answers and one set of scripted workers, on virtual time."""

from __future__ import annotations

from contextlib import asynccontextmanager

from libs.errors import PlatformError, Reason
from services.gateway.domain.idempotency import keyed
from services.gateway.events import Delta, Started
from services.gateway.usecases.answer_log import LogTimes
from services.gateway.usecases.idempotent import KeyedChat
from services.gateway.usecases.maker import MakerMeans
from tests.unit.services.gateway.usecases.answers import MemoryAnswers
from tests.unit.services.gateway.usecases.world import ALICE, Worker, World, ask, tokens

# Seconds between two tokens.
PACE = 1.0


class Wire:
    """A gateway's way to the store, which `dead` cuts."""

    def __init__(self, answers):
        self._answers = answers
        self.dead = False

    def __getattr__(self, name):
        async def call(*args):
            if self.dead:
                raise PlatformError(Reason.STORE_UNAVAILABLE, "cut", started=False)
            return await getattr(self._answers, name)(*args)

        return call


class Gateway:
    """One gateway's keyed calls."""

    def __init__(self, city):
        self._city = city
        self.wire = Wire(city.answers)
        self.claims = []
        means = MakerMeans(city.world.pipeline, self.wire, city.world.clock, city.times)
        self.keyed = KeyedChat(means, count=self.claims.append, owners=city.name("o"), run_ids=city.name("run"))

    async def open(self, name, request=None, principal=ALICE, *, key="k", body=b"body", seconds=600.0):
        request = request or ask()
        call = keyed(key, "chat", body, request, principal)
        deadline = self._city.world.clock.monotonic() + seconds
        return await self.keyed.open(call, request, principal, request_id=name, deadline=deadline)

    async def answer(self, name, request=None, principal=ALICE, **more):
        """All events, and the answer they came from."""
        answer = await self.open(name, request, principal, **more)
        return [event async for batch in answer.events() for event in batch], answer

    async def die(self):
        """As SIGKILL: nothing more reaches the store, and its calls to workers break."""
        self.wire.dead = True
        await self.keyed.close()


class City:
    """Two gateways over one store and one set of workers."""

    def __init__(self, world, limits):
        self.world = world
        self.times = LogTimes()
        self.answers = MemoryAnswers(world.clock, limits)
        self._names = {}
        self.one, self.two = Gateway(self), Gateway(self)

    def name(self, kind):
        def make():
            self._names[kind] = self._names.get(kind, 0) + 1
            return f"{kind}-{self._names[kind]}"

        return make

    def runs(self):
        """The run ids that reached workers, in order."""
        found = [request.call_seed for worker in self.world.workers.values() for request, _ in worker.requests]
        return sorted(set(found))


@asynccontextmanager
async def city(tmp_path, *workers, limits=None, pace=0.0):
    workers = workers or (Worker("a"),)
    for worker in workers:
        worker.pace = pace
    async with World(workers, tmp_path) as world:
        made = City(world, limits)
        try:
            yield made
        finally:
            for gateway in (made.one, made.two):
                await gateway.keyed.close()


async def read(answer, count):
    """The first tokens of an answer, as a client that then goes away has them."""
    events = []
    batches = answer.events()
    async for batch in batches:
        events += batch
        if len(tokens(events)) >= count:
            break
    await batches.aclose()
    return events


async def rest(batches):
    return [event async for batch in batches for event in batch]


async def breaks(answer):
    """What came, and the error that ended it."""
    events = []
    try:
        async for batch in answer.events():
            events += batch
    except PlatformError as error:
        return events, error
    raise AssertionError(f"it ended well: {events}")


def about(events):
    """What a client sees of an answer, whatever its headers say."""
    return [e.response.SerializeToString() if isinstance(e, Delta) else e for e in events if not isinstance(e, Started)]


def started(events):
    return next(event for event in events if isinstance(event, Started))
