"""The steps of the ledger as they run inside Valkey. Floor 3.

Theory of operation.

1. Keys. `a:ACCOUNT` is a hash from the number of a cell to what is used. `r:ID` is a reservation: what it
   wrote, as MessagePack, and whether it was swept. `leases` sorts reservations by the end of their lease. All
   names begin with one hash tag, so that in a cluster they lie on one node: what is atomic cannot be spread.
2. Money may pass 2^53, above which Lua's numbers have gaps. So the server itself adds (`HINCRBY`, 64 bits),
   and what is compared is split into billions and the rest, each of them exact. Numbers leave as text.
3. Everything is looked at before anything is written: a script that fails half-way is not undone.
4. Every key ends by itself: an account when its last cell counts no more, a reservation a day after its
   lease. Ends only ever move on. What is held ends with the reservations that could hold it.
5. Time is the server's (`TIME`); only tests give another one.
"""

from typing import Final

from turnout.stores.ledger.base import CELLS, KEPT_S
from turnout.stores.valkey.client import Script

MOST_CELLS: Final = 2 * CELLS + 8
"""Cells of an account before those that count no more are let go of."""

_COMMON: Final = f"""
local CELLS, KEPT, MOST, BILLION = {CELLS}, {KEPT_S}, {MOST_CELLS}, 1e9
local function whole(x) return string.format('%.0f', x) end
local function clock(given)
  if given ~= '' then return tonumber(given) end
  local t = redis.call('TIME')
  return tonumber(t[1]) + tonumber(t[2]) / 1e6
end
local function split(text)
  local sign = 1
  if string.sub(text, 1, 1) == '-' then sign, text = -1, string.sub(text, 2) end
  local high = #text > 9 and tonumber(string.sub(text, 1, -10)) or 0
  return sign * high, sign * tonumber(string.sub(text, -9))
end
local function carried(high, low)
  local carry = math.floor(low / BILLION)
  return high + carry, low - carry * BILLION
end
local function last_cell(kind, x, now)
  if kind == 's' then return math.floor(now / x * CELLS) end
  if kind == 'f' then return math.floor(x) end
  return 0
end
local function cells(key, kind, x, now)
  local last = last_cell(kind, x, now)
  local first = kind == 's' and last - CELLS or last
  local fields = {{}}
  for n = first, last do fields[#fields + 1] = whole(n) end
  return fields, redis.call('HMGET', key, unpack(fields))
end
local function used(key, kind, x, now)
  local last = last_cell(kind, x, now)
  if kind ~= 's' then
    local text = redis.call('HGET', key, whole(last))
    if not text then return 0, 0 end
    return carried(split(text))
  end
  local high, low, first = 0, 0, last - CELLS
  local all = redis.call('HGETALL', key)
  for i = 1, #all, 2 do
    local number = tonumber(all[i])
    if number >= first then -- and what was counted while the clock was ahead
      local h, l = split(all[i + 1])
      high, low = high + h, low + l
    end
  end
  return carried(high, low)
end
local function correct(key, cell, by)
  if redis.call('HEXISTS', key, cell) == 1 then redis.call('HINCRBY', key, cell, by) end
end
local function keep(key, ms)
  if redis.call('PTTL', key) < ms then redis.call('PEXPIRE', key, whole(ms)) end
end
local function negative(text)
  if text == '0' then return text end
  return string.sub(text, 1, 1) == '-' and string.sub(text, 2) or '-' .. text
end
"""

