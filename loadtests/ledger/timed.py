"""The ledger's functions with a clock that is moved: it stands in a key of the store, and time passes as it is told."""

from __future__ import annotations

from libs.valkey import FunctionLibrary
from services.gateway.adapters.ledger.library import LEDGER

CLOCK = "hr:ledger:clock"
_READS_TIME = "  local time = redis.call('TIME')\n"
_READS_KEY = f"""  local told = redis.call('GET', '{CLOCK}')
  if told then
    return tonumber(told)
  end
"""


def timed_library() -> FunctionLibrary:
    """The same functions but for their clock: microseconds since the epoch in the key CLOCK, or else the server's."""
    if LEDGER.source.count(_READS_TIME) != 1:
        raise RuntimeError("the ledger's functions read the time in another way than they did; mend loadtests.ledger")
    return FunctionLibrary("ledger", LEDGER.source.replace(_READS_TIME, _READS_KEY + _READS_TIME))


TIMED = timed_library()
