-- Reservations: amounts set aside for jobs. They have no lease, so what they may hold in all is capped per tenant.
-- The tenant's `r` is what its reservations have left and what running holds drew on them.

local function change_reserved(prefix, scopes, rec, difference)
  for _, scope in ipairs(scopes) do
    local st = scope.st
    st.h = st.h + difference
    if scope.name == 't' then
      st.r = (st.r or 0) + difference
    end
    for duration, start in pairs(rec.w[scope.name]) do
      move(st, duration, start, 0, difference)
    end
    save_scope(prefix, scope)
  end
end

-- args: life, id, amount, terms, scopes…
local function reserve(keys, args)
  if args[1] ~= this_life() then
    return reply('life', life)
  end
  local prefix, id, amount, now = keys[1], args[2], tonumber(args[3]), now_us()
  local names = scopes_from(args, 5)
  local scopes, key = load_scopes(prefix, names), reservation_key(prefix, id)
  local rec = load_packed(key)
  if rec then
    return reply(rec.s == 'open' and 'ok' or 'ended', now, standing(scopes, now), rec.a, 0)
  end
  local cap, reserved = scopes[1].lim and scopes[1].lim.cap, scopes[1].st.r or 0
  local no
  if cap and reserved + amount > cap then
    no = {'reserved', 't', cap, -1}
  end
  for _, scope in ipairs(scopes) do
    local lim = scope.lim
    if not no and (not lim or lim.off or (lim.exp and now >= lim.exp)) then
      no = {'off', scope.name, lim and (lim.off or 'expired') or 'unknown', -1}
    end
    for _, budget in ipairs(not no and lim.b or {}) do
      if not no and budget_room(scope, budget, now) < amount then
        no = {'budget', scope.name, budget[3], -1, budget[1]}
      end
    end
  end
  if no then
    return reply('no', now, standing(scopes, now), no)
  end
  rec = {s = 'open', a = amount, l = amount, sc = names, w = {}, m = args[4]}
  for _, scope in ipairs(scopes) do
    rec.w[scope.name] = windows_of(scope, now)
  end
  change_reserved(prefix, scopes, rec, amount)
  redis.call('SET', key, cmsgpack.pack(rec))
  return reply('ok', now, standing(scopes, now), amount, 0)
end

-- Frees what a reservation has left. Holds that drew on it keep what they have. One that is not there yet is refused
-- when it comes: nobody would release it any more. args: id
local function release(keys, args)
  local prefix, key = keys[1], reservation_key(keys[1], args[1])
  local rec, left = load_packed(key), 0
  if not rec then
    rec = {a = 0, m = ''}
  elseif rec.s ~= 'open' then
    return 0
  else
    left = rec.l
    change_reserved(prefix, load_scopes(prefix, rec.sc), rec, -left)
  end
  rec.s, rec.l = 'released', 0
  redis.call('SET', key, cmsgpack.pack(rec), 'PX', ENDED_MS)
  return left
end

-- {1 = open, left, terms as they are}; nothing where there is none. args: id
local function find_reservation(keys, args)
  local rec = load_packed(reservation_key(keys[1], args[1]))
  return rec and {rec.s == 'open' and 1 or 0, text(rec.l), rec.m or ''} or false
end
