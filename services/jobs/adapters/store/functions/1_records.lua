-- What is kept of a job, and its agenda. services/jobs/domain/machine.py is the specification of all functions here.
--
-- A job is one hash, <prefix>:job:<id>: `s` its state, `i` what was settled when it was created (both below), `c` what
-- its client packed, `a<part>` the state of a part, `p<part>` the part as its client packed it, `q<step>` a request,
-- `r<step>` a result, `d<part>` the results that were made up for a dead part, `h` its webhook, `b` a batch's files,
-- `e` why it failed as a whole. <prefix>:agenda says what is due when, <prefix>:list:… which jobs there are.

-- Fields of `s`: numbers all. END is the version with which it ended, 0 = it has not; ANNOUNCED the one of the end that
-- was announced last; LEFT counts the parts that are neither done nor dead. REOPENED: 1 = an end of its was taken
-- back.
local STATE, VERSION, END, ANNOUNCED, TOLD, LEFT, DEAD, TOTAL, PARTS = 1, 2, 3, 4, 5, 6, 7, 8, 9
local STARTED, ENDED_AT, CANCELLED_AT, OK, FAILED, ATTEMPTS, TOKENS = 10, 11, 12, 13, 14, 15, 16
local PROMPT, CACHED, COMPLETION, COST, RESERVED, REOPENED = 17, 18, 19, 20, 21, 22
-- Values of STATE; from SUCCEEDED on they are ends.
local ACCEPTING, REQUESTED, RUNNING, SUCCEEDED, HAS_FAILED, CANCELLED = 1, 2, 3, 4, 5, 6

-- Fields of `i`.
local CREATED_AT, EXPIRES_AT, SECONDS, IS_BATCH, HAS_FILE, KEY_ID, USER, PLACE = 1, 2, 3, 4, 5, 6, 7, 8

-- Fields of `a`, and values of its state.
local P_STATE, P_EPOCH, P_ATTEMPT, P_MISSING, P_FIRST, P_COUNT, P_TOKENS, P_LEASE, P_OWNER = 1, 2, 3, 4, 5, 6, 7, 8, 9
local P_WAITING, P_RUNNING, P_DONE, P_DEAD = 1, 2, 3, 4

-- Verdicts, by their place in client.py.
local APPLIED, REPEATED, STALE, ENDED, UNKNOWN, POISON = 1, 2, 3, 4, 5, 6

-- See domain/entries.py.
local REFUSE_MS, RETURNED_MS = 60000, 3600000
-- Lua hands at most some 8,000 arguments on.
local MANY = 1000

local function now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

local function job_key(prefix, job)
  return prefix .. ':job:' .. job
end

-- A plan says for names of the agenda when they are due, or false: not at all. The last word on a name holds.
local function flush(prefix, plan)
  local added, dropped = {}, {}
  for name, due in pairs(plan) do
    if due then
      added[#added + 1] = due
      added[#added + 1] = name
    else
      dropped[#dropped + 1] = name
    end
  end
  for first = 1, #added, 2 * MANY do
    redis.call('ZADD', prefix .. ':agenda', unpack(added, first, math.min(first + 2 * MANY - 1, #added)))
  end
  for first = 1, #dropped, MANY do
    redis.call('ZREM', prefix .. ':agenda', unpack(dropped, first, math.min(first + MANY - 1, #dropped)))
  end
end

local function send_name(job, part)
  return 's' .. job .. ':' .. part
end

-- SEND of all parts of a job: due then, or not at all.
local function plan_sends(plan, job, parts, due)
  for part = 0, parts - 1 do
    plan[send_name(job, part)] = due
  end
end

-- A job as the client reads it; nil where there is none.
local function told_of(key)
  local found = redis.call('HMGET', key, 's', 'i', 'c', 'h', 'b', 'e')
  return found[1] and found or nil
end

local function state_of(key)
  local packed = redis.call('HGET', key, 's')
  return packed and cmsgpack.unpack(packed)
end

local function info_of(key)
  return cmsgpack.unpack(redis.call('HGET', key, 'i'))
end

-- HSET of any number of fields.
local function set(key, fields)
  for first = 1, #fields, 2 * MANY do
    redis.call('HSET', key, unpack(fields, first, math.min(first + 2 * MANY - 1, #fields)))
  end
end

-- Values of <letter><first> … <letter><last>, false for what is not there.
local function numbered(key, letter, first, last)
  local values = {}
  for from = first, last, MANY do
    local names = {}
    for number = from, math.min(from + MANY - 1, last) do
      names[#names + 1] = letter .. number
    end
    for _, value in ipairs(redis.call('HMGET', key, unpack(names))) do
      values[#values + 1] = value
    end
  end
  return values
end

-- One result more (sign 1) or less (-1): {step, succeeded, prompt, cached, completion, cost, …}.
local function count(s, result, sign)
  local which = result[2] == 1 and OK or FAILED
  s[which] = s[which] + sign
  s[PROMPT] = s[PROMPT] + sign * result[3]
  s[CACHED] = s[CACHED] + sign * result[4]
  s[COMPLETION] = s[COMPLETION] + sign * result[5]
  s[COST] = s[COST] + sign * result[6]
end

-- Its end, and what is owed then.
local function end_job(s, job, state, plan, now)
  s[VERSION] = s[VERSION] + 1
  s[STATE], s[ENDED_AT], s[END], s[TOLD], s[TOKENS] = state, now, s[VERSION], 0, 0
  plan['t' .. job], plan['e' .. job] = now, false
end

local function end_if_done(s, job, plan, now)
  if s[LEFT] == 0 then
    local failed = s[FAILED] > 0 or s[DEAD] > 0
    end_job(s, job, failed and HAS_FAILED or SUCCEEDED, plan, now)
  end
end

local function each_list(prefix, info)
  local list = prefix .. ':list:' .. (info[IS_BATCH] == 1 and 'b' or 'j')
  local lists = {list}
  if info[KEY_ID] ~= '' then
    lists[#lists + 1] = list .. ':k:' .. info[KEY_ID]
  end
  if info[USER] ~= '' then
    lists[#lists + 1] = list .. ':u:' .. info[USER]
  end
  return lists
end

-- The job and all that is kept of it; its agenda must be dropped beside this.
local function delete(prefix, key)
  local info = info_of(key)
  for at, list in ipairs(each_list(prefix, info)) do
    redis.call('XDEL', list, info[PLACE])
    -- The first list stays: places must not come again.
    if at > 1 and redis.call('XLEN', list) == 0 then
      redis.call('DEL', list)
    end
  end
  redis.call('UNLINK', key)
end