RESERVE: Final = Script(
    _COMMON
    + """
-- KEYS: reservation, leases, accounts. ARGV: now, id, lease, then kind, x, ends, amount, limit of each take.
-- Answers words in one text: a client reads that much faster than a list.
local now, lease = clock(ARGV[1]), tonumber(ARGV[3])
local takes = {}
for i = 3, #KEYS do
  local at = 4 + (i - 3) * 5
  local take = {key = KEYS[i], kind = ARGV[at], x = tonumber(ARGV[at + 1]), ends = tonumber(ARGV[at + 2]),
    amount = ARGV[at + 3], limit = ARGV[at + 4]}
  if take.kind == 'f' and (now < take.x or now >= take.ends) then
    return 'skewed ' .. string.format('%.17g', now)
  end
  takes[#takes + 1] = take
end
local answer = {'granted'}
for _, take in ipairs(takes) do
  local high, low = used(take.key, take.kind, take.x, now)
  take.high, take.low = high, low
  answer[#answer + 1], answer[#answer + 2] = whole(high), whole(low)
end
if redis.call('EXISTS', KEYS[1]) == 1 then return table.concat(answer, ' ') end
for i, take in ipairs(takes) do
  local h, l = split(take.amount)
  local high, low = carried(take.high + h, take.low + l)
  if high >= 9e9 then return redis.error_reply('ERR more than an account can hold') end
  local fits = true
  if take.limit ~= '' then
    local most, rest = carried(split(take.limit))
    fits = high < most or (high == most and low <= rest)
  end
  if not fits then
    local refused = {'refused', whole(i - 1), whole(take.high), whole(take.low), string.format('%.17g', now)}
    local fields, found = cells(take.key, take.kind, take.x, now)
    for n, text in ipairs(found) do
      if text then refused[#refused + 1], refused[#refused + 2] = fields[n], text end
    end
    return table.concat(refused, ' ')
  end
  answer[i * 2], answer[i * 2 + 1] = whole(high), whole(low)
end
local record = {'0'}
local rest_ms = math.ceil((lease + KEPT) * 1000)
for _, take in ipairs(takes) do
  local number = last_cell(take.kind, take.x, now)
  local sum = redis.call('HINCRBY', take.key, whole(number), take.amount)
  if take.kind == 'h' then
    keep(take.key, rest_ms)
  elseif sum == tonumber(take.amount) then -- a new cell: those that are there have an end already
    if take.kind == 'f' then
      keep(take.key, math.ceil((take.ends - now) * 1000))
    else
      keep(take.key, math.ceil(((number + CELLS + 1) * take.x / CELLS - now) * 1000))
    end
    if redis.call('HLEN', take.key) > MOST then
      local first = take.kind == 's' and number - CELLS or number
      for _, field in ipairs(redis.call('HKEYS', take.key)) do
        if tonumber(field) < first then redis.call('HDEL', take.key, field) end
      end
    end
  end
  record[#record + 1] = {take.key, whole(number), take.amount, take.kind == 'h'}
end
redis.call('SET', KEYS[1], cmsgpack.pack(record), 'PX', whole(rest_ms))
redis.call('ZADD', KEYS[2], string.format('%.17g', now + lease), ARGV[2])
keep(KEYS[2], rest_ms)
return table.concat(answer, ' ')
"""
)
"""Take from all accounts, or from none."""

SETTLE: Final = Script(
    _COMMON
    + """
-- KEYS: reservation, leases. ARGV: id, amounts.
local function replace(key, cell, taken, used)
  if taken == used or redis.call('HEXISTS', key, cell) == 0 then return end
  if #taken < 16 and #used < 16 then
    redis.call('HINCRBY', key, cell, whole(tonumber(used) - tonumber(taken)))
  else
    redis.call('HINCRBY', key, cell, negative(taken))
    redis.call('HINCRBY', key, cell, used)
  end
end
local found = redis.call('GET', KEYS[1])
if not found then return 0 end
local record = cmsgpack.unpack(found)
if #ARGV ~= #record then return redis.error_reply('ERR as many amounts as takes are needed') end
for i = 2, #record do
  local take = record[i]
  if not take[4] then
    replace(take[1], take[2], take[3], ARGV[i])
  elseif record[1] == '0' then
    correct(take[1], take[2], negative(take[3]))
  end
end
redis.call('DEL', KEYS[1])
redis.call('ZREM', KEYS[2], ARGV[1])
return 1
"""
)
"""Replace what was set aside by what was used."""

USED: Final = Script(
    _COMMON
    + """
-- KEYS: accounts. ARGV: now, then kind and x of each.
local now, answer = clock(ARGV[1]), {}
for i, key in ipairs(KEYS) do
  local high, low = used(key, ARGV[i * 2], tonumber(ARGV[i * 2 + 1]), now)
  answer[#answer + 1], answer[#answer + 2] = whole(high), whole(low)
end
return answer
"""
)
"""Return what is used of each account."""

SWEEP: Final = Script(
    _COMMON
    + """
-- KEYS: leases. ARGV: now, prefix of reservations.
local now, swept = clock(ARGV[1]), {}
local ended = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', string.format('%.17g', now), 'LIMIT', 0, 1000)
for _, id in ipairs(ended) do
  local key = ARGV[2] .. id
  local found = redis.call('GET', key)
  local record = found and cmsgpack.unpack(found)
  if not record or record[1] == '1' then
    redis.call('DEL', key)
    redis.call('ZREM', KEYS[1], id)
  else
    for i = 2, #record do
      if record[i][4] then correct(record[i][1], record[i][2], negative(record[i][3])) end
    end
    record[1] = '1'
    redis.call('SET', key, cmsgpack.pack(record), 'PX', whole(KEPT * 1000))
    redis.call('ZADD', KEYS[1], string.format('%.17g', now + KEPT), id)
    swept[#swept + 1] = id
  end
end
if #ended > 0 then keep(KEYS[1], KEPT * 1000) end
return swept
"""
)
"""Close reservations whose lease has ended."""

RESET: Final = Script(
    _COMMON
    + """
-- KEYS: leases, accounts. ARGV: prefix of reservations.
local named = {}
for i = 2, #KEYS do
  named[KEYS[i]] = true
  for _, field in ipairs(redis.call('HKEYS', KEYS[i])) do redis.call('HSET', KEYS[i], field, '0') end
end
for _, id in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
  local found = redis.call('GET', ARGV[1] .. id)
  local record = found and cmsgpack.unpack(found)
  if record and record[1] == '0' then
    for i = 2, #record do
      if named[record[i][1]] then correct(record[i][1], record[i][2], record[i][3]) end
    end
  end
end
return 1
"""
)
"""Forget what was used of accounts, reservations under way aside."""
