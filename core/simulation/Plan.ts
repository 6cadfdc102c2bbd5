/** What a seed stands for: who takes part, what is asked for, and what goes wrong when. */
import { Effect, Random } from "effect"
import type { Level } from "../domain/Lane.ts"
import type { Misfire, Schedule, WhileRunning } from "../domain/Trigger.ts"
import * as Besides from "./Besides.ts"
import { between, chance, many, oneOf } from "./dice.ts"
import type { Row } from "./Table.ts"
import { calendarName, keys, type TaskName } from "./tasks.ts"
import { backAt, calmAt, healsAt, triggersUntil, ttlMillis } from "./times.ts"

export interface Plan {
  readonly schedulers: number
  readonly executors: number
  readonly concurrency: number
  /** One scheduler has the duties; otherwise each has all of them, which is worse. */
  readonly isStandby: boolean
  /** One side of each executor. */
  readonly sides: ReadonlyArray<"north" | "south">
  readonly tasks: ReadonlyArray<TaskName>
  readonly submits: ReadonlyArray<Submit>
  readonly triggers: ReadonlyArray<PlannedTrigger>
  /** What becomes of late slots of each of them. */
  readonly lateness: ReadonlyArray<Lateness>
  /** Who reads the table that is tailed: whoever fires triggers, the program of each scheduler. */
  readonly tails: ReadonlyArray<TailName>
  readonly rows: ReadonlyArray<WrittenRow>
  /** As somebody keeps the calendar of the triggers, from when on. */
  readonly calendars: ReadonlyArray<
    { readonly at: number; readonly holidays: ReadonlyArray<string> }
  >
  /** When the clock of the storage is set, and how far ahead of the world's it is then. */
  readonly steps: ReadonlyArray<{ readonly at: number; readonly aheadMillis: number }>
  /** While what is called for a key is down. */
  readonly outages: ReadonlyArray<
    { readonly at: number; readonly key: string; readonly millis: number }
  >
  /** The task whose runs fail then, besides the one that calls it. */
  readonly failing?: TaskName
  /** What an operator does to the breakers of keys: one of them, or all. */
  readonly holds: ReadonlyArray<Hold>
  readonly faults: ReadonlyArray<Fault>
  readonly orders: ReadonlyArray<Order>
  /** What is asked of triggers by hand. */
  readonly askings: ReadonlyArray<Asking>
  /** Triggers of which one run is always alive. */
  readonly permanent: ReadonlyArray<string>
  /** What is done to all runs of a group. */
  readonly groupOrders: ReadonlyArray<GroupOrder>
  readonly removals: ReadonlyArray<Removal>
  /** When all has ended the clock of the storage is set ahead so many days at a time, and what is old leaves. */
  readonly days?: ReadonlyArray<number>
}

export interface PlannedTrigger {
  readonly name: string
  readonly schedule: Schedule
  readonly whileRunning?: WhileRunning
}

/** When a trigger is taken away, and for how long; for good unless that is said. */
export interface Removal {
  readonly at: number
  readonly trigger: string
  readonly millis: number | undefined
}

export interface GroupOrder {
  readonly at: number
  readonly group: string
  readonly kind: "pause" | "cancel"
  /** Which scheduler's process is asked to cancel them. */
  readonly by: number
  /** Of a pause. */
  readonly millis: number
}

/** Somebody wants a run of a trigger now, or of each slot of the last while that has not fired. */
export interface Asking {
  readonly at: number
  readonly trigger: string
  readonly kind: "fire" | "backfill"
  /** Which scheduler's processes are asked, each with the same request. */
  readonly by: ReadonlyArray<number>
  /** Of a backfill: so long a while, and so far apart. */
  readonly millis: number
  readonly paceMillis: number
}

export const tailNames = ["tail-table", "tail-program"] as const
export type TailName = typeof tailNames[number]

/** A row of the table, in a transaction that takes so long. */
export interface WrittenRow {
  readonly at: number
  readonly millis: number
  readonly isKept: boolean
  readonly fate: Row["fate"]
}

