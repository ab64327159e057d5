"""One task looks after all streamed answers."""

from __future__ import annotations

import asyncio

from libs.clock import SystemClock
from libs.testing.loop import run
from services.gateway.api.watch import Watch


class Answer:
    def __init__(self):
        self.looks = 0

    def look(self, now):
        self.looks += 1


def test_running_answers_are_looked_at_every_quarter_of_a_second():
    async def scenario():
        watch, answer, gone = Watch(SystemClock()), Answer(), Answer()
        watch.add(answer)
        watch.add(gone)
        watch.remove(gone)
        watch.remove(gone)
        task = asyncio.create_task(watch.run())
        await asyncio.sleep(2.6)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert (answer.looks, gone.looks, len(watch)) == (10, 0, 1)

    run(scenario())


def test_an_answer_may_end_while_it_is_looked_at():
    watch = Watch(SystemClock())

    class Ending(Answer):
        def look(self, now):
            watch.remove(self)

    watch.add(Ending())
    watch.add(Ending())
    watch.look()
    assert len(watch) == 0
