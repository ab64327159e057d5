-- Drawing on reservations: what is held in their scopes already, so that a call asks only its other scopes for it.
--
-- A reservation's record: s state, a amount, l what is left of it, sc scopes, w windows by scope, m terms of its calls.

local function load_packed(key)
  local found = redis.call('GET', key)
  return found and cmsgpack.unpack(found)
end

local function reservation_key(prefix, id)
  return prefix .. ':res:' .. id
end

-- As much of `amount` as the reservation has; nothing is taken yet. All scopes of the reservation must be the call's,
-- too: in another one what was drawn would stay held when the call has ended. `covered` says where it is held already.
local function draw(prefix, id, scopes, amount)
  local drawn = {amount = 0, covered = {}}
  local reservation = id and id ~= '' and load_packed(reservation_key(prefix, id))
  if not reservation or reservation.s ~= 'open' then
    return drawn
  end
  local covered, covers = {}, 0
  for at, scope in ipairs(scopes) do
    covered[at] = reservation.w[scope.name] and 1 or 0
    covers = covers + covered[at]
  end
  if covers < #reservation.sc then
    return drawn
  end
  return {amount = math.min(reservation.l, amount), covered = covered, reservation = reservation, id = id}
end

local function take_drawn(prefix, drawn, amount)
  if amount > 0 then
    drawn.reservation.l = drawn.reservation.l - amount
    redis.call('SET', reservation_key(prefix, drawn.id), cmsgpack.pack(drawn.reservation))
  end
end

-- What a scope has to have room for beside what is drawn.
local function beyond(amount, drawn, at)
  return amount - (drawn.covered[at] == 1 and drawn.amount or 0)
end

-- What is drawn counts in the reservation's windows; in scopes that it does not cover, in `own`.
local function windows_drawn(drawn, scopes, own)
  local starts = {}
  for at, scope in ipairs(scopes) do
    starts[at] = drawn.reservation.w[scope.name] or own[at]
  end
  return starts
end

local function same_windows(left, right)
  for at, starts in ipairs(left) do
    for duration, start in pairs(starts) do
      if right[at][duration] ~= start then
        return false
      end
    end
    for duration in pairs(right[at]) do
      if not starts[duration] then
        return false
      end
    end
  end
  return true
end
