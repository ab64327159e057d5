"""The store's functions on accounts. What each promises is said in its comment; layout.py names the keys."""

from __future__ import annotations

from libs.valkey import FunctionLibrary

# A change whose `ended` is missing after so long counts as changed all the same: its gateway may be gone.
UNENDED_MS = 500

# begun:   index entries come before the record (one without its record counts for nothing), and the change is noted.
# change:  compare with what is stored, then write all of it: record, list, limits, audit, outbox.
# ended:   the version grows after the record, so that whoever reads the record because of it reads the changed one.
# version: also grows for changes that never ended, so that a gateway's death hides none.
_SOURCE = """
local function now_us()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000000 + tonumber(time[2])
end

-- The MessagePack array of an outbox entry: kind, id, sequence, at_us, six zeros, an empty map.
local function entry(change_id, at_us)
  return string.char(0x9b) .. cmsgpack.pack('account') .. cmsgpack.pack(change_id) .. cmsgpack.pack(1)
    .. cmsgpack.pack(at_us) .. string.rep(string.char(0), 6) .. string.char(0x80)
end

redis.register_function('@library@_begun', function(keys, args)
  redis.call('ZADD', keys[1], math.floor(now_us() / 1000), args[1])
  if args[2] ~= '' then
    redis.call('ZADD', keys[3], 0, args[2])
  end
  for i = 3, #args, 2 do
    redis.call('HSET', keys[2], args[i], args[i + 1])
  end
end)

redis.register_function('@library@_ended', function(keys, args)
  redis.call('ZREM', keys[1], args[1])
  for i = 2, #args, 2 do
    if redis.call('HGET', keys[2], args[i]) == args[i + 1] then
      redis.call('HDEL', keys[2], args[i])
    end
  end
  return redis.call('INCR', keys[3])
end)

redis.register_function('@library@_version', function(keys, args)
  local lost = redis.call('ZREMRANGEBYSCORE', keys[1], '-inf', math.floor(now_us() / 1000) - tonumber(args[1]))
  if lost > 0 then
    return redis.call('INCR', keys[2])
  end
  return tonumber(redis.call('GET', keys[2]) or '0')
end)

redis.register_function('@library@_change', function(keys, args)
  local records, listed, owned, gone, audit, scope, outbox = unpack(keys)
  local kind, id, field, was, user, expected, value = args[1], args[2], args[3], args[4], args[5], args[6], args[7]
  local limits, audited, published, change_id = args[8], args[9], args[10], args[11]
  if (redis.call('HGET', records, field) or '') ~= expected then
    return 'changed'
  end
  local making, deleting = expected == '', value == ''
  if making and kind == 'k' and redis.call('SISMEMBER', gone, id) == 1 then
    return 'gone'
  end
  if making and (kind == 'u' or kind == 'k') and redis.call('HEXISTS', records, 't') == 0 then
    return 'tenant'
  end
  if user ~= was and user ~= '' and redis.call('HEXISTS', records, 'u:' .. user) == 0 then
    return 'user'
  end
  if deleting and kind == 't' and redis.call('HLEN', records) > 1 then
    return 'used'
  end
  if deleting and kind == 'u' and tonumber(redis.call('HGET', owned, id) or '0') > 0 then
    return 'used'
  end

  if deleting then
    redis.call('HDEL', records, field)
  else
    redis.call('HSET', records, field, value)
  end
  if kind ~= 't' and making then
    redis.call('ZADD', listed, 0, id)
  elseif kind ~= 't' and deleting then
    redis.call('ZREM', listed, id)
  end
  if kind == 'k' and deleting then
    redis.call('SADD', gone, id)
  end
  if user ~= was and user ~= '' then
    redis.call('HINCRBY', owned, user, 1)
  end
  if user ~= was and was ~= '' and redis.call('HINCRBY', owned, was, -1) <= 0 then
    redis.call('HDEL', owned, was)
  end
  if limits ~= '' then
    redis.call('HSET', scope, 'lim', limits)
  end
  redis.call('XADD', audit, '*', 'c', audited)
  redis.call('XADD', outbox, '*', 'e', entry(change_id, now_us()), 'a', published)
  return 'ok'
end)
"""

ACCOUNTS = FunctionLibrary("accounts", _SOURCE)
