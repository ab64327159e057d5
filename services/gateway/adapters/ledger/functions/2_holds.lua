-- Holds: hold, extend, settle, refund, expire; each is one atomic call and may be repeated.
--
-- A hold's record: s state, a amount, t tokens, l end of the lease, sc scopes, parts, pr progress, m meta, n number of
-- its last event, c what it was charged, b what it cost beyond that (the operator bears it). A part is an amount `a` with
-- the windows `w` (per scope) that it counts in, and in the end what it was charged, `c`; the part that was drawn from a
-- reservation `r` covers the scopes `k`, the other part covers all.

local NO_PROGRESS = {0, 0, 0, 0, 0}

local function hold_key(prefix, id)
  return prefix .. ':hold:' .. id
end

local function load_packed(key)
  local found = redis.call('GET', key)
  return found and cmsgpack.unpack(found)
end

local function publish(prefix, kind, id, number, now, cost, platform, progress, windows, meta)
  local entry = {kind, id, number, now, cost, platform, progress[2], progress[3], progress[4], progress[5], windows}
  redis.call('XADD', prefix .. ':outbox', '*', 'e', cmsgpack.pack(entry), 'm', meta)
end

local function named(scopes, starts)
  local windows = {}
  for at, scope in ipairs(scopes) do
    windows[scope.name] = starts[at]
  end
  return windows
end

-- An event, once per window and soft limit.
local function tell_soft_budgets(prefix, scope, now, meta)
  for _, budget in ipairs(scope.lim and scope.lim.b or {}) do
    local soft, st = budget[4], scope.st
    if soft >= 0 then
      local total = budget[2] == 0
      local slot = total and st or current_window(st, budget, now)
      local used = total and spent(st) or slot.s
      if used >= soft and slot.e ~= soft then
        slot.e = soft
        local start = total and 0 or slot.i
        local id = 'soft:' .. scope.name .. ':' .. budget[1] .. ':' .. text(start) .. ':' .. text(soft)
        publish(prefix, 'soft_budget', id, 1, now, 0, 0, NO_PROGRESS, {[scope.name] = {[budget[1]] = start}}, meta)
      end
    end
  end
end

local function covers(part, at)
  return not part.k or part.k[at] == 1
end

local function settle_charge(scope, at, part, cost, freed)
  add_spent(scope.st, cost)
  for duration, start in pairs(part.w[at]) do
    move(scope.st, duration, start, cost, -freed)
  end
end

-- Moves one part of a hold from held to settled. `kept` goes back to the reservation it came from.
local function settle_part(scope, at, part, cost, kept)
  local st = scope.st
  local freed = covers(part, at) and part.a - kept or part.a
  st.h = st.h - freed
  if part.r and scope.name == 't' and covers(part, at) then
    st.r = st.r - freed
  end
  settle_charge(scope, at, part, cost, freed)
end

local function charges_of(rec, cost)
  local charges, rest = {}, cost
  for at, part in ipairs(rec.parts) do
    charges[at] = math.min(rest, part.a)
    rest = rest - charges[at]
  end
  return charges, rest
end

-- What cost more than its hold is charged as far as every budget has room; the operator bears the rest.
local function charge_more(scopes, rec, charges, rest, now)
  local room = least_room(scopes, now)
  local more = room and math.max(0, math.min(rest, room)) or rest
  if more > 0 then
    table.insert(rec.parts, {a = 0, w = windows_of_all(scopes, now)})
    table.insert(charges, more)
  end
  return rest - more
end

local function give_back(prefix, part, unused)
  local key = prefix .. ':res:' .. part.r
  local reservation = load_packed(key)
  if not reservation or reservation.s ~= 'open' then
    return 0
  end
  reservation.l = reservation.l + unused
  redis.call('SET', key, cmsgpack.pack(reservation))
  return unused
end

