"""Answers under an idempotency key, in Valkey: a hash that says how it stands, and a list of what was said.

Both have the tenant as hash tag, so each function sees one slot. Times are the store's own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from libs.valkey import FunctionLibrary, Valkey
from services.gateway.domain.idempotency import Claim, Claimed, Kept, Keyed, Page, Slot, State, Verdict

# Entries of one read: with the log's own bounds on an entry, an exchange of some hundred kilobytes at most.
READ_ENTRIES = 32

# meta: fp fingerprint, aid answer id, rid run id, at created, own owner, until end of the lease in ms, st state
# (r, d, b; a: abandoned), gen generation, size bytes in the log, big = 1 when it was too long.
ANSWERS = FunctionLibrary(
    "answers",
    """
local function now()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end

local function held(meta, owner)
  local m = redis.call('HMGET', meta, 'own', 'st')
  return m[1] == owner and m[2] == 'r'
end

local function own(meta, log, a, gen)
  redis.call('DEL', log)
  redis.call('HSET', meta, 'fp', a[1], 'own', a[2], 'aid', a[3], 'rid', a[4], 'at', a[5], 'until', now() + a[6],
    'st', 'r', 'gen', gen, 'size', 0, 'big', 0)
  redis.call('PEXPIRE', meta, a[7])
  return {'own', a[3], a[4], a[5], tostring(gen)}
end

redis.register_function('@library@_claim', function(keys, a)
  local meta, log = keys[1], keys[2]
  local m = redis.call('HMGET', meta, 'fp', 'aid', 'rid', 'at', 'own', 'until', 'st', 'gen', 'big')
  if not m[1] then return own(meta, log, a, 1) end
  if m[7] == 'a' then return {'abandoned', '', '', '0', '0'} end
  if m[1] ~= a[1] then return {'mismatch', '', '', '0', '0'} end
  local verdict = 'running'
  if m[9] == '1' then verdict = 'large'
  elseif m[7] == 'b' then return own(meta, log, a, m[8] + 1)
  elseif m[7] == 'd' then verdict = 'done'
  elseif m[5] == a[2] then verdict = 'own'
  elseif tonumber(m[6]) <= now() then
    redis.call('HSET', meta, 'own', a[2], 'until', now() + a[6])
    verdict = 'taken'
  end
  return {verdict, m[2], m[3], m[4], m[8]}
end)

