-- What attempts may change, and when it is too late: the fence. Each function takes many asks of one tenant at once.

local function load_part(key, part)
  local found = redis.call('HMGET', key, 's', 'a' .. part)
  if found[1] and found[2] then
    return cmsgpack.unpack(found[1]), cmsgpack.unpack(found[2])
  end
end

-- Its attempt is over; the epoch stays.
local function leave(s, a, state)
  s[TOKENS] = s[TOKENS] - a[P_TOKENS]
  a[P_STATE], a[P_OWNER], a[P_LEASE], a[P_TOKENS] = state, '', 0, 0
end

-- Why an attempt may change nothing any more; `repeated` is the state that the same ask had made.
local function too_late(s, a, epoch, repeated)
  if epoch ~= a[P_EPOCH] then
    return STALE
  elseif a[P_STATE] == repeated then
    return REPEATED
  elseif s[STATE] >= SUCCEEDED then
    return ENDED
  end
  return a[P_STATE] ~= P_RUNNING and STALE or nil
end

-- The job goes on after its end: no end is owed, and it has as much time as it had where that is over.
local function revive(key, s, job, found, plan, now)
  local info = cmsgpack.unpack(found[3])
  if now >= info[EXPIRES_AT] then
    info[EXPIRES_AT] = now + info[SECONDS] * 1000
    found[3] = cmsgpack.pack(info)
    redis.call('HSET', key, 'i', found[3])
  end
  if redis.call('HEXISTS', key, 'h') == 1 then
    redis.call('HSET', key, 'h', cmsgpack.pack({'pending', 0, 0}))
  end
  redis.call('HDEL', key, 'b')
  s[STATE], s[ENDED_AT], s[END], s[TOLD], s[REOPENED] = RUNNING, 0, 0, 0, 1
  plan['e' .. job], plan['t' .. job], plan['f' .. job], plan['h' .. job] = info[EXPIRES_AT], false, false, false
end

-- A dead part waits again, without the results that were made up for it.
local function reopen(key, s, a, ask, found, plan, now)
  local made_up = 'd' .. ask[2]
  for _, result in ipairs(cmsgpack.unpack(redis.call('HGET', key, made_up))) do
    redis.call('HDEL', key, 'r' .. result[1])
    count(s, result, -1)
    a[P_MISSING] = a[P_MISSING] + 1
  end
  redis.call('HDEL', key, made_up)
  a[P_ATTEMPT], s[DEAD], s[LEFT] = 0, s[DEAD] - 1, s[LEFT] + 1
  if s[STATE] >= SUCCEEDED then
    revive(key, s, ask[1], found, plan, now)
  end
end