local function kept_of(prefix, rec, charges)
  local kept = {}
  for at, part in ipairs(rec.parts) do
    local unused = part.a - charges[at]
    kept[at] = part.r and unused > 0 and give_back(prefix, part, unused) or 0
  end
  return kept
end

local function correct_tokens(scope, rec, progress, now)
  local st, limit = scope.st, scope.lim and scope.lim.tpm
  if limit then
    local level = drained(st.tpm, st.tpma, limit, now)
    st.tpm = math.max(0, level + (progress[2] + progress[4] - rec.t) * MINUTE)
    st.tpma = now
  end
end

local function publish_end(prefix, id, rec, kind, scopes, charges, platform, progress, now)
  for at, part in ipairs(rec.parts) do
    -- A part that bears no cost says nothing, but for the first: it carries tokens, and that there was a call.
    if at == 1 or charges[at] ~= 0 then
      rec.n = rec.n + 1
      local told = at == 1 and progress or NO_PROGRESS
      local borne = at == 1 and platform or 0
      publish(prefix, kind, id, rec.n, now, charges[at], borne, told, named(scopes, part.w), rec.m)
    end
  end
end

local function remember_end(prefix, id, rec, state, cost)
  rec.s, rec.c = state, cost
  redis.call('SET', hold_key(prefix, id), cmsgpack.pack(rec), 'PX', ENDED_MS)
  redis.call('ZREM', prefix .. ':leases', id)
end

-- Ends a running hold. `progress` = {cost, prompt, cached, completion, reasoning tokens}.
local function finish(prefix, id, rec, state, progress, platform, now)
  local scopes = load_scopes(prefix, rec.sc)
  local charges, rest = charges_of(rec, progress[1])
  rec.b = rest > 0 and charge_more(scopes, rec, charges, rest, now) or 0
  local kept, cost = kept_of(prefix, rec, charges), 0
  for at, charge in ipairs(charges) do
    cost, rec.parts[at].c = cost + charge, charge
  end
  for at, scope in ipairs(scopes) do
    scope.st.p = scope.st.p - 1
    for number, part in ipairs(rec.parts) do
      settle_part(scope, at, part, charges[number], kept[number])
    end
    correct_tokens(scope, rec, progress, now)
    tell_soft_budgets(prefix, scope, now, rec.m)
    save_scope(prefix, scope)
  end
  publish_end(prefix, id, rec, state, scopes, charges, platform + rec.b, progress, now)
  remember_end(prefix, id, rec, state, cost)
  return cost
end

-- What each part is charged less, from the last on: no window gets back what it was not charged.
local function charges_back(rec, less)
  local charges = {}
  for at = #rec.parts, 1, -1 do
    charges[at] = -math.min(less, rec.parts[at].c)
    less = less + charges[at]
  end
  return charges
end

-- A call whose lease ran out has turned up with what it really used. More counts in the present windows.
local function correct(prefix, id, rec, progress, platform, now)
  local scopes, difference = load_scopes(prefix, rec.sc), progress[1] - rec.c
  local charges, cost = charges_back(rec, math.max(0, -difference)), rec.c
  local borne = difference > 0 and charge_more(scopes, rec, charges, difference, now) or 0
  for _, charge in ipairs(charges) do
    cost = cost + charge
  end
  for at, scope in ipairs(scopes) do
    for number, part in ipairs(rec.parts) do
      settle_charge(scope, at, part, charges[number], 0)
    end
    tell_soft_budgets(prefix, scope, now, rec.m)
    save_scope(prefix, scope)
  end
  local told = {0}
  for at = 2, 5 do
    told[at] = progress[at] - rec.pr[at]
  end
  publish_end(prefix, id, rec, 'corrected', scopes, charges, platform + borne - rec.b, told, now)
  remember_end(prefix, id, rec, 'settled', cost)
  return cost
end

