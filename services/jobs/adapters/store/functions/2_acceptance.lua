-- From a submission to a job that runs, or is refused.

-- Parts that follow those it has. specs: {number, first, count, packed} each.
local function add_parts(s, specs, fields)
  local added = 0
  for _, spec in ipairs(specs) do
    if spec[1] == s[PARTS] then
      local part = {P_WAITING, 0, 0, spec[3], spec[2], spec[3], 0, 0, ''}
      fields[#fields + 1] = 'a' .. spec[1]
      fields[#fields + 1] = cmsgpack.pack(part)
      fields[#fields + 1] = 'p' .. spec[1]
      fields[#fields + 1] = spec[4]
      s[PARTS], s[LEFT], s[TOTAL] = s[PARTS] + 1, s[LEFT] + 1, s[TOTAL] + spec[3]
      added = added + 1
    end
  end
  return added
end

-- Gives a new job its place in the lists. The first one makes it, from a clock that never goes back.
local function enlist(prefix, info, job)
  local lists = each_list(prefix, info)
  info[PLACE] = redis.call('XADD', lists[1], '*', 'j', job)
  for at = 2, #lists do
    redis.call('XADD', lists[at], info[PLACE], 'j', job)
  end
end

-- args: {id, seconds, is batch, has a file, key, user, client's, has a webhook, parts, requests: {step, packed} each}
local function create(keys, args)
  local prefix, ask, now = keys[1], cmsgpack.unpack(args[1]), now_ms()
  local job, key = ask[1], job_key(prefix, ask[1])
  local known = told_of(key)
  if known then
    return known
  end
  local s = {ACCEPTING, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}
  local info = {now, now + ask[2] * 1000, ask[2], ask[3], ask[4], ask[5], ask[6], ''}
  enlist(prefix, info, job)
  local fields = {'i', cmsgpack.pack(info), 'c', ask[7]}
  if ask[8] == 1 then
    fields[5], fields[6] = 'h', cmsgpack.pack({'pending', 0, 0})
  end
  add_parts(s, ask[9], fields)
  for _, request in ipairs(ask[10]) do
    fields[#fields + 1] = 'q' .. request[1]
    fields[#fields + 1] = request[2]
  end
  fields[#fields + 1] = 's'
  fields[#fields + 1] = cmsgpack.pack(s)
  set(key, fields)
  if ask[4] == 1 then
    flush(prefix, {['x' .. job] = now, ['e' .. job] = info[EXPIRES_AT]})
  else
    flush(prefix, {['r' .. job] = now + REFUSE_MS})
  end
  return told_of(key)
end

-- args: {job, reserved, parts}
local function more_parts(keys, args)
  local ask = cmsgpack.unpack(args[1])
  local key = job_key(keys[1], ask[1])
  local s = state_of(key)
  if not s then
    return UNKNOWN
  elseif s[STATE] >= SUCCEEDED then
    return ENDED
  elseif s[STATE] ~= ACCEPTING then
    return REPEATED
  end
  local expected = s[PARTS]
  for _, spec in ipairs(ask[3]) do
    if spec[1] > expected then
      return UNKNOWN
    end
    expected = math.max(expected, spec[1] + 1)
  end
  local fields = {}
  if add_parts(s, ask[3], fields) == 0 then
    return REPEATED
  end
  s[RESERVED], s[VERSION] = s[RESERVED] + ask[2], s[VERSION] + 1
  fields[#fields + 1] = 's'
  fields[#fields + 1] = cmsgpack.pack(s)
  set(key, fields)
  return APPLIED
end

-- args: job, reserved. From when REFUSE is due it is too late: somebody may be giving the money back.
local function confirm(keys, args)
  local prefix, job, now = keys[1], args[1], now_ms()
  local key = job_key(prefix, job)
  local s = state_of(key)
  if s and s[STATE] == ACCEPTING then
    local plan, info = {['r' .. job] = false, ['x' .. job] = false}, info_of(key)
    if info[HAS_FILE] == 0 then
      if now >= info[CREATED_AT] + REFUSE_MS then
        return told_of(key)
      end
      plan['e' .. job] = info[EXPIRES_AT]
    end
    s[STATE], s[VERSION], s[RESERVED] = REQUESTED, s[VERSION] + 1, s[RESERVED] + args[2]
    plan_sends(plan, job, s[PARTS], now)
    end_if_done(s, job, plan, now)
    redis.call('HSET', key, 's', cmsgpack.pack(s))
    flush(prefix, plan)
  end
  return told_of(key)
end

-- args: job, error as its client packed it, or nothing
local function refuse(keys, args)
  local prefix, job, now = keys[1], args[1], now_ms()
  local key = job_key(prefix, job)
  local s = state_of(key)
  if s and s[STATE] == ACCEPTING then
    local plan = {}
    if args[2] then
      end_job(s, job, HAS_FAILED, plan, now)
      redis.call('HSET', key, 's', cmsgpack.pack(s), 'e', args[2])
    else
      delete(prefix, key)
    end
    plan['r' .. job], plan['x' .. job], plan['e' .. job] = false, false, false
    flush(prefix, plan)
  end
  return told_of(key)
end

-- args: job, state
local function end_now(keys, args)
  local prefix, job, now = keys[1], args[1], now_ms()
  local key, state = job_key(prefix, job), tonumber(args[2])
  local s = state_of(key)
  if s and s[STATE] < SUCCEEDED then
    local plan = {['r' .. job] = false, ['x' .. job] = false}
    plan_sends(plan, job, s[PARTS], false)
    end_job(s, job, state, plan, now)
    if state == CANCELLED then
      s[CANCELLED_AT] = now
    end
    redis.call('HSET', key, 's', cmsgpack.pack(s))
    flush(prefix, plan)
  end
  return told_of(key)
end
