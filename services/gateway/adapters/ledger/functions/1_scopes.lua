-- Scopes: buckets of the per-minute limits, budgets and their windows. Amounts are nano-dollars, times microseconds.
--
-- Lua numbers are doubles, which hold integers exactly up to 2^53; every amount and limit is checked to be below it
-- before it comes here, and what a scope has spent in its life is kept as dollars (sd) and the rest (sn).

local MINUTE = 60000000
local DOLLAR = 1000000000
-- Ended holds are remembered for so long (milliseconds): a settle that is repeated must find that it was done.
local ENDED_MS = 3600000
-- A session tree's state, idle for so long (milliseconds), is forgotten, and its budget with it.
local SESSION_MS = 30 * 86400000

-- A store process has one life: what was acknowledged in an earlier one may have been lost with its last second.
local life

local function now_us()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000000 + tonumber(time[2])
end

local function this_life()
  if not life then
    life = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
  end
  return life
end

local function text(number)
  return string.format('%.0f', number)
end

-- Unpacking is most of what loading a scope costs. So what was unpacked is kept beside the text that it came from, and
-- taken again where the store has that very text: limits by their text, states by their key. Nobody changes limits; a
-- state is taken out, changed, and put back only with the text that was saved.
local KEPT_MAX = 4096
local limits, limits_count = {}, 0
local states, states_count = {}, 0

local function limits_of(packed)
  local lim = limits[packed]
  if not lim then
    if limits_count >= KEPT_MAX then
      limits, limits_count = {}, 0
    end
    lim = cmsgpack.unpack(packed)
    limits[packed], limits_count = lim, limits_count + 1
  end
  return lim
end

local function take_state(key, packed)
  local kept = states[key]
  if kept then
    states[key], states_count = nil, states_count - 1
    if kept.packed == packed then
      return kept.st
    end
  end
  return cmsgpack.unpack(packed)
end

local function keep_state(key, packed, st)
  if not states[key] then
    if states_count >= KEPT_MAX then
      states, states_count = {}, 0
    end
    states_count = states_count + 1
  end
  states[key] = {packed = packed, st = st}
end

local function load_scope(prefix, name)
  local key = prefix .. ':' .. name
  local found = redis.call('HMGET', key, 'lim', 'st')
  local scope = {key = key, name = name, lim = found[1] and limits_of(found[1])}
  if found[2] then
    scope.st = take_state(key, found[2])
  else
    scope.st, scope.fresh = {h = 0, p = 0, sd = 0, sn = 0}, true
  end
  return scope
end

-- The scopes of a call, widest first. A session tree has no limits of its own: those above it say what it may cost.
local function load_scopes(prefix, names)
  local scopes, session_budget = {}, nil
  for at, name in ipairs(names) do
    local scope = load_scope(prefix, name)
    scopes[at] = scope
    if string.sub(name, 1, 2) == 's:' then
      scope.session = true
      scope.lim = session_budget and {b = {{'total', 0, session_budget, -1, 0}}} or {}
    elseif scope.lim and scope.lim.ses then
      session_budget = math.min(session_budget or scope.lim.ses, scope.lim.ses)
    end
  end
  return scopes
end

-- The list of scopes grows with every session tree, whose states are forgotten by themselves: each one that comes looks
-- at two others, so that the list stays about as long as there are scopes.
local function list_scope(prefix, scope)
  local list = prefix .. ':scopes'
  if scope.session then
    for _, name in ipairs(redis.call('SRANDMEMBER', list, 2)) do
      if redis.call('EXISTS', prefix .. ':' .. name) == 0 then
        redis.call('SREM', list, name)
      end
    end
  end
  redis.call('SADD', list, scope.name)
  scope.fresh = nil
end

local function save_scope(prefix, scope)
  local packed = cmsgpack.pack(scope.st)
  redis.call('HSET', scope.key, 'st', packed)
  keep_state(scope.key, packed, scope.st)
  if scope.session then
    redis.call('PEXPIRE', scope.key, SESSION_MS)
  end
  if scope.fresh then
    list_scope(prefix, scope)
  end
end

-- Buckets (GCRA in its leaky-bucket form, ITU-T I.371): a level in units x microseconds that drains by `limit` units a
-- minute, so that everything is an integer. A clock that stepped back drains nothing and delays nothing.
local function drained(level, at, limit, now)
  if not level then
    return 0
  end
  return math.max(0, level - math.max(0, now - at) * limit)
end

-- Microseconds until `units` more fit, 0 = they fit; nil = they never will.
local function bucket_wait(level, limit, units)
  local over = level + units * MINUTE - limit * MINUTE
  if over <= 0 then
    return 0
  end
  if units > limit then
    return nil
  end
  return math.ceil(over / limit)
end

local function bucket_left(level, limit)
  return math.max(0, math.floor((limit * MINUTE - level) / MINUTE))
end

local function bucket_reset(level, limit)
  return limit > 0 and math.ceil(level / limit) or MINUTE
end

local function spent(st)
  return st.sd * DOLLAR + st.sn
end

local function add_spent(st, cost)
  local sum = st.sn + cost
  local dollars = math.floor(sum / DOLLAR)
  st.sd, st.sn = st.sd + dollars, sum - dollars * DOLLAR
end

