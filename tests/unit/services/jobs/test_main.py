import asyncio

import pytest

from services.jobs.main import within


@pytest.mark.parametrize(("grace", "given"), [(20.0, 2.0), (1.0, 1.0)])
def test_a_stop_waits_for_answers_no_longer_than_it_must(grace, given):
    seen = []

    async def drain(seconds):
        seen.append(seconds)

    asyncio.run(within(2.0, drain)(grace))
    assert seen == [given]
