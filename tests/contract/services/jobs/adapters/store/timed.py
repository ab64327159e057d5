"""The functions of jobs with a clock that is moved: it stands in a key of the store, and time passes as it is told."""

from __future__ import annotations

from libs.valkey import FunctionLibrary
from services.jobs.adapters.store.library import JOBS

CLOCK = "hr:jobs:clock"
_READS_TIME = "  local time = redis.call('TIME')\n"
_READS_KEY = f"""  local told = redis.call('GET', '{CLOCK}')
  if told then
    return tonumber(told)
  end
"""


def timed_library(source: str = JOBS.source) -> FunctionLibrary:
    """The same functions but for their clock: milliseconds since the epoch in the key CLOCK, or else the server's."""
    if source.count(_READS_TIME) != 1:
        raise RuntimeError("the functions of jobs read the time in another way than they did; mend this file")
    return FunctionLibrary("jobs", source.replace(_READS_TIME, _READS_KEY + _READS_TIME))


TIMED = timed_library()