-- The window of a budget at `now`, rolled on if time has passed it. A window that still has holds is kept aside.
local function current_window(st, budget, now)
  local duration, length, anchor = budget[1], budget[2], budget[5]
  local start = anchor + math.max(0, math.floor((now - anchor) / length)) * length
  st.w = st.w or {}
  local window = st.w[duration]
  if not window then
    window = {i = start, s = 0, h = 0}
    st.w[duration] = window
  elseif start > window.i or (window.i - start) % length ~= 0 then
    -- Time that steps back brings no window back; an anchor that moves does, unless it moves by whole windows.
    local aside = window.o or {}
    if window.h > 0 then
      aside[text(window.i)] = {s = window.s, h = window.h}
    end
    local again = aside[text(start)]
    aside[text(start)] = nil
    window = {i = start, s = again and again.s or 0, h = again and again.h or 0}
    window.o = next(aside) and aside or nil
    st.w[duration] = window
  end
  return window
end

local function window_at(st, duration, start)
  local window = st.w and st.w[duration]
  if not window or window.i == start then
    return window
  end
  return window.o and window.o[text(start)]
end

-- What was settled and held moves within a window; one that is over and empty is dropped.
local function move(st, duration, start, settled, held)
  local window = window_at(st, duration, start)
  if not window then
    return
  end
  window.s, window.h = window.s + settled, window.h + held
  local latest = st.w[duration]
  if latest ~= window and window.h <= 0 then
    latest.o[text(start)] = nil
    if not next(latest.o) then
      latest.o = nil
    end
  end
end

-- Starts of the windows that a call counts in from `now` on, by duration.
local function windows_of(scope, now)
  local starts = {}
  for _, budget in ipairs(scope.lim and scope.lim.b or {}) do
    if budget[2] > 0 then
      starts[budget[1]] = current_window(scope.st, budget, now).i
    end
  end
  return starts
end

local function windows_of_all(scopes, now)
  local starts = {}
  for at, scope in ipairs(scopes) do
    starts[at] = windows_of(scope, now)
  end
  return starts
end

-- What a budget has left for further holds, in the window `start` or in the present one.
local function budget_room(scope, budget, now, start)
  local st = scope.st
  if budget[2] == 0 then
    return budget[3] - spent(st) - st.h
  end
  local window = start and window_at(st, budget[1], start) or current_window(st, budget, now)
  return budget[3] - window.s - window.h
end

-- The least room of all budgets, nil = there is none. `starts[at]` are the windows of a running call.
local function least_room(scopes, now, starts)
  local least
  for at, scope in ipairs(scopes) do
    for _, budget in ipairs(scope.lim and scope.lim.b or {}) do
      local start = starts and starts[at][budget[1]]
      -- A budget that came after the call began does not count it.
      if not starts or start or budget[2] == 0 then
        local room = budget_room(scope, budget, now, start)
        least = math.min(least or room, room)
      end
    end
  end
  return least
end

local function fill(scope, name, units, now)
  local st, limit = scope.st, scope.lim and scope.lim[name]
  if limit then
    local at = name .. 'a'
    st[name] = drained(st[name], st[at], limit, now) + units * MINUTE
    st[at] = now
  end
end

-- Puts a call's tokens into the buckets of its scopes. The record keeps how many it were this time, and how many each
-- bucket (`tpmn`) has ever been given by then; -1 = it has no such limit.
local function fill_tokens(rec, scopes, tokens, now)
  rec.g, rec.gn = {}, tokens
  for at, scope in ipairs(scopes) do
    local st = scope.st
    rec.g[at] = -1
    if scope.lim and scope.lim.tpm then
      fill(scope, 'tpm', tokens, now)
      st.tpmn = (st.tpmn or 0) + tokens
      rec.g[at] = st.tpmn
    end
  end
end

-- Takes `tokens` back that a call was given and has not used, as far as they are in the bucket still: it drains in the
-- order in which it was filled, so what is there beyond all that came later. What has drained away has made room already.
local function take_back(scope, at, rec, tokens, now)
  local st, limit = scope.st, scope.lim and scope.lim.tpm
  if limit and rec.g[at] >= 0 then
    local level = drained(st.tpm, st.tpma, limit, now)
    local left = math.max(0, level - ((st.tpmn or 0) - rec.g[at]) * MINUTE)
    st.tpm, st.tpma = level - math.min(math.min(tokens, rec.gn) * MINUTE, left), now
  end
end

local function tell_rate(told, place, scope, name, now)
  local st, limit = scope.st, scope.lim and scope.lim[name]
  if limit then
    local level = drained(st[name], st[name .. 'a'], limit, now)
    local left = bucket_left(level, limit)
    if told[place] == -1 or left < told[place + 1] then
      told[place], told[place + 1], told[place + 2] = limit, left, bucket_reset(level, limit)
    end
  end
end

-- What is left after a hold, the tightest of all scopes; -1 = no such limit. For the reply's headers.
local function standing(scopes, now)
  local told = {-1, -1, -1, -1, -1, -1, -1}
  for _, scope in ipairs(scopes) do
    tell_rate(told, 1, scope, 'rpm', now)
    tell_rate(told, 4, scope, 'tpm', now)
  end
  local room = least_room(scopes, now)
  told[7] = room and math.max(0, room) or -1
  return told
end
