/**
 * What only some of the seeds have in their plans, besides the usual: it is drawn by a seed of its own,
 * so that who has none of it has the same history as before.
 */
import { Effect, Random } from "effect"
import type { Level } from "../domain/Lane.ts"
import { between, chance, many, oneOf } from "./dice.ts"
import type { Schedule } from "../domain/Trigger.ts"
import type {
  Asking,
  Change,
  Fault,
  GroupOrder,
  Lateness,
  Loan,
  LoanNotice,
  Order,
  Plan,
  PlannedTrigger,
  Removal,
  Submit,
} from "./Plan.ts"
import { always, calendarName, keys, type TaskName } from "./tasks.ts"
import { backAt, calmAt, healsAt, startsAt, triggersUntil, ttlMillis } from "./times.ts"

export const draw = (plan: Plan): Effect.Effect<Plan> =>
  Effect.gen(function* () {
    let drawn = plan
    for (
      const some of [
        deadlines,
        changes,
        byHand,
        groups,
        actors,
        rollbacks,
        permanent,
        rules,
        days,
        silences,
        failures,
        drains,
        loans,
      ]
    ) {
      if (yield* chance(share)) drawn = yield* some(drawn)
    }
    return drawn
  })

/** Of the seeds that have some of each. */
const share = 0.25

/** The most urgent, and nothing else about it. */
const submitAt = Effect.fnUntraced(function* (plan: Plan, at: number, task: TaskName) {
  const drawn: Submit = {
    at,
    task,
    key: yield* oneOf(keys),
    level: 0,
    delayMillis: 0,
    isKeyed: true,
    isReused: false,
    order: undefined,
    by: yield* between(0, plan.schedulers - 1),
  }
  return drawn
})

/** Submits of a task, most of them at an instant with others, some when all is well. */
const submitsOf = Effect.fnUntraced(function* (plan: Plan, task: TaskName, count: number) {
  const usual: Omit<Submit, "at" | "by" | "key"> = {
    task,
    level: 1,
    delayMillis: 0,
    isKeyed: true,
    isReused: false,
    order: undefined,
  }
  const someAt = (at: number) =>
    Effect.gen(function* () {
      const by = yield* between(0, plan.schedulers - 1)
      return { ...usual, at, by, key: yield* oneOf(keys) } satisfies Submit
    })
  const burst = Effect.gen(function* () {
    const at = yield* between(100, healsAt - 5000)
    return yield* many(yield* between(1, 4), someAt(at))
  })
  const late = Effect.flatMap(between(calmAt, triggersUntil - 2000), someAt)
  return [...(yield* many(count, burst)).flat(), ...yield* many(2, late)]
})

const withSubmits = (
  plan: Plan,
  change: (submit: Submit) => Effect.Effect<Submit>,
): Effect.Effect<Plan> =>
  Effect.map(Effect.forEach(plan.submits, change), (submits) => ({ ...plan, submits }))

/** A task that is of no use later, and runs of all others that must have begun by an instant. */
const deadlines = Effect.fnUntraced(function* (plan: Plan) {
  const timely = yield* submitsOf(plan, "timely", yield* between(4, 8))
  const someHaveOne = (submit: Submit) =>
    Effect.gen(function* () {
      if (!(yield* chance(0.25))) return submit
      return { ...submit, deadlineMillis: submit.delayMillis + (yield* between(100, 5000)) }
    })
  const drawn = yield* withSubmits(plan, someHaveOne)
  return {
    ...drawn,
    tasks: [...plan.tasks, "timely" as const],
    submits: [...drawn.submits, ...timely],
  }
})

/** Some runs get another level or another deadline, or several, of which two know of no other. */
const changes = (plan: Plan) => {
  const change = (isFirst: boolean): Effect.Effect<Change> =>
    Effect.gen(function* () {
      const what = yield* oneOf(["level", "deadline", "both"] as const)
      return {
        afterMillis: yield* between(0, 2500),
        isFirst,
        ...(what !== "deadline" && { level: yield* oneOf<Level>([0, 1, 2, 3]) }),
        ...(what !== "level" && {
          deadlineMillis: (yield* chance(0.2)) ? null : yield* between(100, 8000),
        }),
      }
    })
  return withSubmits(plan, (submit) =>
    Effect.gen(function* () {
      if (!(yield* chance(0.25))) return submit
      const isFirst = yield* chance(0.5)
      return { ...submit, changes: yield* many(yield* between(1, 3), change(isFirst)) }
    }))
}

