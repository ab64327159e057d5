-- Holds: hold, extend, settle, refund, expire; each is one atomic call and may be repeated.

-- Why a call may not be held: {kind, scope, limit, wait in microseconds or -1}; nil = it may.
local function closed_or_too_large(scopes, amount, now)
  local request_budget
  for _, scope in ipairs(scopes) do
    local lim = scope.lim
    if not lim or lim.off then
      return {'off', scope.name, lim and lim.off or 'unknown', -1}
    elseif lim.exp and now >= lim.exp then
      return {'off', scope.name, 'expired', -1}
    end
    if lim.req then
      request_budget = math.min(request_budget or lim.req, lim.req)
    end
  end
  if request_budget and amount > request_budget then
    return {'request', 'request', request_budget, -1}
  end
end

local function paced(scopes, tokens, now)
  for _, scope in ipairs(scopes) do
    local lim, st = scope.lim, scope.st
    if lim.rpm then
      local wait = bucket_wait(drained(st.rpm, st.rpma, lim.rpm, now), lim.rpm, 1)
      if wait ~= 0 then
        return {'requests', scope.name, lim.rpm, wait or -1}
      end
    end
    if lim.par and st.p + 1 > lim.par then
      return {'parallel', scope.name, lim.par, -1}
    end
    if lim.tpm then
      local wait = bucket_wait(drained(st.tpm, st.tpma, lim.tpm, now), lim.tpm, tokens)
      if wait ~= 0 then
        return {'tokens', scope.name, lim.tpm, wait or -1}
      end
    end
  end
end

local function over_budget(scopes, amount, drawn, now)
  for at, scope in ipairs(scopes) do
    local needed = beyond(amount, drawn, at)
    for _, budget in ipairs(scope.lim.b or {}) do
      if needed > 0 and budget_room(scope, budget, now) < needed then
        -- Held by running calls, some of it may come back; settled, it will not before the window ends.
        local held = budget[2] == 0 and scope.st.h or current_window(scope.st, budget, now).h
        local kind = budget_room(scope, budget, now) + held < needed and 'budget' or 'held'
        local ends = budget[2] == 0 and -1 or current_window(scope.st, budget, now).i + budget[2] - now
        return {kind, scope.name, budget[3], ends, budget[1]}
      end
    end
  end
end

-- A call of a reservation is not paced: it waits behind live calls, and must not be in their way.
local function refusal(scopes, ask, drawn, now)
  return closed_or_too_large(scopes, ask.amount, now)
    or (ask.reservation == '' and paced(scopes, ask.tokens, now) or nil)
    or over_budget(scopes, ask.amount, drawn, now)
end

local function parts_of(scopes, ask, drawn, at)
  local own, parts = windows_of_all(scopes, at), {}
  if drawn.amount > 0 then
    local starts = windows_drawn(drawn, scopes, own)
    table.insert(parts, {a = drawn.amount, w = starts, r = ask.reservation, k = drawn.covered})
  end
  if drawn.amount < ask.amount or drawn.amount == 0 then
    table.insert(parts, {a = ask.amount - drawn.amount, w = own})
  end
  return parts
end

-- What a reservation covers is held in the scope already.
local function hold_more(scope, at, part, amount)
  if not (part.r and covers(part, at)) then
    scope.st.h = scope.st.h + amount
    for duration, start in pairs(part.w[at]) do
      move(scope.st, duration, start, 0, amount)
    end
  end
end

-- Adds a hold to its scopes' state.
local function take_hold(prefix, scopes, rec, now)
  if not rec.rv then
    fill_tokens(rec, scopes, rec.t, now)
  end
  for at, scope in ipairs(scopes) do
    for _, part in ipairs(rec.parts) do
      hold_more(scope, at, part, part.a)
    end
    if not rec.rv then
      scope.st.p = scope.st.p + 1
      fill(scope, 'rpm', 1, now)
    end
    save_scope(prefix, scope)
  end
end

local function keep_hold(prefix, id, rec)
  redis.call('SET', hold_key(prefix, id), cmsgpack.pack(rec))
  redis.call('ZADD', prefix .. ':leases', text(rec.l), id)
end

-- Five numbers from `first` on: cost, prompt, cached, completion and reasoning tokens.
local function progress_from(args, first)
  local progress = {}
  for at = 1, 5 do
    progress[at] = tonumber(args[first + at - 1])
  end
  return progress
end

