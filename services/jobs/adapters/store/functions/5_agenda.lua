-- What is due, and what follows an end.

-- args: limit, lease
local function claim(keys, args)
  local agenda, now = keys[1] .. ':agenda', now_ms()
  local names = redis.call('ZRANGEBYSCORE', agenda, '-inf', now, 'LIMIT', 0, args[1])
  for _, name in ipairs(names) do
    redis.call('ZADD', agenda, now + args[2], name)
  end
  return names
end

-- args: name, milliseconds from now
local function later(keys, args)
  return redis.call('ZADD', keys[1] .. ':agenda', 'XX', 'CH', now_ms() + args[2], args[1])
end

-- args: job. What was reopened since is not to be forgotten any more.
local function forget(keys, args)
  local prefix, job = keys[1], args[1]
  if redis.call('ZREM', prefix .. ':agenda', 'f' .. job) == 0 then
    return 0
  end
  delete(prefix, job_key(prefix, job))
  redis.call('ZREM', prefix .. ':agenda', 'h' .. job)
  return 1
end

-- Nobody asks for requests of parts that cannot run again.
local function drop_requests(key, s)
  for first = 0, s[TOTAL] - 1, MANY do
    local names = {}
    for step = first, math.min(first + MANY, s[TOTAL]) - 1 do
      names[#names + 1] = 'q' .. step
    end
    redis.call('HDEL', key, unpack(names))
  end
end

-- args: job, version, milliseconds to keep it, and for a batch: its files, the time it was told or 0
local function told(keys, args)
  local prefix, job, now = keys[1], args[1], now_ms()
  local key = job_key(prefix, job)
  local s = state_of(key)
  if not s then
    return UNKNOWN
  elseif s[STATE] < SUCCEEDED or tonumber(args[2]) < s[END] then
    return STALE
  elseif s[TOLD] == 1 then
    return REPEATED
  end
  s[TOLD], s[VERSION] = 1, s[VERSION] + 1
  local info = info_of(key)
  if args[4] and info[IS_BATCH] == 1 then
    local at = tonumber(args[6])
    redis.call('HSET', key, 'b', cmsgpack.pack({args[4], args[5], at > 0 and at or now}))
  end
  if s[DEAD] == 0 and info[HAS_FILE] == 0 then
    drop_requests(key, s)
  end
  redis.call('HSET', key, 's', cmsgpack.pack(s))
  flush(prefix, {['t' .. job] = false, ['f' .. job] = now + args[3]})
  return APPLIED
end

-- args: {{job, version}, …}
local function announce(keys, args)
  local events, found, plan, now = cmsgpack.unpack(args[1]), {}, {}, now_ms()
  local base, verdict = job_key(keys[1], ''), nil
  for at, event in ipairs(events) do
    local job = event[1]
    local key = base .. job
    local kept = redis.call('HMGET', key, 's', 'h')
    local s = kept[1] and cmsgpack.unpack(kept[1])
    if not s then
      verdict = UNKNOWN
    elseif s[STATE] < SUCCEEDED or event[2] < s[END] then
      verdict = STALE
    elseif s[ANNOUNCED] == s[END] then
      verdict = REPEATED
    else
      verdict = APPLIED
      s[ANNOUNCED] = s[END]
      redis.call('HSET', key, 's', cmsgpack.pack(s))
      if kept[2] then
        plan['h' .. job] = now
      end
    end
    found[at] = verdict
  end
  flush(keys[1], plan)
  return table.concat(found)
end

-- args: job, version, status, state
local function hooked(keys, args)
  local prefix, job = keys[1], args[1]
  local name, key = 'h' .. job, job_key(prefix, job)
  if not redis.call('ZSCORE', prefix .. ':agenda', name) then
    return 0
  end
  local s, hook = state_of(key), cmsgpack.unpack(redis.call('HGET', key, 'h'))
  if tonumber(args[2]) < s[END] then
    return 0
  end
  s[VERSION] = s[VERSION] + 1
  redis.call('HSET', key, 's', cmsgpack.pack(s), 'h', cmsgpack.pack({args[4], hook[2] + 1, tonumber(args[3])}))
  if args[4] ~= 'pending' then
    redis.call('ZREM', prefix .. ':agenda', name)
  end
  return 1
end

redis.register_function('@library@_create', create)
redis.register_function('@library@_add_parts', more_parts)
redis.register_function('@library@_confirm', confirm)
redis.register_function('@library@_refuse', refuse)
redis.register_function('@library@_end_job', end_now)
redis.register_function('@library@_begin', begin)
redis.register_function('@library@_renew', renew)
redis.register_function('@library@_apply', apply)
redis.register_function('@library@_put_back', put_back)
redis.register_function('@library@_claim', claim)
redis.register_function('@library@_later', later)
redis.register_function('@library@_forget', forget)
redis.register_function('@library@_told', told)
redis.register_function('@library@_announce', announce)
redis.register_function('@library@_hooked', hooked)
redis.register_function{function_name = '@library@_get', callback = get, flags = {'no-writes'}}
redis.register_function{function_name = '@library@_requests', callback = requests, flags = {'no-writes'}}
redis.register_function{function_name = '@library@_results', callback = results, flags = {'no-writes'}}
redis.register_function{function_name = '@library@_parts', callback = parts, flags = {'no-writes'}}
redis.register_function{function_name = '@library@_list', callback = list, flags = {'no-writes'}}