export interface Lateness {
  readonly misfire: Misfire
  readonly graceMillis?: number
}

export interface Hold {
  readonly at: number
  readonly key: string | undefined
  readonly to: "open" | "closed"
  readonly millis: number
}

/** What an operator does to a trigger. */
export interface Order {
  readonly at: number
  readonly trigger: string
  readonly kind: "pause" | "schedule" | "payload"
  /** Of a pause. */
  readonly millis: number
  readonly schedule: Schedule
}

export interface Submit {
  readonly at: number
  readonly task: TaskName
  readonly key: string
  readonly level: Level
  readonly delayMillis: number
  /** Under an idempotency key it is sent until it is answered; without one, once. */
  readonly isKeyed: boolean
  /** And then another request comes under its key. */
  readonly isReused: boolean
  readonly order: "cancel" | "suspend" | "revive" | undefined
  /** Which scheduler's process submits it. */
  readonly by: number
  /** So long after the submit it must have begun; if the policy of its task is not to say. */
  readonly deadlineMillis?: number
  readonly changes?: ReadonlyArray<Change>
  /** Its task's rollback is asked for then, once or by two at once. */
  readonly undo?: { readonly afterMillis: number; readonly by: ReadonlyArray<number> }
  readonly loan?: Loan
}

/** What becomes of a run that has borrowed something: who says how it went, and whether it is cancelled. */
export interface Loan {
  readonly notices: ReadonlyArray<LoanNotice>
  readonly cancelAfterMillis?: number
}

/** Said again and again until somebody listens, by one or by two at once. */
export interface LoanNotice {
  readonly afterMillis: number
  readonly everyMillis: number
  readonly isSuccess: boolean
  readonly by: ReadonlyArray<number>
}

/** What somebody wants to have otherwise of a run, so long after it was taken in. */
export interface Change {
  readonly afterMillis: number
  readonly level?: Level
  /** `null`: none any more. */
  readonly deadlineMillis?: number | null
  /** Only if nobody has changed it before. */
  readonly isFirst: boolean
}

/** Always among those of a seed: the one that triggers fire, and the one that is followed. */
const always = ["plain", "fifo"] as const
const others = [
  "discard",
  "pair",
  "once",
  "replace",
  "turn",
  "loaded",
  "alone",
  "timed",
  "fragile",
  "picky",
  "risky",
  "few",
  "narrow",
  "cut",
  "everywhere",
  "tidy",
  "handed",
  "solo",
  "duo",
  "guarded",
  "shared",
] as const satisfies ReadonlyArray<TaskName>
/** So many of the others take part in a seed. */
const othersCount = 7
/** The days that the world sees. */
const days = ["2025-12-31", "2026-01-01"]

export interface Fault {
  readonly at: number
  /** `drain`: it is closed, as who is asked to end; only executors are. */
  readonly kind: "kill" | "pause" | "storm" | "drain"
  /** An index among schedulers and executors together. */
  readonly victim: number
  readonly millis: number
}

/** What is in it besides the usual is drawn by a seed of its own, so that the rest stays as it is. */
export const draw: Effect.Effect<Plan> = Effect.gen(function* () {
  const plan = yield* usual
  return yield* Besides.draw(plan).pipe(Random.withSeed(JSON.stringify(plan)))
})