-- Expires what is overdue by more than the grace, at its last reported progress. Returns how many.
local function expire_overdue(prefix, now, grace, most)
  local overdue = redis.call('ZRANGEBYSCORE', prefix .. ':leases', '-inf', text(now - grace), 'LIMIT', 0, most)
  for _, id in ipairs(overdue) do
    local rec = load_packed(hold_key(prefix, id))
    if rec and rec.s == 'held' then
      finish(prefix, id, rec, 'expired', rec.pr, 0, now)
    else
      redis.call('ZREM', prefix .. ':leases', id)
    end
  end
  return #overdue
end

-- Why a call may not be held: {kind, scope, limit, wait in microseconds or -1}; nil = it may.
local function refusal(scopes, ask, now)
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
  if request_budget and ask.amount > request_budget then
    return {'request', 'request', request_budget, -1}
  end
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
      local wait = bucket_wait(drained(st.tpm, st.tpma, lim.tpm, now), lim.tpm, ask.tokens)
      if wait ~= 0 then
        return {'tokens', scope.name, lim.tpm, wait or -1}
      end
    end
  end
  for at, scope in ipairs(scopes) do
    local needed = ask.amount - (ask.covered[at] == 1 and ask.drawn or 0)
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

-- What a call takes from its reservation. All scopes of the reservation must be the call's, too: in another one what was
-- drawn would stay held when the call has ended.
local function draw(prefix, scopes, ask)
  ask.covered, ask.drawn = {}, 0
  local reservation = ask.reservation ~= '' and load_packed(prefix .. ':res:' .. ask.reservation)
  if not reservation or reservation.s ~= 'open' then
    return nil
  end
  local covers = 0
  for at, scope in ipairs(scopes) do
    ask.covered[at] = reservation.w[scope.name] and 1 or 0
    covers = covers + ask.covered[at]
  end
  if covers < #reservation.sc then
    return nil
  end
  ask.drawn = math.min(reservation.l, ask.amount)
  return reservation
end

local function parts_of(scopes, ask, reservation, now)
  local own, drawn = {}, {}
  for at, scope in ipairs(scopes) do
    own[at] = windows_of(scope, now)
    drawn[at] = reservation and reservation.w[scope.name] or own[at]
  end
  local parts = {}
  if ask.drawn > 0 then
    table.insert(parts, {a = ask.drawn, w = drawn, r = ask.reservation, k = ask.covered})
  end
  if ask.drawn < ask.amount or ask.drawn == 0 then
    table.insert(parts, {a = ask.amount - ask.drawn, w = own})
  end
  return parts
end

-- Adds a hold to its scopes' state: `units` requests and `tokens` into the buckets.
local function take_hold(prefix, scopes, parts, tokens, now)
  for at, scope in ipairs(scopes) do
    local st, lim = scope.st, scope.lim or {}
    st.p = st.p + 1
    for _, part in ipairs(parts) do
      -- What a reservation covers is held in the scope already.
      if not (part.r and covers(part, at)) then
        st.h = st.h + part.a
        for duration, start in pairs(part.w[at]) do
          move(st, duration, start, 0, part.a)
        end
      end
    end
    for name, units in pairs({rpm = 1, tpm = tokens}) do
      if lim[name] then
        st[name] = drained(st[name], st[name .. 'a'], lim[name], now) + units * MINUTE
        st[name .. 'a'] = now
      end
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
  local reservation = draw(prefix, scopes, ask)
  local no = refusal(scopes, ask, now)
  if no and (no[1] == 'parallel' or no[1] == 'held') and expire_overdue(prefix, now, tonumber(args[6]), 100) > 0 then
    scopes = load_scopes(prefix, names)
    reservation = draw(prefix, scopes, ask)
    no = refusal(scopes, ask, now)
  end
  if no then
    return reply('no', now, standing(scopes, now), no)
  end
  local parts = parts_of(scopes, ask, reservation, now)
  if ask.drawn > 0 then
    reservation.l = reservation.l - ask.drawn
    redis.call('SET', prefix .. ':res:' .. ask.reservation, cmsgpack.pack(reservation))
  end
  take_hold(prefix, scopes, parts, ask.tokens, now)
  rec = {s = 'held', a = ask.amount, t = ask.tokens, l = now + tonumber(args[5]), sc = names, parts = parts,
         pr = progress_from(args, 9), m = args[7], n = 0, at = now}
  keep_hold(prefix, id, rec)
  return reply('ok', now, standing(scopes, now), ask.amount, ask.tokens)
