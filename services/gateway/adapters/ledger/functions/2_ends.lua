-- How holds end: what they are charged, what becomes of the rest, and what is told of it.
--
-- A hold's record: s state, a amount, t tokens, l end of the lease, sc scopes, parts, pr progress, m meta, n number of
-- its last event, c what it was charged, b what it cost beyond that (the operator bears it), g and gn as fill_tokens
-- says, rv its reservation: such a call counts in no limit but budgets. A part is an amount `a` with the windows `w` (per
-- scope) that it counts in, and in the end what it was charged, `c`; a part that was drawn from a reservation `r` covers
-- the scopes `k`, others cover all.

local NO_PROGRESS = {0, 0, 0, 0, 0}

local function hold_key(prefix, id)
  return prefix .. ':hold:' .. id
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

-- Charges to a reservation what cost more than its hold, as far as it and the scopes beside it have room: it is free in
-- the reservation's windows, and charged there at once. `rooms` by scope (false = no budget) are those before it, and
-- after it. Returns how much.
local function charge_drawn(prefix, scopes, rec, charges, rest, rooms, now)
  local drawn = draw(prefix, rec.rv, scopes, rest)
  local amount = drawn.amount
  for at = 1, #scopes do
    if drawn.covered[at] ~= 1 and rooms[at] then
      amount = math.max(0, math.min(amount, rooms[at]))
    end
  end
  if amount == 0 then
    return 0
  end
  local starts = windows_drawn(drawn, scopes, windows_of_all(scopes, now))
  take_drawn(prefix, drawn, amount)
  for at, scope in ipairs(scopes) do
    if drawn.covered[at] == 1 then
      scope.st.h = scope.st.h - amount
      if scope.name == 't' then
        scope.st.r = scope.st.r - amount
      end
      for duration, start in pairs(starts[at]) do
        move(scope.st, duration, start, 0, -amount)
      end
    elseif rooms[at] then
      rooms[at] = rooms[at] - amount
    end
  end
  table.insert(rec.parts, {a = 0, w = starts})
  table.insert(charges, amount)
  return amount
end

-- What cost more than its hold is charged to its reservation, then as far as every budget has room; the operator bears
-- the rest.
local function charge_more(prefix, scopes, rec, charges, rest, now)
  local rooms = {}
  for at, scope in ipairs(scopes) do
    rooms[at] = least_room({scope}, now) or false
  end
  rest = rest - charge_drawn(prefix, scopes, rec, charges, rest, rooms, now)
  local more = rest
  for at = 1, #scopes do
    more = rooms[at] and math.min(more, rooms[at]) or more
  end
  more = math.max(0, more)
  if more > 0 then
    table.insert(rec.parts, {a = 0, w = windows_of_all(scopes, now)})
    table.insert(charges, more)
  end
  return rest - more
end

local function give_back(prefix, part, unused)
  local key = reservation_key(prefix, part.r)
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

local function correct_tokens(scope, at, rec, more, now)
  if more < 0 then
    take_back(scope, at, rec, -more, now)
  elseif scope.lim and scope.lim.tpm then
    fill(scope, 'tpm', more, now)
    scope.st.tpmn = (scope.st.tpmn or 0) + more
  end
end

-- Ends a running hold. `progress` = {cost, prompt, cached, completion, reasoning tokens}.
local function finish(prefix, id, rec, state, progress, platform, now)
  local scopes = load_scopes(prefix, rec.sc)
  local charges, rest = charges_of(rec, progress[1])
  rec.b = rest > 0 and charge_more(prefix, scopes, rec, charges, rest, now) or 0
  local kept, cost = kept_of(prefix, rec, charges), 0
  for at, charge in ipairs(charges) do
    cost, rec.parts[at].c = cost + charge, charge
  end
  for at, scope in ipairs(scopes) do
    for number, part in ipairs(rec.parts) do
      settle_part(scope, at, part, charges[number], kept[number])
    end
    if not rec.rv then
      scope.st.p = scope.st.p - 1
      correct_tokens(scope, at, rec, progress[2] + progress[4] - rec.t, now)
    end
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
  local borne = difference > 0 and charge_more(prefix, scopes, rec, charges, difference, now) or 0
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