/** Triggers are fired by hand, their slots filled in, and they are taken away for a while. */
const byHand = Effect.fnUntraced(function* (plan: Plan): Effect.fn.Return<Plan> {
  const names = plan.triggers.map(({ name }) => name)
  if (names.length === 0) return plan
  const asking = Effect.gen(function* () {
    const drawn: Asking = {
      at: yield* between(500, triggersUntil - 2000),
      trigger: yield* oneOf(names),
      kind: yield* oneOf(["fire", "backfill"] as const),
      by: yield* many(yield* between(1, 2), between(0, plan.schedulers - 1)),
      millis: yield* between(1000, 15_000),
      paceMillis: (yield* chance(0.3)) ? yield* between(10, 500) : 0,
    }
    return drawn
  })
  const tails = plan.tails.filter((name) => name === "tail-table")
  const removal = Effect.gen(function* () {
    return {
      at: yield* between(500, healsAt - 1000),
      trigger: yield* oneOf([...names, ...tails]),
      millis: yield* between(100, 3 * ttlMillis),
    }
  })
  const askings = yield* many(yield* between(3, 8), asking)
  return { ...plan, askings, removals: yield* many(yield* between(0, 3), removal) }
})

const withTasks = (plan: Plan, tasks: ReadonlyArray<TaskName>, submits: ReadonlyArray<Submit>) => ({
  ...plan,
  tasks: [...plan.tasks, ...tasks],
  submits: [...plan.submits, ...submits],
})

/** Tasks of groups, of which one has a limit; they are paused, and all of their runs are cancelled. */
const groups = Effect.fnUntraced(function* (plan: Plan): Effect.fn.Return<Plan> {
  const tasks = ["gang", "mob", "band"] as const
  const submits = yield* Effect.forEach(
    tasks,
    (task) => Effect.flatMap(between(2, 4), (count) => submitsOf(plan, task, count)),
  )
  const order = Effect.gen(function* () {
    const drawn: GroupOrder = {
      at: yield* between(500, healsAt - 1000),
      group: yield* oneOf(["gang", "band"]),
      kind: yield* oneOf(["pause", "pause", "cancel"] as const),
      by: yield* between(0, plan.schedulers - 1),
      millis: yield* between(500, 2 * ttlMillis),
    }
    return drawn
  })
  const groupOrders = yield* many(yield* between(1, 4), order)
  return { ...withTasks(plan, tasks, submits.flat()), groupOrders }
})

/** An actor of two keys, some messages to which come together, and some of them are told to stop. */
const actors = Effect.fnUntraced(function* (plan: Plan): Effect.fn.Return<Plan> {
  const messages = yield* submitsOf(plan, "counter", yield* between(5, 10))
  const some = yield* Effect.forEach(messages, (message) =>
    Effect.gen(function* () {
      const order = (yield* chance(0.15))
        ? yield* oneOf(["cancel", "suspend", "revive"] as const)
        : undefined
      return { ...message, order, level: yield* oneOf<Level>([0, 1, 1]) }
    }))
  return withTasks(plan, ["counter"], some)
})

/** Runs of which somebody wants undone what they did, whether the task says how or not. */
const rollbacks = Effect.fnUntraced(function* (plan: Plan): Effect.fn.Return<Plan> {
  const booked = yield* submitsOf(plan, "booked", yield* between(4, 8))
  const isUndone = new Set<TaskName>(["booked", "plain", "tidy"])
  return yield* withSubmits(
    withTasks(plan, ["booked"], booked),
    (submit) =>
      Effect.gen(function* () {
        if (!isUndone.has(submit.task) || submit.order !== undefined) return submit
        if (!(yield* chance(submit.task === "booked" ? 0.7 : 0.2))) return submit
        const by = yield* many(yield* between(1, 2), between(0, plan.schedulers - 1))
        return { ...submit, undo: { afterMillis: yield* between(500, 9000), by } }
      }),
  )
})

/** A trigger of which one run is always alive, unless it is paused, or taken away for a while. */
const permanent = Effect.fnUntraced(function* (plan: Plan): Effect.fn.Return<Plan> {
  const trigger = "always"
  const at = between(500, healsAt - 1000)
  const millis = between(100, 3 * ttlMillis)
  const order = Effect.gen(function* () {
    const kind = yield* oneOf(["pause", "payload"] as const)
    return { at: yield* at, trigger, kind, millis: yield* millis, schedule: always }
  })
  const removal = Effect.gen(function* () {
    return { at: yield* at, trigger, millis: yield* millis }
  })
  return {
    ...plan,
    permanent: [trigger],
    orders: [...plan.orders, ...yield* many(yield* between(0, 2), order)],
    removals: [...plan.removals, ...yield* many(yield* between(0, 1), removal)],
  }
})

