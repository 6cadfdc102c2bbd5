/**
 * Wake-ups through PUBLISH and SUBSCRIBE: see `Wakeups` for the laws, and `RedisHints` for why they
 * hold.
 *
 * What storage gives is noted and published a moment later, all that came meanwhile in one script.
 * Whoever waits in this process is woken without Redis. While Redis cannot be reached, what should go
 * there is dropped after a few seconds, and others find their work by looking for it.
 */
import { Effect, Latch } from "effect"
import type { HintCarrier } from "../../core/services/HintCarrier.ts"
import { type Topic, Wakeups } from "../../core/services/Wakeups.ts"
import { type Redis, script } from "./Redis.ts"
import type { RedisHints } from "./RedisHints.ts"

/** Of so many topics at most it is known that they are to be told of; hints of others are dropped. */
const pendingMax = 10_000
/** So many are published by one script. */
const batch = 500

export const make = Effect.fnUntraced(function* (redis: Redis, hints: RedisHints) {
  const here = new Set<string>()
  const everywhere = new Set<string>()
  const isPending = Latch.makeUnsafe()
  const channelOf = (topic: Topic) => redis.named(`hint:${topic}`)

  const note = (to: Set<string>) => (topics: Iterable<Topic>) => {
    for (const topic of topics) if (to.size < pendingMax) to.add(channelOf(topic))
    if (to.size > 0) isPending.openUnsafe()
  }

  const tell = Effect.gen(function* () {
    yield* isPending.await
    isPending.closeUnsafe()
    const channels = [...everywhere]
    for (const channel of here) hints.wake(channel)
    for (const channel of channels) hints.wake(channel)
    here.clear()
    everywhere.clear()
    for (let at = 0; at < channels.length; at += batch) {
      yield* Effect.ignore(
        redis.run("hint", publish, [redis.named("hint")], channels.slice(at, at + batch)),
      )
    }
  })
  yield* Effect.forkScoped(Effect.forever(tell))

  const carrier: HintCarrier = { give: note(everywhere), giveHere: note(here) }
  const wakeups = Wakeups.of({
    subscribe: (topics) => hints.subscribe(topics.map(channelOf)),
  })
  return { carrier, wakeups }
})

const publish = script(`
for _, channel in ipairs(ARGV) do redis.call('PUBLISH', channel, '') end
return #ARGV
`)