local function scopes_from(args, first)
  local names = {}
  for at = first, #args do
    names[#names + 1] = args[at]
  end
  return names
end

local function reply(...)
  return cmsgpack.pack({...})
end

-- Holds for a call, unchecked. `rec` says when it was held (`at`), until when, and what it has used.
local function begin(prefix, id, rec, scopes, ask, drawn, now)
  rec.s, rec.n, rec.parts = 'held', 0, parts_of(scopes, ask, drawn, rec.at)
  rec.rv = ask.reservation ~= '' and ask.reservation or nil
  take_drawn(prefix, drawn, drawn.amount)
  take_hold(prefix, scopes, rec, now)
  keep_hold(prefix, id, rec)
end

-- The progress is what a call is charged that is never heard of again: its prompt.
-- args: life, id, amount, tokens, lease, grace, meta, reservation, progress x 5, scopes…
local function hold(keys, args)
  if args[1] ~= this_life() then
    return reply('life', life)
  end
  local prefix, id, now = keys[1], args[2], now_us()
  local ask = {amount = tonumber(args[3]), tokens = tonumber(args[4]), reservation = args[8]}
  local names = scopes_from(args, 14)
  local scopes = load_scopes(prefix, names)
  local rec = load_packed(hold_key(prefix, id))
  if rec then
    return reply(rec.s == 'held' and 'ok' or 'ended', now, standing(scopes, now), rec.a or 0, rec.t or 0, rec.s)
  end
  local drawn = draw(prefix, ask.reservation, scopes, ask.amount)
  local no = refusal(scopes, ask, drawn, now)
  if no and (no[1] == 'parallel' or no[1] == 'held') and expire_overdue(prefix, now, tonumber(args[6]), 100) > 0 then
    scopes = load_scopes(prefix, names)
    drawn = draw(prefix, ask.reservation, scopes, ask.amount)
    no = refusal(scopes, ask, drawn, now)
  end
  if no then
    return reply('no', now, standing(scopes, now), no)
  end
  rec = {a = ask.amount, t = ask.tokens, l = now + tonumber(args[5]), sc = names, pr = progress_from(args, 9),
         m = args[7], at = now}
  begin(prefix, id, rec, scopes, ask, drawn, now)
  return reply('ok', now, standing(scopes, now), ask.amount, ask.tokens)
end

local function own_part(rec)
  for at = #rec.parts, 1, -1 do
    if not rec.parts[at].r then
      return rec.parts[at]
    end
  end
end

-- The windows that more of a hold counts in: those of what it holds, or the present ones if that is nothing of its own.
local function windows_to_grow(rec, scopes, now)
  local part = own_part(rec)
  return (not part or part.a == 0) and windows_of_all(scopes, now) or part.w
end

-- The part for more that is drawn: one that counts in the same windows, or another.
local function drawn_part(rec, drawn, starts)
  for _, part in ipairs(rec.parts) do
    if part.r and same_windows(part.w, starts) then
      return part
    end
  end
  local part = {a = 0, w = starts, r = rec.rv, k = drawn.covered}
  table.insert(rec.parts, part)
  return part
end

local function add_to(scopes, part, amount)
  part.a = part.a + amount
  for at, scope in ipairs(scopes) do
    hold_more(scope, at, part, amount)
  end
end

-- A running hold and its scopes grow, whatever their limits say. What its reservation has is drawn first.
local function grow(prefix, rec, scopes, amount, tokens, now)
  local starts, drawn = windows_to_grow(rec, scopes, now), draw(prefix, rec.rv, scopes, amount)
  if drawn.amount > 0 then
    take_drawn(prefix, drawn, drawn.amount)
    add_to(scopes, drawn_part(rec, drawn, windows_drawn(drawn, scopes, starts)), drawn.amount)
  end
  if amount > drawn.amount then
    local own = own_part(rec)
    if not own then
      own = {a = 0}
      table.insert(rec.parts, own)
    end
    own.w = starts
    add_to(scopes, own, amount - drawn.amount)
  end
  -- A running answer is not cut for the minute's sake: the calls behind it wait longer.
  if not rec.rv then
    fill_tokens(rec, scopes, tokens, now)
  end
  for _, scope in ipairs(scopes) do
    save_scope(prefix, scope)
  end
  rec.a, rec.t = rec.a + amount, rec.t + tokens
end

-- 'ok', 'no' where a limit says so, 'off' where a scope is closed.
local function may_grow(prefix, rec, scopes, amount, now)
  local request_budget
  for _, scope in ipairs(scopes) do
    local lim = scope.lim
    if not lim or lim.off or (lim.exp and now >= lim.exp) then
      return 'off'
    end
    request_budget = lim.req and math.min(request_budget or lim.req, lim.req) or request_budget
  end
  if request_budget and rec.a + amount > request_budget then
    return 'no'
  end
  local starts, drawn = windows_to_grow(rec, scopes, now), draw(prefix, rec.rv, scopes, amount)
  for at, scope in ipairs(scopes) do
    local needed = beyond(amount, drawn, at)
    local room = needed > 0 and least_room({scope}, now, {starts[at]})
    if room and room < needed then
      return 'no'
    end
  end
  return 'ok'
end

-- Reports may arrive out of order: the one with more of the answer is the later one.
local function report(rec, args, first)
  local progress = progress_from(args, first)
  if progress[4] >= rec.pr[4] then
    rec.pr = progress
  end
end

-- args: life, id, amount, tokens, lease, progress x 5
local function extend(keys, args)
  if args[1] ~= this_life() then
    return reply('life', life)
  end
  local prefix, id, now = keys[1], args[2], now_us()
  local rec = load_packed(hold_key(prefix, id))
  if not rec then
    return reply('unknown')
  elseif rec.s ~= 'held' then
    return reply('ended', rec.s)
  end
  local amount, granted = tonumber(args[3]), 'ok'
  if amount > 0 then
    local scopes = load_scopes(prefix, rec.sc)
    granted = may_grow(prefix, rec, scopes, amount, now)
    if granted == 'ok' then
      grow(prefix, rec, scopes, amount, tonumber(args[4]), now)
    end
  end
  report(rec, args, 6)
  rec.l = now + tonumber(args[5])
  keep_hold(prefix, id, rec)
  return reply(granted)
end

-- args: id, state (settled or refunded), platform, progress x 5
local function settle(keys, args)
  local prefix, id, state, now = keys[1], args[1], args[2], now_us()
  local rec = load_packed(hold_key(prefix, id))
  if not rec then
    if state == 'refunded' then
      -- The hold may still be on its way, in the buffers of a connection that was given up: it must find this.
      redis.call('SET', hold_key(prefix, id), cmsgpack.pack({s = state, c = 0}), 'PX', ENDED_MS)
      return reply('ok', 0)
    end
    return reply('unknown')
  end
  local progress = state == 'refunded' and NO_PROGRESS or progress_from(args, 4)
  if rec.s == 'held' then
    return reply('ok', finish(prefix, id, rec, state, progress, tonumber(args[3]), now))
  elseif rec.s == 'expired' then
    return reply('ok', correct(prefix, id, rec, progress, tonumber(args[3]), now))
  end
  return reply('ok', rec.c)
end

-- Holds whose lease is over, for those who can find out what became of them. args: limit
local function overdue(keys, args)
  local prefix, found, now = keys[1], {}, now_us()
  local ids = redis.call('ZRANGEBYSCORE', prefix .. ':leases', '-inf', text(now), 'LIMIT', 0, tonumber(args[1]))
  for at, id in ipairs(ids) do
    local rec = load_packed(hold_key(prefix, id))
    if rec then
      -- As it is: what cmsgpack packs as text must be text.
      found[#found + 1] = {id, text(rec.l), rec.m, cmsgpack.pack(rec.pr), text(now - rec.at)}
    end
  end
  return found
end

-- Ends one overdue hold at what the workers say. args: id, lease as seen, state (expired or refunded), progress x 5
local function expire_one(keys, args)
  local prefix, id, now = keys[1], args[1], now_us()
  local rec = load_packed(hold_key(prefix, id))
  if not rec or rec.s ~= 'held' or rec.l ~= tonumber(args[2]) or rec.l > now then
    return reply('no')
  end
  rec.pr = args[3] == 'refunded' and NO_PROGRESS or progress_from(args, 4)
  return reply('ok', finish(prefix, id, rec, args[3], rec.pr, 0, now))
end

-- args: grace, limit
local function expire(keys, args)
  return expire_overdue(keys[1], now_us(), tonumber(args[1]), tonumber(args[2]))
end

-- A hold that an earlier life of the store granted: taken up without a check. args: life, id, amount, tokens, lease,
-- meta, time of the hold, reservation, progress x 5, scopes…
local function redeclare(keys, args)
  if args[1] ~= this_life() then
    return reply('life', life)
  end
  local prefix, id, now = keys[1], args[2], now_us()
  local names, at, amount, tokens = scopes_from(args, 14), tonumber(args[7]), tonumber(args[3]), tonumber(args[4])
  local scopes, rec = load_scopes(prefix, names), load_packed(hold_key(prefix, id))
  if rec and rec.s ~= 'held' then
    return reply('ended', rec.s)
  elseif rec then
    -- It may have lost an extension, or the renewal of its lease.
    if amount > rec.a then
      grow(prefix, rec, scopes, amount - rec.a, math.max(0, tokens - rec.t), now)
    end
    report(rec, args, 9)
    rec.l = now + tonumber(args[5])
    keep_hold(prefix, id, rec)
  else
    local ask = {amount = amount, reservation = args[8]}
    rec = {a = amount, t = tokens, l = now + tonumber(args[5]), sc = names, pr = progress_from(args, 9), m = args[6],
           at = at}
    begin(prefix, id, rec, scopes, ask, draw(prefix, ask.reservation, scopes, amount), now)
  end
  return reply('ok')
end
