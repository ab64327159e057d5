"""Suspected requests in Valkey: one hash for all gateways, fields are fingerprints. No text, and no key of a tenant."""

from __future__ import annotations

from collections.abc import Sequence

from libs.clock import Clock
from libs.valkey import FunctionLibrary, Valkey
from services.gateway.domain.quarantine import Suspect

KEY = "hr:quarantine"
# A field: "<until, Unix ms> <characters> <life> <life> …". The field "#" is counted up with every change.
SUSPECTS = FunctionLibrary(
    "suspects",
    """
local function now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end
local function parse(text, now)
  local words = {}
  for word in string.gmatch(text, '%S+') do words[#words + 1] = word end
  if #words < 2 or tonumber(words[1]) <= now then return nil end
  return words
end
local function trim(key, now, most)
  local oldest, oldest_until = nil, nil
  local fields = redis.call('HGETALL', key)
  for i = 1, #fields, 2 do
    if fields[i] ~= '#' then
      local words = parse(fields[i + 1], now)
      if not words then
        redis.call('HDEL', key, fields[i])
      elseif not oldest or tonumber(words[1]) < oldest_until then
        oldest, oldest_until = fields[i], tonumber(words[1])
      end
    end
  end
  if oldest and redis.call('HLEN', key) > most + 1 then redis.call('HDEL', key, oldest) end
end
redis.register_function('@library@_blame', function(keys, args)
  local now, ttl, most = now_ms(), tonumber(args[4]), tonumber(args[5])
  local held = redis.call('HGET', keys[1], args[1])
  local words = held and parse(held, now) or {'0', args[2]}
  words[1] = string.format('%.0f', now + ttl)
  local known = false
  for i = 3, #words do known = known or words[i] == args[3] end
  if not known then words[#words + 1] = args[3] end
  redis.call('HSET', keys[1], args[1], table.concat(words, ' '))
  redis.call('HINCRBY', keys[1], '#', 1)
  if redis.call('HLEN', keys[1]) > most + 1 then trim(keys[1], now, most) end
  return #words - 2
end)
redis.register_function('@library@_acquit', function(keys, args)
  if redis.call('HDEL', keys[1], args[1]) == 1 then redis.call('HINCRBY', keys[1], '#', 1) end
  return 1
end)
redis.register_function('@library@_read', function(keys, args)
  local version = redis.call('HGET', keys[1], '#') or '0'
  if version == args[1] then return {version} end
  local now, found = now_ms(), {version}
  local fields = redis.call('HGETALL', keys[1])
  for i = 1, #fields, 2 do
    local words = fields[i] ~= '#' and parse(fields[i + 1], now)
    if words then
      found[#found + 1] = fields[i]
      found[#found + 1] = words[2]
      found[#found + 1] = tostring(#words - 2)
      found[#found + 1] = string.format('%.0f', tonumber(words[1]) - now)
    end
  end
  return found
end)
""",
)
# Beyond it the one whose time ends first makes room. Some 100 bytes each.
SUSPECTS_MAX = 1000


class ValkeySuspects:
    """See ports.SuspectStore. `seconds`: how long a death is remembered."""

    def __init__(self, valkey: Valkey, seconds: float, suspects_max: int = SUSPECTS_MAX) -> None:
        self._valkey = valkey
        self._seconds = seconds
        self._max = suspects_max
        self._version = b""

    async def blame(self, fingerprint: str, characters: int, life: str) -> Suspect:
        """See ports.SuspectStore."""
        word = "".join(life.split()) or "-"
        args = [fingerprint, characters, word, int(self._seconds * 1000), self._max]
        deaths: int = await self._valkey.call(SUSPECTS, "blame", [KEY], args)
        return Suspect(fingerprint, characters, deaths, self._seconds)

    async def acquit(self, fingerprint: str) -> None:
        """See ports.SuspectStore."""
        await self._valkey.call(SUSPECTS, "acquit", [KEY], [fingerprint])

    async def suspects(self) -> Sequence[Suspect] | None:
        """See ports.SuspectStore."""
        version, *rest = await self._valkey.call(SUSPECTS, "read", [KEY], [self._version])
        if version == self._version:
            return None
        self._version = version
        rows = [rest[at : at + 4] for at in range(0, len(rest), 4)]
        return [Suspect(row[0].decode(), int(row[1]), int(row[2]), int(row[3]) / 1000) for row in rows]


class MemorySuspects:
    """See ports.SuspectStore; for one gateway without a store, and for tests."""

    def __init__(self, clock: Clock, seconds: float, suspects_max: int = SUSPECTS_MAX) -> None:
        self._now = clock.monotonic
        self._seconds = seconds
        self._max = suspects_max
        self._held: dict[str, tuple[float, int, list[str]]] = {}
        self._changed = True

    async def blame(self, fingerprint: str, characters: int, life: str) -> Suspect:
        """See ports.SuspectStore."""
        now = self._now()
        _, size, lives = self._held.pop(fingerprint, (0.0, characters, []))
        if life not in lives:
            lives.append(life)
        self._held[fingerprint] = (now + self._seconds, size, lives)
        self._held = {key: held for key, held in self._held.items() if held[0] > now}
        while len(self._held) > self._max:
            del self._held[min(self._held, key=lambda key: self._held[key][0])]
        self._changed = True
        return Suspect(fingerprint, characters, len(lives), self._seconds)

    async def acquit(self, fingerprint: str) -> None:
        """See ports.SuspectStore."""
        self._changed = self._held.pop(fingerprint, None) is not None or self._changed

    async def suspects(self) -> Sequence[Suspect] | None:
        """See ports.SuspectStore."""
        if not self._changed:
            return None
        self._changed, now = False, self._now()
        held = [(key, *each) for key, each in self._held.items() if each[0] > now]
        return [Suspect(key, size, len(lives), until - now) for key, until, size, lives in held]
