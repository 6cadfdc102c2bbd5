/**
 * Locks in Redis: see `Lock` for the laws.
 *
 * All that is kept is three keys without an expiry: the last fence, when each live lease ends, and
 * who has it. What has ended is swept away by the grants that follow, so there is no more than there
 * are locks in use.
 *
 * One counter serves all locks, and is never behind the clock of Redis in microseconds. So fences
 * go on rising also on a server that has lost its data, unless its clock was set back as well. That
 * is why an older holder is told from a newer one even where fences are but advisory.
 */
import { Duration, Effect, Option } from "effect"
import { type Fence, Lease, type LockKey } from "../../core/domain/Lease.ts"
import { type Fences, LeaseLost, Lock } from "../../core/services/Lock.ts"
import { type Redis, script } from "./Redis.ts"
import type { RedisHints } from "./RedisHints.ts"

export const make = (redis: Redis, hints: RedisHints, fences: Fences): Lock["Service"] => {
  const keys = [redis.named("fence"), redis.named("ends"), redis.named("grants")]
  const channelOf = (key: LockKey) => redis.named(`released:${key}`)
  const millisOf = (ttl: Duration.Duration) => `${Math.ceil(Duration.toMillis(ttl))}`

  return Lock.of({
    technology: "redis",
    fences,
    acquire: (key, holder, ttl) =>
      Effect.map(
        // An answer that was lost may have been a grant; its lease then expires unused.
        redis.run("acquire", acquire, keys, [key, holder, millisOf(ttl)], false),
        (fence) =>
          Option.map(
            Option.fromNullishOr(fence),
            (fence) => new Lease({ key, holder, fence: Number(fence) as Fence }),
          ),
      ),
    renew: (lease, ttl) =>
      Effect.flatMap(
        redis.run("renew", renew, keys, [lease.key, `${lease.fence}`, millisOf(ttl)]),
        (isCurrent) => isCurrent === 1 ? Effect.void : Effect.fail(new LeaseLost({ lease })),
      ),
    release: (lease) =>
      Effect.asVoid(
        redis.run("release", release, keys, [
          lease.key,
          `${lease.fence}`,
          channelOf(lease.key),
        ]),
      ),
    watch: (key) => hints.subscribe([channelOf(key)]),
    held: ({ limit, prefix }) =>
      Effect.map(
        redis.run("held", held, keys, [prefix, `${limit}`]),
        (rows) =>
          (rows as ReadonlyArray<readonly [LockKey, string, string, string]>).map((
            [key, fence, holder, endsIn],
          ) => ({
            lease: new Lease({ key, holder, fence: Number(fence) as Fence }),
            endsIn: Duration.millis(Number(endsIn)),
          })),
      ),
  })
}

/** `KEYS` are the fence, the ends and the grants; a grant is its fence, a space, and its holder. */
const prelude = `
local time = redis.call('TIME')
local micros = time[1] * 1000000 + time[2]
local now = math.floor(micros / 1000)

local function forget(key)
  redis.call('ZREM', KEYS[2], key)
  redis.call('HDEL', KEYS[3], key)
end

local function is_live(key)
  local ends = redis.call('ZSCORE', KEYS[2], key)
  return ends and tonumber(ends) > now
end

local function is_current(key, fence)
  if not is_live(key) then return false end
  return string.match(redis.call('HGET', KEYS[3], key) or '', '^%d+') == fence
end
`

const acquire = script(`${prelude}
local key, holder, ttl = ARGV[1], ARGV[2], ARGV[3]
if is_live(key) then return false end
for _, ended in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now, 'LIMIT', 0, 100)) do
  forget(ended)
end
local last = tonumber(redis.call('GET', KEYS[1]) or '0')
local fence = string.format('%.0f', math.max(last + 1, micros))
redis.call('SET', KEYS[1], fence)
redis.call('ZADD', KEYS[2], now + ttl, key)
redis.call('HSET', KEYS[3], key, fence .. ' ' .. holder)
return fence
`)

const renew = script(`${prelude}
local key, fence, ttl = ARGV[1], ARGV[2], ARGV[3]
if not is_current(key, fence) then return 0 end
redis.call('ZADD', KEYS[2], now + ttl, key)
return 1
`)

const release = script(`${prelude}
local key, fence, channel = ARGV[1], ARGV[2], ARGV[3]
if not is_current(key, fence) then return 0 end
forget(key)
-- It is released all the same, where one may not publish.
redis.pcall('PUBLISH', channel, '')
return 1
`)

const held = script(`${prelude}
local prefix, limit = ARGV[1], tonumber(ARGV[2])
local found = {}
local live = redis.call('ZRANGEBYSCORE', KEYS[2], '(' .. now, '+inf', 'WITHSCORES')
for at = 1, #live, 2 do
  local key = live[at]
  if string.sub(key, 1, #prefix) == prefix then
    local fence, holder = string.match(redis.call('HGET', KEYS[3], key) or '', '^(%d+) (.*)$')
    if fence then found[#found + 1] = { key, fence, holder, tostring(live[at + 1] - now) } end
  end
end
table.sort(found, function(a, b) return a[1] < b[1] end)
local answer = {}
for at = 1, math.min(limit, #found) do answer[at] = found[at] end
return answer
`)
