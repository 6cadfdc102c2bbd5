/**
 * What only some of the seeds have in their plans, besides the usual: it is drawn by a seed of its own,
 * so that who has none of it has the same history as before.
 */
import { Effect } from "effect"
import type { Level } from "../domain/Lane.ts"
import { between, chance, many, oneOf } from "./dice.ts"
import { type Change, keys, type Plan, type Submit } from "./Plan.ts"
import type { TaskName } from "./tasks.ts"
import { calmAt, healsAt, triggersUntil } from "./times.ts"

export const draw = (plan: Plan): Effect.Effect<Plan> =>
  Effect.gen(function* () {
    let drawn = plan
    for (const some of [deadlines, changes]) {
      if (yield* chance(share)) drawn = yield* some(drawn)
    }
    return drawn
  })

/** Of the seeds that have some of each. */
const share = 0.35

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
