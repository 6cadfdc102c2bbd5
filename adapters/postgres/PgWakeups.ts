/** Wake-ups through LISTEN and NOTIFY: see `Wakeups` for the laws, and `PgHints` for why they hold. */
import { Effect, Latch, Option } from "effect"
import { createHash } from "node:crypto"
import type { Incarnation } from "../../core/domain/Executor.ts"
import type { HintCarrier } from "../../core/services/HintCarrier.ts"
import {
  ofDue,
  ofExecutor,
  ofLane,
  ofOutbox,
  ofTriggers,
  type Topic,
  Wakeups,
} from "../../core/services/Wakeups.ts"
import type { Lane } from "../../core/domain/Lane.ts"
import type { LockKey } from "../../core/domain/Lease.ts"
import type { Carry, PgHints, Topic as Hint } from "./PgHints.ts"
import type { PgNames } from "./PgNames.ts"

export const make = (hints: PgHints, names: PgNames): Wakeups["Service"] =>
  Wakeups.of({
    subscribe: (topics) =>
      Effect.gen(function* () {
        const hinted = Latch.makeUnsafe()
        const known = new Set<Hint>()
        yield* Effect.addFinalizer(() =>
          Effect.sync(() => {
            for (const topic of known) hints.delete(topic, hinted)
          })
        )
        /** While a lane has no number yet, its topic cannot be waited for, and polling must do. */
        const resolve = Effect.suspend(() =>
          known.size === new Set(topics).size
            ? Effect.void
            : Effect.forEach(topics, (topic) =>
              Effect.map(hintOf(names, topic), (hint) => {
                known.add(hint)
                hints.add(hint, hinted)
              })).pipe(Effect.ignore)
        )
        yield* resolve
        return {
          arm: hinted.close.pipe(
            Effect.andThen(resolve),
            Effect.andThen(Effect.suspend(() => hints.arm([...known]))),
          ),
          wait: (atMost) => Effect.map(Effect.timeoutOption(hinted.await, atMost), Option.isSome),
        }
      }),
  })

/** Gives hints to a carrier under the names that everybody knows. */
export const carrying = (carrier: HintCarrier, names: PgNames): Carry => (hints, isHere) =>
  Effect.map(
    names.lanesOf(hints.flatMap((hint) => hint.startsWith("l") ? [Number(hint.slice(1))] : [])),
    (lanes) => {
      const topics = [
        ...lanes.map(ofLane),
        ...hints.flatMap((hint): Array<Topic> =>
          hint === "t"
            ? [ofTriggers]
            : hint === "o"
            ? [ofOutbox]
            : hint === "d"
            ? [ofDue]
            : hint.startsWith("e")
            ? [ofExecutor(Number(hint.slice(1)) as Incarnation)]
            : []
        ),
      ]
      if (isHere) carrier.giveHere(topics)
      else carrier.give(topics)
    },
  )

const lanePrefix = "lane "
const executorPrefix = "executor "
const lockPrefix = "lock "

/** A key may be longer than what a notification carries. */
export const hintOfLock = (key: LockKey): Hint =>
  `k${createHash("sha256").update(key).digest("base64url").slice(0, 22)}`

const hintOf = (names: PgNames, topic: Topic) => {
  if (topic.startsWith(lanePrefix)) {
    const lane = topic.slice(lanePrefix.length) as Lane
    return Effect.map(names.laneNumber(lane), (id): Hint => `l${id}`)
  }
  if (topic.startsWith(executorPrefix)) {
    return Effect.succeed<Hint>(`e${Number(topic.slice(executorPrefix.length))}`)
  }
  if (topic.startsWith(lockPrefix)) {
    return Effect.succeed(hintOfLock(topic.slice(lockPrefix.length) as LockKey))
  }
  return Effect.succeed<Hint>(topic === "outbox" ? "o" : topic === "due" ? "d" : "t")
}
