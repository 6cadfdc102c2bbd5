/** What a seed stands for: who takes part, what is asked for, and what goes wrong when. */
import { Effect, Random } from "effect"
import type { Schedule } from "../domain/Trigger.ts"

export interface Plan {
  readonly schedulers: number
  readonly executors: number
  readonly concurrency: number
  readonly submits: ReadonlyArray<Submit>
  readonly triggers: ReadonlyArray<{ readonly name: string; readonly schedule: Schedule }>
  readonly faults: ReadonlyArray<Fault>
  readonly orders: ReadonlyArray<Order>
}

/** What an operator does to a trigger. */
export interface Order {
  readonly at: number
  /** An index among the triggers. */
  readonly trigger: number
  readonly kind: "pause" | "schedule" | "payload"
  /** Of a pause. */
  readonly millis: number
  readonly schedule: Schedule
}

export interface Submit {
  readonly at: number
  readonly task: TaskKind
  readonly key: string
  readonly delayMillis: number
  /** Under an idempotency key it is sent until it is answered; without one, once. */
  readonly isKeyed: boolean
  readonly isCancelled: boolean
  /** Which scheduler's process submits it. */
  readonly by: number
}

export const taskKinds = [
  "plain",
  "fifo",
  "discard",
  "pair",
  "once",
  "replace",
  "turn",
  "loaded",
  "alone",
] as const
export type TaskKind = (typeof taskKinds)[number]

export interface Fault {
  readonly at: number
  readonly kind: "kill" | "pause" | "storm"
  /** An index among schedulers and executors together. */
  readonly victim: number
  readonly millis: number
}

/** When the world begins: years in, so that an instant is not mistaken for a small number. */
export const startsAt = Date.UTC(2026, 0, 1)

/** Things go wrong up to here; then all heals, and everything has to end. */
export const healsAt = 40_000
export const triggersUntil = 60_000
/** The last moment: everything but a fault in the product has ended long before. */
export const endsAt = 300_000

export const ttlMillis = 4000

export const draw: Effect.Effect<Plan> = Effect.gen(function* () {
  const between = (low: number, high: number) => Random.nextIntBetween(low, high)
  const chance = Effect.map(Random.next, (drawn) => (share: number) => drawn < share)
  const many = <A>(count: number, one: Effect.Effect<A>) =>
    Effect.forEach(Array.from({ length: count }), () => one)

  const schedulers = yield* between(1, 3)
  const executors = yield* between(1, 4)
  const submit = Effect.gen(function* () {
    const drawn: Submit = {
      at: yield* between(100, healsAt - 5000),
      task: taskKinds[yield* between(0, taskKinds.length - 1)]!,
      key: `key-${yield* between(0, 1)}`,
      delayMillis: (yield* chance)(0.2) ? yield* between(1, 5000) : 0,
      isKeyed: (yield* chance)(0.5),
      isCancelled: (yield* chance)(0.1),
      by: yield* between(0, schedulers - 1),
    }
    return drawn
  })
  /** Two or three at the same instant, as callers do that share a cause. */
  const burst = Effect.gen(function* () {
    const first = yield* submit
    const others = yield* many(
      yield* between(0, 2),
      Effect.map(between(0, schedulers - 1), (by) => ({ ...first, by, isCancelled: false })),
    )
    return [first, ...others]
  })
  const trigger = Effect.gen(function* () {
    const seconds = yield* between(1, 6)
    const schedule: Schedule = (yield* chance)(0.5)
      ? { _tag: "Cron", expression: `*/${seconds} * * * * *`, zone: "UTC" }
      : { _tag: "Every", millis: seconds * 1000 }
    return schedule
  })
  const fault = Effect.gen(function* () {
    const drawn: Fault = {
      at: yield* between(500, healsAt - 1000),
      kind: (["kill", "pause", "storm"] as const)[yield* between(0, 2)]!,
      victim: yield* between(0, schedulers + executors - 1),
      millis: yield* between(100, 3 * ttlMillis),
    }
    return drawn
  })
  const concurrency = yield* between(1, 4)
  const submits = (yield* many(yield* between(8, 20), burst)).flat()
  const triggers = (yield* many(yield* between(0, 3), trigger))
    .map((schedule, at) => ({ name: `trigger-${at}`, schedule }))
  const faults = yield* many(yield* between(0, 12), fault)
  const order = Effect.gen(function* () {
    const drawn: Order = {
      at: yield* between(500, healsAt - 1000),
      trigger: yield* between(0, triggers.length - 1),
      kind: (["pause", "schedule", "payload"] as const)[yield* between(0, 2)]!,
      millis: yield* between(100, 3 * ttlMillis),
      schedule: yield* trigger,
    }
    return drawn
  })
  const orders = triggers.length === 0 ? [] : yield* many(yield* between(0, 6), order)
  return { schedulers, executors, concurrency, submits, triggers, faults, orders }
})