-- Steps of a part that have a result.
local function steps_had(key, a)
  local steps = {}
  if a[P_MISSING] < a[P_COUNT] then
    for at, packed in ipairs(numbered(key, 'r', a[P_FIRST], a[P_FIRST] + a[P_COUNT] - 1)) do
      if packed then
        steps[#steps + 1] = a[P_FIRST] + at - 1
      end
    end
  end
  return steps
end

-- Of a job that runs: its webhook is pending, and it has neither files nor an error.
local function begun(verdict, key, a, found)
  local steps = steps_had(key, a)
  return {verdict, a[P_EPOCH], a[P_ATTEMPT], steps, found[1], found[3], found[4], found[5]}
end

-- Of one that may have ended.
local function begun_before(key, a, found)
  local reply = begun(POISON, key, a, found)
  for _, field in ipairs({'h', 'b', 'e'}) do
    reply[#reply + 1] = redis.call('HGET', key, field)
  end
  return reply
end

-- ask: {job, part, owner, lease, attempts at most, replayed}
local function begin_one(prefix, ask, plan, now)
  local key, field = job_key(prefix, ask[1]), 'a' .. ask[2]
  local found = redis.call('HMGET', key, 's', field, 'i', 'c', 'p' .. ask[2])
  if not found[1] or not found[2] then
    return {UNKNOWN}
  end
  local s, a = cmsgpack.unpack(found[1]), cmsgpack.unpack(found[2])
  local dead = a[P_STATE] == P_DEAD
  if s[STATE] == ACCEPTING then
    return {UNKNOWN}
  elseif a[P_STATE] == P_DONE then
    return {REPEATED}
  elseif s[STATE] >= SUCCEEDED and not (dead and s[STATE] == HAS_FAILED) then
    return {ENDED}
  elseif dead and ask[6] == 0 then
    return begun_before(key, a, found)
  elseif dead then
    reopen(key, s, a, ask, found, plan, now)
  end
  if a[P_STATE] == P_RUNNING and a[P_OWNER] == ask[3] then
    -- The same ask once more, whose reply was lost: nobody has died of the part meanwhile.
    a[P_ATTEMPT], s[ATTEMPTS] = a[P_ATTEMPT] - 1, s[ATTEMPTS] - 1
  end
  local poison = a[P_ATTEMPT] >= ask[5]
  s[TOKENS] = s[TOKENS] - a[P_TOKENS]
  a[P_STATE], a[P_OWNER], a[P_LEASE], a[P_TOKENS] = P_RUNNING, ask[3], now + ask[4], 0
  a[P_EPOCH], s[VERSION] = a[P_EPOCH] + 1, s[VERSION] + 1
  if not poison then
    a[P_ATTEMPT], s[ATTEMPTS], s[STATE] = a[P_ATTEMPT] + 1, s[ATTEMPTS] + 1, RUNNING
    s[STARTED] = s[STARTED] == 0 and now or s[STARTED]
  end
  found[1] = cmsgpack.pack(s)
  redis.call('HSET', key, 's', found[1], field, cmsgpack.pack(a))
  plan[send_name(ask[1], ask[2])] = a[P_LEASE]
  return begun(poison and POISON or APPLIED, key, a, found)
end

local function begin(keys, args)
  local prefix, replies, plan, now = keys[1], {}, {}, now_ms()
  for at, ask in ipairs(cmsgpack.unpack(args[1])) do
    replies[at] = begin_one(prefix, ask, plan, now)
  end
  flush(prefix, plan)
  return replies
end

-- Runs `one` for each ask; the verdicts as a string of digits.
local function verdicts(keys, args, one)
  local prefix, found, plan, now = keys[1], {}, {}, now_ms()
  for at, ask in ipairs(cmsgpack.unpack(args[1])) do
    found[at] = one(prefix, ask, plan, now)
  end
  flush(prefix, plan)
  return table.concat(found)
end

-- ask: {job, part, epoch, lease, tokens}
local function renew_one(prefix, ask, plan, now)
  local key = job_key(prefix, ask[1])
  local s, a = load_part(key, ask[2])
  local late = not s and UNKNOWN or too_late(s, a, ask[3])
  if late then
    return late
  end
  a[P_LEASE] = now + ask[4]
  if a[P_TOKENS] ~= ask[5] then
    s[TOKENS], s[VERSION] = s[TOKENS] - a[P_TOKENS] + ask[5], s[VERSION] + 1
    a[P_TOKENS] = ask[5]
  end
  redis.call('HSET', key, 's', cmsgpack.pack(s), 'a' .. ask[2], cmsgpack.pack(a))
  plan[send_name(ask[1], ask[2])] = a[P_LEASE]
  return APPLIED
end

local function renew(keys, args)
  return verdicts(keys, args, renew_one)
end

-- Keeps results of steps that have none, counted; those that it kept. results: {step, succeeded, prompt, cached,
-- completion, cost, packed} each.
local function keep(key, s, a, results, fields)
  local kept = {}
  for _, result in ipairs(results) do
    local step = result[1]
    local is_its = step >= a[P_FIRST] and step < a[P_FIRST] + a[P_COUNT]
    if is_its and redis.call('HSETNX', key, 'r' .. step, result[7]) == 1 then
      count(s, result, 1)
      kept[#kept + 1] = {step, unpack(result, 2, 6)}
    end
  end
  a[P_MISSING] = a[P_MISSING] - #kept
  return kept
end

-- ask: {job, part, epoch, results}
local function apply_one(prefix, ask, plan, now)
  local key = job_key(prefix, ask[1])
  local s, a = load_part(key, ask[2])
  local late = not s and UNKNOWN or too_late(s, a, ask[3], P_DONE)
  if late then
    return late
  elseif #keep(key, s, a, ask[4]) == 0 then
    return REPEATED
  end
  s[VERSION] = s[VERSION] + 1
  if a[P_MISSING] == 0 then
    leave(s, a, P_DONE)
    s[LEFT] = s[LEFT] - 1
    plan[send_name(ask[1], ask[2])] = false
    end_if_done(s, ask[1], plan, now)
  end
  redis.call('HSET', key, 's', cmsgpack.pack(s), 'a' .. ask[2], cmsgpack.pack(a))
  return APPLIED
end

local function apply(keys, args)
  return verdicts(keys, args, apply_one)
end

-- ask: {job, part, epoch, dead, results}
local function put_back_one(prefix, ask, plan, now)
  local key = job_key(prefix, ask[1])
  local s, a = load_part(key, ask[2])
  local late = not s and UNKNOWN or too_late(s, a, ask[3], ask[4] == 1 and P_DEAD or P_WAITING)
  if late then
    return late
  end
  s[VERSION] = s[VERSION] + 1
  if ask[4] == 0 then
    -- Given back in order: only attempts that died without a word count against it.
    a[P_ATTEMPT] = math.max(a[P_ATTEMPT] - 1, 0)
    leave(s, a, P_WAITING)
    plan[send_name(ask[1], ask[2])] = now + RETURNED_MS
  else
    redis.call('HSET', key, 'd' .. ask[2], cmsgpack.pack(keep(key, s, a, ask[5])))
    leave(s, a, P_DEAD)
    s[LEFT], s[DEAD] = s[LEFT] - 1, s[DEAD] + 1
    plan[send_name(ask[1], ask[2])] = false
    end_if_done(s, ask[1], plan, now)
  end
  redis.call('HSET', key, 's', cmsgpack.pack(s), 'a' .. ask[2], cmsgpack.pack(a))
  return APPLIED
end

local function put_back(keys, args)
  return verdicts(keys, args, put_back_one)
end
