-- What the ledger says of itself: scopes, sums by day, the outbox, and its way back from an outbox.

-- Values per day and dimension beyond this many are summed under one name: a dimension is a client's word.
local VALUES_MAX = 50000
local OTHER = '(other)'
-- Sums by day are kept for so long (seconds).
local DAYS_SECONDS = 400 * 86400

-- Every scope asked for: {name, dollars, rest, held, running, {{duration, limit, settled, held, ends or -1}}}
local function show(keys, args)
  local now, shown = now_us(), {}
  for _, scope in ipairs(load_scopes(keys[1], args)) do
    local st, budgets = scope.st, {}
    for at, budget in ipairs(scope.lim and scope.lim.b or {}) do
      if budget[2] == 0 then
        budgets[at] = {budget[1], budget[3], spent(st), st.h, -1}
      else
        local window = current_window(st, budget, now)
        budgets[at] = {budget[1], budget[3], window.s, window.h, window.i + budget[2]}
      end
    end
    shown[#shown + 1] = {scope.name, st.sd, st.sn, st.h, st.p, budgets}
  end
  return cmsgpack.pack(shown)
end

-- Every scope that has ever had a state: {name, dollars, rest, held, running, {duration -> {start, settled, held}}}
local function dump(keys)
  local prefix, found = keys[1], {}
  for _, name in ipairs(redis.call('SMEMBERS', prefix .. ':scopes')) do
    local scope = load_scope(prefix, name)
    if scope.fresh then
      redis.call('SREM', prefix .. ':scopes', name)
    else
      local windows = {}
      for duration, window in pairs(scope.st.w or {}) do
        windows[duration] = {window.i, window.s, window.h}
      end
      found[#found + 1] = {name, scope.st.sd, scope.st.sn, scope.st.h, scope.st.p, windows}
    end
  end
  return cmsgpack.pack(found)
end

local function add_to_day(key, value, sums)
  local stored = redis.call('HGET', key, value)
  if not stored and redis.call('HLEN', key) >= VALUES_MAX then
    value = OTHER
    stored = redis.call('HGET', key, value)
  end
  local total = stored and cmsgpack.unpack(stored) or {0, 0, 0, 0, 0, 0, 0}
  for at = 1, 7 do
    total[at] = total[at] + sums[at]
  end
  redis.call('HSET', key, value, cmsgpack.pack(total))
  redis.call('EXPIRE', key, DAYS_SECONDS)
end

local function sum_up(prefix, entry, meta)
  local calls = (entry[3] == 1 and entry[1] ~= 'soft_budget') and 1 or 0
  -- requests, prompt, cached, completion, reasoning tokens, cost, platform's cost
  local sums = {calls, entry[7], entry[8], entry[9], entry[10], entry[5], entry[6]}
  local day = prefix .. ':day:' .. text(math.floor(entry[4] / 86400000000)) .. ':'
  local values = {tenant = 't', key = meta[1], user = meta[2], end_user = meta[3], model = meta[4], session = meta[6]}
  if meta[6] == '' then
    values.session = meta[5]
  end
  for dimension, value in pairs(values) do
    if value ~= '' then
      add_to_day(day .. dimension, value, sums)
    end
  end
  for name, value in pairs(meta[7]) do
    add_to_day(day .. 'tag', name .. '=' .. value, sums)
  end
end

local function fields_of(entry)
  local fields = {}
  for at = 1, #entry[2], 2 do
    fields[entry[2][at]] = entry[2][at + 1]
  end
  return fields
end

-- Adds what has come to the outbox to the sums by day, once. args: limit. Returns how many entries it took.
local function sum(keys, args)
  local prefix = keys[1]
  local cursor = redis.call('GET', prefix .. ':summed')
  local from = cursor and '(' .. cursor or '-'
  local entries = redis.call('XRANGE', prefix .. ':outbox', from, '+', 'COUNT', tonumber(args[1]))
  for _, entry in ipairs(entries) do
    local fields = fields_of(entry)
    if fields.m and fields.m ~= '' then
      local unpacked = cmsgpack.unpack(fields.e)
      if unpacked[1] ~= 'soft_budget' then
        sum_up(prefix, unpacked, cmsgpack.unpack(fields.m))
      end
    end
    cursor = entry[1]
  end
  if #entries > 0 then
    redis.call('SET', prefix .. ':summed', cursor)
  end
  return #entries
end

-- Whether the stream id `left` comes after `right`.
local function is_later(left, right)
  local lm, ls = string.match(left, '(%d+)-(%d+)')
  local rm, rs = string.match(right, '(%d+)-(%d+)')
  lm, ls, rm, rs = tonumber(lm), tonumber(ls), tonumber(rm), tonumber(rs)
  return lm > rm or (lm == rm and ls > rs)
end

-- A broker has all entries up to an id. With trim they go, as far as they are summed up. args: id, trim (1 or 0)
local function advance(keys, args)
  local prefix, id = keys[1], args[1]
  local cursor = redis.call('GET', prefix .. ':published')
  if not cursor or is_later(id, cursor) then
    redis.call('SET', prefix .. ':published', id)
    cursor = id
  end
  if args[2] ~= '1' then
    return 0
  end
  local summed = redis.call('GET', prefix .. ':summed')
  if not summed then
    return 0
  end
  local least = is_later(cursor, summed) and summed or cursor
  -- MINID keeps the id itself; the entry after it is where what is kept begins.
  local next_ones = redis.call('XRANGE', prefix .. ':outbox', '(' .. least, '+', 'COUNT', 1)
  if next_ones[1] then
    return redis.call('XTRIM', prefix .. ':outbox', 'MINID', next_ones[1][1])
  end
  return redis.call('XTRIM', prefix .. ':outbox', 'MAXLEN', 0)
end

-- One publisher at a time. args: holder, milliseconds
local function lease(keys, args)
  local key = keys[1] .. ':publisher'
  local holder = redis.call('GET', key)
  if holder and holder ~= args[1] then
    return 0
  end
  redis.call('SET', key, args[1], 'PX', tonumber(args[2]))
  return 1
end

-- Applies an event of another store's outbox, once. args: e, m
local function replay(keys, args)
  local prefix, entry = keys[1], cmsgpack.unpack(args[1])
  if redis.call('SADD', prefix .. ':replayed', entry[2] .. '#' .. text(entry[3])) == 0 then
    return 0
  end
  for name, starts in pairs(entry[11]) do
    local scope = load_scope(prefix, name)
    scope.session = string.sub(name, 1, 2) == 's:'
    local st = scope.st
    add_spent(st, entry[5])
    for duration, start in pairs(starts) do
      if duration ~= 'total' then
        st.w = st.w or {}
        local window = st.w[duration]
        if not window or start > window.i then
          st.w[duration] = {i = start, s = entry[5], h = 0}
        elseif start == window.i then
          window.s = window.s + entry[5]
        end
      end
    end
    save_scope(prefix, scope)
  end
  redis.call('XADD', prefix .. ':outbox', '*', 'e', args[1], 'm', args[2])
  return 1
end

local function hello()
  return this_life()
end

-- A gateway says that it is here, and in which life of the store it has declared its holds ('' = not yet). The key is
-- the census of all gateways. Returns the life, then name and declared life of every other gateway.
-- args: name, declared life, microseconds after which a silent one is forgotten
local function beat(keys, args)
  local now, census = now_us(), keys[1]
  redis.call('HSET', census, args[1], args[2] .. ' ' .. text(now))
  local told, entries = {this_life()}, redis.call('HGETALL', census)
  for at = 1, #entries, 2 do
    local declared, seen = string.match(entries[at + 1], '(%x*) (%d+)')
    if now - tonumber(seen) > tonumber(args[3]) then
      redis.call('HDEL', census, entries[at])
    elseif entries[at] ~= args[1] then
      told[#told + 1] = entries[at]
      told[#told + 1] = declared
    end
  end
  return told
end

redis.register_function('@library@_hello', hello)
redis.register_function('@library@_beat', beat)
redis.register_function('@library@_hold', hold)
redis.register_function('@library@_extend', extend)
redis.register_function('@library@_settle', settle)
redis.register_function('@library@_redeclare', redeclare)
redis.register_function('@library@_overdue', overdue)
redis.register_function('@library@_expire_one', expire_one)
redis.register_function('@library@_expire', expire)
redis.register_function('@library@_reserve', reserve)
redis.register_function('@library@_release', release)
redis.register_function('@library@_find_reservation', find_reservation)
redis.register_function('@library@_show', show)
redis.register_function('@library@_dump', dump)
redis.register_function('@library@_sum', sum)
redis.register_function('@library@_advance', advance)
redis.register_function('@library@_lease', lease)
redis.register_function('@library@_replay', replay)