/**
 * Triggers of a single instant, of a first and a last one, and with jitter, some of which mind whether a run
 * of theirs is under way; they are turned, and some of them are taken away for good.
 */
const rules = Effect.fnUntraced(function* (plan: Plan): Effect.fn.Return<Plan> {
  /** By the world's clock, or as the storage's has been set. */
  const instant = (from: number, to: number) =>
    Effect.gen(function* () {
      const ahead = (yield* chance(0.5)) ? 0 : yield* oneOf(
        [0, ...plan.steps.map(({ aheadMillis }) => aheadMillis)],
      )
      return startsAt + ahead + (yield* between(from, to))
    })
  const rule = Effect.gen(function* () {
    const jitterMillis = (yield* chance(0.5)) ? yield* between(300, 5000) : undefined
    const jitter = jitterMillis === undefined ? {} : { jitterMillis }
    if (yield* chance(0.25)) {
      const at = yield* instant(500, triggersUntil - 5000)
      return { _tag: "At", at, ...jitter } satisfies Schedule
    }
    const span = {
      ...((yield* chance(0.5)) && { start: yield* instant(-5000, healsAt) }),
      ...((yield* chance(0.5)) && { end: yield* instant(healsAt / 2, triggersUntil) }),
    }
    const seconds = yield* between(1, 4)
    const drawn: Schedule = (yield* chance(0.5))
      ? { _tag: "Every", millis: seconds * 1000, ...span, ...jitter }
      : {
        _tag: "Cron",
        expression: `*/${seconds} * * * * *`,
        zone: "UTC",
        ...((yield* chance(0.3)) && { calendar: calendarName, freeDay: "skip" }),
        ...span,
        ...jitter,
      }
    return drawn
  })
  const count = yield* between(1, 3)
  const names = Array.from({ length: count }, (_, nth) => `rule-${nth}`)
  const triggers = yield* Effect.forEach(names, (name) =>
    Effect.gen(function* () {
      const whileRunning = yield* oneOf(["allow", "skip", "fail"] as const)
      return { name, schedule: yield* rule, whileRunning } satisfies PlannedTrigger
    }))
  const lateness = yield* many(
    count,
    Effect.gen(function* () {
      const few = { _tag: "All", max: yield* between(1, 5) } as const
      const drawn: Lateness = {
        misfire: yield* oneOf([{ _tag: "Skip" }, { _tag: "Once" }, few] as const),
        ...((yield* chance(0.5)) && { graceMillis: yield* between(1000, 5000) }),
      }
      return drawn
    }),
  )
  const at = between(500, healsAt - 1000)
  const millis = between(100, 3 * ttlMillis)
  const order = Effect.gen(function* () {
    const kind = yield* oneOf(["pause", "schedule", "schedule", "payload"] as const)
    const drawn: Order = {
      at: yield* at,
      trigger: yield* oneOf(names),
      kind,
      millis: yield* millis,
      schedule: yield* rule,
    }
    return drawn
  })
  const removal = Effect.gen(function* () {
    const isForGood = yield* chance(0.5)
    const drawn: Removal = {
      at: yield* at,
      trigger: yield* oneOf([...names, ...plan.triggers.map(({ name }) => name)]),
      millis: isForGood ? undefined : yield* millis,
    }
    return drawn
  })
  const asking = Effect.gen(function* () {
    const drawn: Asking = {
      at: yield* between(500, triggersUntil - 2000),
      trigger: yield* oneOf(names),
      kind: yield* oneOf(["fire", "backfill"] as const),
      by: [yield* between(0, plan.schedulers - 1)],
      millis: yield* between(1000, 15_000),
      paceMillis: 0,
    }
    return drawn
  })
  return {
    ...plan,
    triggers: [...plan.triggers, ...triggers],
    lateness: [...plan.lateness, ...lateness],
    orders: [...plan.orders, ...yield* many(yield* between(0, 3), order)],
    removals: [...plan.removals, ...yield* many(yield* between(0, 2), removal)],
    askings: [...plan.askings, ...yield* many(yield* between(0, 2), asking)],
  }
})

/** Days that go by in the end, a little less and a little more than something is kept for. */
const days = Effect.fnUntraced(function* (plan: Plan): Effect.fn.Return<Plan> {
  const count = yield* between(1, 3)
  const ages = (yield* Random.shuffle([6, 8, 29, 31, 364, 366])).slice(0, count)
    .toSorted((one, other) => one - other)
  return { ...plan, days: ages.map((age, nth) => age - (ages[nth - 1] ?? 0)) }
})

