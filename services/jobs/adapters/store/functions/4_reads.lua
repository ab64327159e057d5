-- What is asked of jobs; nothing here changes anything.

-- args: job
local function get(keys, args)
  return told_of(job_key(keys[1], args[1]))
end

-- args: job, part
local function requests(keys, args)
  local key, found = job_key(keys[1], args[1]), {}
  local s, a = load_part(key, args[2])
  if s then
    local first = a[P_FIRST]
    for at, packed in ipairs(numbered(key, 'q', first, first + a[P_COUNT] - 1)) do
      if packed then
        found[#found + 1] = {first + at - 1, packed}
      end
    end
  end
  return found
end

-- args: job, first step, limit
local function results(keys, args)
  local key, step, limit, found = job_key(keys[1], args[1]), tonumber(args[2]), tonumber(args[3]), {}
  local s = state_of(key)
  while s and s[OK] + s[FAILED] > 0 and step < s[TOTAL] and #found < limit do
    local last = math.min(step + limit - #found, s[TOTAL]) - 1
    for at, packed in ipairs(numbered(key, 'r', step, last)) do
      if packed then
        found[#found + 1] = {step + at - 1, packed}
      end
    end
    step = last + 1
  end
  return found
end

-- args: job
local function parts(keys, args)
  local key = job_key(keys[1], args[1])
  local s = state_of(key)
  return s and numbered(key, 'p', 0, s[PARTS] - 1) or {}
end

-- Whether a place is before another one in time.
local function is_before(one, other)
  local ms, at = string.match(one, '^(%d+)-(%d+)$')
  local other_ms, other_at = string.match(other, '^(%d+)-(%d+)$')
  if ms == other_ms then
    return tonumber(at) < tonumber(other_at)
  end
  return tonumber(ms) < tonumber(other_ms)
end

-- Two lists, newest first, as one; what is in both is there once.
local function merged(some, more, limit)
  local found, at, other = {}, 1, 1
  while #found < limit and (some[at] or more[other]) do
    local one, two = some[at], more[other]
    if not two or (one and not is_before(one[1], two[1])) then
      found[#found + 1] = one
      at = at + 1
      other = other + ((two and two[1] == one[1]) and 1 or 0)
    else
      found[#found + 1] = two
      other = other + 1
    end
  end
  return found
end

-- args: batches (1 or 0), job to go on after or '', limit, key or '', user or ''
local function list(keys, args)
  local prefix, before, limit = keys[1], '+', tonumber(args[3])
  if args[2] ~= '' then
    local packed = redis.call('HGET', job_key(prefix, args[2]), 'i')
    local info = packed and cmsgpack.unpack(packed)
    if not info or info[IS_BATCH] ~= tonumber(args[1]) then
      return {}
    end
    before = '(' .. info[PLACE]
  end
  local name = prefix .. ':list:' .. (args[1] == '1' and 'b' or 'j')
  local some, more = {}, {}
  if args[4] == '' then
    some = redis.call('XREVRANGE', name, before, '-', 'COUNT', limit)
  else
    some = redis.call('XREVRANGE', name .. ':k:' .. args[4], before, '-', 'COUNT', limit)
    more = args[5] ~= '' and redis.call('XREVRANGE', name .. ':u:' .. args[5], before, '-', 'COUNT', limit) or {}
  end
  local found = {}
  for _, entry in ipairs(merged(some, more, limit)) do
    found[#found + 1] = told_of(job_key(prefix, entry[2][2]))
  end
  return found
end