const usual: Effect.Effect<Plan> = Effect.gen(function* () {
  const schedulers = yield* between(1, 3)
  const executors = yield* between(1, 4)
  const tasks: ReadonlyArray<TaskName> = [
    ...always,
    ...(yield* Random.shuffle(others)).slice(0, othersCount),
  ]
  const submitFrom = (from: number, to: number) =>
    Effect.gen(function* () {
      const isKeyed = yield* chance(0.5)
      const drawn: Submit = {
        at: yield* between(from, to),
        task: yield* oneOf(tasks),
        key: yield* oneOf(keys),
        level: yield* oneOf<Level>([0, 1, 1, 2]),
        delayMillis: (yield* chance(0.2)) ? yield* between(1, 5000) : 0,
        isKeyed,
        isReused: isKeyed && (yield* chance(0.2)),
        order: yield* oneOf(
          [...Array.from({ length: 7 }, () => undefined), "cancel", "suspend", "revive"] as const,
        ),
        by: yield* between(0, schedulers - 1),
      }
      return drawn
    })
  /** What shows nothing unless many wait: at a gate of their key, or for room in a backlog. */
  const rushed: ReadonlySet<TaskName> = new Set(["shared", "guarded", "narrow"])
  /** So many of both keys that they wait side by side. */
  const rush = (first: Submit) =>
    Effect.flatMap(between(6, 12), (count) =>
      many(
        count,
        Effect.gen(function* () {
          const key = yield* oneOf(keys)
          return { ...first, key, by: yield* between(0, schedulers - 1), order: undefined }
        }),
      ))
  /** Two or three at the same instant, as callers do that share a cause. */
  const burst = Effect.gen(function* () {
    const first = yield* submitFrom(100, healsAt - 5000)
    if (rushed.has(first.task)) return yield* rush(first)
    const others = yield* many(
      yield* between(0, 2),
      Effect.map(between(0, schedulers - 1), (by) => ({ ...first, by, order: undefined })),
    )
    return [first, ...others]
  })
  const trigger = Effect.gen(function* () {
    const seconds = yield* between(1, 6)
    const schedule: Schedule = (yield* chance(0.5))
      ? {
        _tag: "Cron",
        expression: `*/${seconds} * * * * *`,
        zone: "UTC",
        ...((yield* chance(0.4)) && { calendar: calendarName, freeDay: "skip" }),
      }
      : { _tag: "Every", millis: seconds * 1000 }
    return schedule
  })
  const fault = Effect.gen(function* () {
    const at = yield* between(500, healsAt - 1000)
    const drawn: Fault = {
      at,
      kind: yield* oneOf(["kill", "pause", "storm"] as const),
      victim: yield* between(0, schedulers + executors - 1),
      millis: Math.min(yield* between(100, 3 * ttlMillis), backAt - at),
    }
    return drawn
  })
  const concurrency = yield* between(1, 4)
  const submits = [
    ...(yield* many(yield* between(8, 20), burst)).flat(),
    ...(yield* many(yield* between(2, 5), submitFrom(calmAt, triggersUntil - 2000))),
  ]
  const triggers = (yield* many(yield* between(0, 3), trigger))
    .map((schedule, at) => ({ name: `trigger-${at}`, schedule }))
  const faults = yield* many(yield* between(0, 12), fault)
  const tails = (yield* chance(0.5)) ? yield* Random.shuffle(tailNames) : []
  const someTails = tails.slice(0, yield* between(1, tailNames.length))
  const row = Effect.gen(function* () {
    const drawn: WrittenRow = {
      at: yield* between(100, healsAt + 2000),
      millis: (yield* chance(0.4)) ? yield* between(1, 5000) : 0,
      isKept: yield* chance(0.85),
      fate: yield* oneOf(["fires", "fires", "fires", "fires", "passes", "flawed"] as const),
    }
    return drawn
  })
  const rows = someTails.length === 0 ? [] : yield* many(yield* between(4, 16), row)
  const free = many(2, chance(0.5)).pipe(
    Effect.map((isFree) => days.filter((_, at) => isFree[at])),
  )
  const calendars = [{ at: 0, holidays: yield* free }]
  for (let left = yield* between(0, 2); left > 0; left--) {
    calendars.push({ at: yield* between(500, triggersUntil - 4000), holidays: yield* free })
  }
  const names = [...triggers.map(({ name }) => name), ...someTails]
  const order = Effect.gen(function* () {
    const drawn: Order = {
      at: yield* between(500, healsAt - 1000),
      trigger: yield* oneOf(names),
      kind: yield* oneOf(["pause", "schedule", "payload"] as const),
      millis: yield* between(100, 3 * ttlMillis),
      schedule: yield* trigger,
    }
    return drawn
  })
  const outage = Effect.gen(function* () {
    return {
      at: yield* between(100, healsAt - 15_000),
      key: yield* oneOf(keys),
      millis: yield* between(2000, 15_000),
    }
  })
  const hold = Effect.gen(function* () {
    const drawn: Hold = {
      at: yield* between(500, healsAt - 8000),
      key: yield* oneOf([...keys, undefined]),
      to: yield* oneOf(["open", "open", "closed"] as const),
      millis: yield* between(500, 7000),
    }
    return drawn
  })
  const isGuarded = tasks.includes("guarded")
  const outages = isGuarded ? yield* many(yield* between(1, 3), outage) : []
  const holds = isGuarded ? yield* many(yield* between(0, 2), hold) : []
  const steps = (yield* chance(0.3)) ? yield* setting : []
  const orders = names.length === 0 ? [] : yield* many(yield* between(0, 6), order)
  const isStandby = yield* chance(0.25)
  // Somebody is there for those who ask for it.
  const sides = [
    "north",
    ...(yield* many(executors - 1, oneOf(["north", "south"] as const))),
  ] as const
  /** A queue that waits while the clock is set, and those of the best level who come to it then. */
  const queue = Effect.fnUntraced(function* (step: { readonly at: number }) {
    const key = yield* oneOf(keys)
    const waiting = (level: Level, from: number, to: number) =>
      Effect.map(submitFrom(from, to), (drawn): Submit => ({
        ...drawn,
        task: "fifo",
        key,
        level,
        delayMillis: 0,
        order: undefined,
      }))
    const at = Math.floor(step.at)
    return [
      ...(yield* many(4, waiting(1, at - 400, at - 50))),
      ...(yield* many(3, waiting(0, at + 1, at + 400))),
    ]
  })
  const queues = (yield* Effect.forEach(steps, queue)).flat()
  const isSet = steps.length > 0
  const late = Effect.gen(function* () {
    const few = { _tag: "All", max: yield* between(1, 5) } as const
    // All are fired that can be late here, unless the clock is set: then very many are late at once.
    const all: Lateness = { misfire: { _tag: "All", max: 1000 } }
    const drawn: Lateness = {
      misfire: yield* oneOf([{ _tag: "Skip" }, { _tag: "Once" }, few] as const),
      graceMillis: yield* between(1000, 5000),
    }
    return isSet || (yield* chance(0.5)) ? drawn : all
  })
  const lateness = yield* many(triggers.length, late)
  return {
    schedulers,
    executors,
    concurrency,
    isStandby,
    sides,
    tasks,
    submits: [...submits, ...queues],
    triggers,
    lateness,
    tails: someTails,
    rows,
    calendars,
    steps,
    outages,
    holds,
    faults,
    orders,
    askings: [],
    permanent: [],
    groupOrders: [],
    removals: [],
  }
})

/** Longer than the world lasts, so that no time is said twice. */
const sixMinutes = 360_000
const twentyTimes = Array.from({ length: 20 }, (_, at) => at + 1)

/**
 * It is set forward and back, up to two hours, and in the end ahead of all that it has said: what is
 * due by a clock that was set back is due that much later.
 */
const setting = Effect.gen(function* () {
  const count = yield* between(1, 3)
  const drawn = (yield* Random.shuffle([...twentyTimes, ...twentyTimes.map((times) => -times)]))
    .slice(0, count)
  const most = Math.max(0, ...drawn) + (yield* between(1, 20))
  const last = healsAt - (yield* between(1000, 5000))
  const instants: Array<number> = []
  for (let left = count; left > 0; left--) instants.push(yield* between(1000, last - 1000))
  return [...instants.toSorted((a, b) => a - b), last].map((at, nth) => ({
    // Between any two things that happen in whole milliseconds.
    at: at + 0.25,
    aheadMillis: (drawn[nth] ?? most) * sixMinutes,
  }))
})