end

-- The windows that more of a hold counts in: those of what it holds, or the present ones if that is nothing of its own.
local function windows_to_grow(rec, scopes, now)
  local part = rec.parts[#rec.parts]
  return (part.r or part.a == 0) and windows_of_all(scopes, now) or part.w
end

-- A running hold and its scopes grow, whatever their limits say.
local function grow(prefix, rec, scopes, amount, tokens, now)
  local part, starts = rec.parts[#rec.parts], windows_to_grow(rec, scopes, now)
  if part.r then
    part = {a = 0}
    table.insert(rec.parts, part)
  end
  part.w = starts
  part.a = part.a + amount
  for at, scope in ipairs(scopes) do
    local st, limit = scope.st, scope.lim and scope.lim.tpm
    st.h = st.h + amount
    for duration, start in pairs(part.w[at]) do
      move(st, duration, start, 0, amount)
    end
    if limit then
      -- A running answer is not cut for the minute's sake: the calls behind it wait longer.
      st.tpm, st.tpma = drained(st.tpm, st.tpma, limit, now) + tokens * MINUTE, now
    end
    save_scope(prefix, scope)
  end
  rec.a, rec.t = rec.a + amount, rec.t + tokens
end

local function may_grow(rec, scopes, amount, now)
  local request_budget
  for _, scope in ipairs(scopes) do
    local lim = scope.lim
    if not lim or lim.off or (lim.exp and now >= lim.exp) then
      return false
    end
    request_budget = lim.req and math.min(request_budget or lim.req, lim.req) or request_budget
  end
  if request_budget and rec.a + amount > request_budget then
    return false
  end
  local room = least_room(scopes, now, windows_to_grow(rec, scopes, now))
  return not room or room >= amount
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
  local amount, granted = tonumber(args[3]), true
  if amount > 0 then
    local scopes = load_scopes(prefix, rec.sc)
    granted = may_grow(rec, scopes, amount, now)
    if granted then
      grow(prefix, rec, scopes, amount, tonumber(args[4]), now)
    end
  end
  report(rec, args, 6)
  rec.l = now + tonumber(args[5])
  keep_hold(prefix, id, rec)
  return reply(granted and 'ok' or 'no')
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
-- meta, time of the hold, progress x 5, scopes…
local function redeclare(keys, args)
  if args[1] ~= this_life() then
    return reply('life', life)
  end
  local prefix, id, now = keys[1], args[2], now_us()
  local names, at, amount, tokens = scopes_from(args, 13), tonumber(args[7]), tonumber(args[3]), tonumber(args[4])
  local scopes, rec = load_scopes(prefix, names), load_packed(hold_key(prefix, id))
  if rec and rec.s ~= 'held' then
    return reply('ended', rec.s)
  elseif rec then
    -- It may have lost an extension, or the renewal of its lease.
    if amount > rec.a then
      grow(prefix, rec, scopes, amount - rec.a, math.max(0, tokens - rec.t), now)
    end
    report(rec, args, 8)
    rec.l = now + tonumber(args[5])
  else
    local parts = parts_of(scopes, {amount = amount, drawn = 0, covered = {}, reservation = ''}, nil, at)
    take_hold(prefix, scopes, parts, tokens, now)
    rec = {s = 'held', a = amount, t = tokens, l = now + tonumber(args[5]), sc = names, parts = parts,
           pr = progress_from(args, 8), m = args[6], n = 0, at = at}
  end
  keep_hold(prefix, id, rec)
  return reply('ok')
end