/** All executors fall silent when runs that may not take long have gone on for almost as long. */
const silences = Effect.fnUntraced(function* (plan: Plan): Effect.fn.Return<Plan> {
  if (!plan.tasks.includes("timed")) return plan
  const at = yield* between(500, 4000)
  const submit = submitAt(plan, at, "timed")
  const silence = { at: at + (yield* between(1600, 1900)), millis: yield* between(4000, 8000) }
  const faults = Array.from({ length: plan.executors }, (_, nth): Fault => ({
    ...silence,
    kind: "pause",
    victim: plan.schedulers + nth,
  }))
  return {
    ...plan,
    submits: [...plan.submits, ...yield* many(4, submit)],
    faults: [...plan.faults, ...faults],
  }
})

/** The task that is followed fails for a while, and somebody has its runs go on when they have failed. */
const failures = Effect.fnUntraced(function* (plan: Plan): Effect.fn.Return<Plan> {
  const submits = yield* submitsOf(plan, "fifo", yield* between(3, 6))
  const outages = yield* Effect.forEach(
    keys,
    (key) => Effect.map(between(100, 5000), (at) => ({ at, key, millis: 20_000 })),
  )
  return {
    ...plan,
    failing: "fifo",
    outages: [...plan.outages, ...outages],
    submits: [...plan.submits, ...submits.map((each) => ({ ...each, order: "revive" as const }))],
  }
})

const drainAt = Effect.fnUntraced(function* (plan: Plan, at: number) {
  const victim = plan.schedulers + (yield* between(0, plan.executors - 1))
  const millis = Math.min(yield* between(4000, 8000), backAt - at)
  const drawn: Fault = { at, kind: "drain", victim, millis }
  return drawn
})

/** Executors are closed while runs of theirs are under way, some of which begin at most once, and come back. */
const drains = Effect.fnUntraced(function* (plan: Plan): Effect.fn.Return<Plan> {
  const count = yield* between(2, 5)
  const ends = yield* many(count, between(2000, healsAt - 6000))
  const faults = yield* Effect.forEach(ends, (at) => drainAt(plan, at))
  const tasks = plan.tasks.includes("once") ? [] : ["once" as const]
  const submits = yield* Effect.forEach(ends, (end) =>
    many(
      4,
      Effect.gen(function* () {
        const at = end - (yield* between(50, 1000))
        return yield* submitAt(plan, at, yield* oneOf(["once", "once", "plain"] as const))
      }),
    ))
  return { ...withTasks(plan, tasks, submits.flat()), faults: [...plan.faults, ...faults] }
})

/**
 * Runs that borrow something and are handed over: of some somebody says how they went, or several say so,
 * or nobody; some are cancelled, and executors of theirs are closed.
 */
const loans = Effect.fnUntraced(function* (plan: Plan): Effect.fn.Return<Plan> {
  const notice = Effect.gen(function* () {
    const drawn: LoanNotice = {
      afterMillis: yield* between(200, 6000),
      everyMillis: yield* between(500, 3000),
      isSuccess: yield* chance(0.6),
      by: yield* many(yield* between(1, 2), between(0, plan.schedulers - 1)),
    }
    return drawn
  })
  const loan = Effect.gen(function* () {
    const drawn: Loan = {
      notices: yield* many(yield* oneOf([0, 1, 1, 2]), notice),
      ...((yield* chance(0.25)) && { cancelAfterMillis: yield* between(500, 12_000) }),
    }
    return drawn
  })
  /** Whoever is cut off before it stops may not know whether it was kept that hooks are left. */
  const end = Effect.gen(function* () {
    const drawn = yield* drainAt(plan, yield* between(4000, healsAt - 6000))
    const kind = yield* oneOf(["drain", "drain", "kill", "pause"] as const)
    const before = yield* between(200, 2000)
    const storm: Fault = { ...drawn, at: drawn.at - before, kind: "storm", millis: before + 2000 }
    return [storm, { ...drawn, kind }]
  })
  const faults = (yield* many(yield* between(0, 4), end)).flat()
  const lent = [
    ...(yield* submitsOf(plan, "lent", yield* between(3, 6))),
    ...(yield* Effect.forEach(faults, ({ at }) => submitAt(plan, at - 500, "lent"))),
  ]
  const submits = yield* Effect.forEach(lent, (submit) =>
    Effect.gen(function* () {
      const drawn: Submit = {
        ...submit,
        loan: yield* loan,
        order: (yield* chance(0.25)) ? yield* oneOf(["suspend", "revive"] as const) : undefined,
        ...((yield* chance(0.15)) && { deadlineMillis: yield* between(2000, 15_000) }),
      }
      return drawn
    }))
  return { ...withTasks(plan, ["lent"], submits), faults: [...plan.faults, ...faults] }
})