redis.register_function('@library@_append', function(keys, a)
  local meta, log = keys[1], keys[2]
  if not held(meta, a[1]) then return redis.call('HGET', meta, 'st') == 'a' and 'abandoned' or 'lost' end
  redis.call('HSET', meta, 'until', now() + a[4])
  local m = redis.call('HMGET', meta, 'big', 'gen', 'size')
  if m[1] == '1' then return 'large' end
  local gen, size = tonumber(a[2]), tonumber(m[3])
  if gen > tonumber(m[2]) then
    redis.call('DEL', log)
    redis.call('HSET', meta, 'gen', gen, 'size', 0)
    size = 0
  end
  local entry, number, length = a[7], tonumber(a[3]), redis.call('LLEN', log)
  if #entry == 0 or length > number then return 'yes' end
  -- A log of which the store has lost a part is no answer, either.
  if length < number or size + #entry > tonumber(a[5]) then
    redis.call('DEL', log)
    redis.call('HSET', meta, 'big', 1)
    return 'large'
  end
  redis.call('RPUSH', log, entry)
  redis.call('HINCRBY', meta, 'size', #entry)
  if number == 0 then redis.call('PEXPIRE', log, a[6]) end
  return 'yes'
end)

redis.register_function('@library@_finish', function(keys, a)
  local meta, log = keys[1], keys[2]
  local m = redis.call('HMGET', meta, 'own', 'st', 'big')
  if m[1] ~= a[1] then return 'lost' end
  redis.call('HSET', meta, 'st', a[2])
  redis.call('PEXPIRE', meta, a[3])
  redis.call('PEXPIRE', log, a[3])
  return m[3] == '1' and 'large' or 'yes'
end)

redis.register_function('@library@_release', function(keys, a)
  if held(keys[1], a[1]) then redis.call('DEL', keys[1], keys[2]) end
  return 'yes'
end)

redis.register_function('@library@_abandon', function(keys, a)
  local meta, log = keys[1], keys[2]
  if redis.call('HGET', meta, 'st') == 'd' then return 'done' end
  redis.call('DEL', log)
  redis.call('HSETNX', meta, 'fp', '')
  redis.call('HSET', meta, 'st', 'a', 'own', '')
  redis.call('PEXPIRE', meta, a[1])
  return 'abandoned'
end)

redis.register_function{function_name='@library@_read', flags={'no-writes'}, callback=function(keys, a)
  local m = redis.call('HMGET', keys[1], 'st', 'rid', 'gen', 'until', 'big')
  if not m[1] then return {'free', '', '0', '0', {}} end
  local state = ({r = 'running', d = 'done', b = 'broken', a = 'abandoned'})[m[1]]
  if m[5] == '1' then state = 'large' end
  local lapsed = (m[1] == 'r' and tonumber(m[4]) <= now()) and '1' or '0'
  local entries = {}
  if m[3] == a[2] then entries = redis.call('LRANGE', keys[2], a[1], a[1] + a[3] - 1) end
  return {state, m[2] or '', m[3] or '0', lapsed, entries}
end}
""",
)


@dataclass(frozen=True, slots=True)
class AnswerLimits:
    """How long an owner may be silent, how long answers are kept, and how long one may get."""

    lease_seconds: float = 5.0
    keep_seconds: float = 86_400.0
    bytes_max: int = 4 * 2**20


class ValkeyAnswers:
    """See ports.Answers and ports.Abandoned."""

    def __init__(self, valkey: Valkey, limits: AnswerLimits) -> None:
        self._valkey = valkey
        self._lease_ms = int(limits.lease_seconds * 1000)
        self._keep_ms = int(limits.keep_seconds * 1000)
        self._bytes_max = limits.bytes_max

    async def claim(self, keyed: Keyed, claim: Claim) -> Claimed:
        """See ports.Answers."""
        ids = (keyed.fingerprint, claim.owner, claim.answer_id, claim.run_id, claim.created)
        found = await self._call("claim", keyed.slot, *ids, self._lease_ms, self._keep_ms)
        verdict, answer_id, run_id, created, generation = (part.decode() for part in found)
        return Claimed(Verdict(verdict), answer_id, run_id, int(created), int(generation))

    async def append(self, slot: Slot, owner: str, generation: int, number: int, entry: bytes) -> Kept:
        """See ports.Answers."""
        bounds = [self._lease_ms, self._bytes_max, self._keep_ms]
        found: bytes = await self._call("append", slot, owner, generation, number, *bounds, entry)
        return Kept(found.decode())

    async def finish(self, slot: Slot, owner: str, state: State) -> Kept:
        """See ports.Answers."""
        found: bytes = await self._call("finish", slot, owner, state.value[0], self._keep_ms)
        return Kept(found.decode())

    async def release(self, slot: Slot, owner: str) -> None:
        """See ports.Answers."""
        await self._call("release", slot, owner)

    async def read(self, slot: Slot, after: int, generation: int) -> Page:
        """See ports.Answers."""
        state, run_id, found, lapsed, entries = await self._call("read", slot, after, generation, READ_ENTRIES)
        return Page(State(state.decode()), run_id.decode(), int(found), lapsed == b"1", tuple(entries))

    async def abandon(self, slot: Slot) -> None:
        """See ports.Abandoned."""
        await self._call("abandon", slot, self._keep_ms)

    async def _call(self, function: str, slot: Slot, *args: bytes | str | int) -> Any:
        meta = f"hr:idem:{{{slot.tenant}}}:{slot.digest}"
        return await self._valkey.call(ANSWERS, function, [meta, f"{meta}:log"], args)
