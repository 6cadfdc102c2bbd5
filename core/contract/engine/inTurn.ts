/**
 * Who has a place where several claim for themselves: what is plain, and each task whose runs need a permit
 * or that is blocked per executor. A9, I26: the better level, whatever kind it is of, and nobody never.
 *
 * Tried, and caught: no place kept for who claims for itself; neither a task nor what is plain looks while
 * there is no place; levels ignored; no turn for who is behind; nobody told of a place that is free again.
 */
import { assert } from "@effect/vitest"
import { Effect, Layer, Schema } from "effect"
import * as Blocking from "../../domain/Blocking.ts"
import type { Level } from "../../domain/Lane.ts"
import { Scheduler } from "../../engine/Scheduler.ts"
import * as Task from "../../engine/Task.ts"
import { serving, type Test, until } from "../program.ts"
import { fresh, times } from "../world.ts"

/** Each lets more start than these tests have. */
const kinds = {
  "plain": () => ({}),
  "behind a rate limit": () => ({ rateLimit: { limit: 1000, perMillis: 1000 } }),
  "behind a breaker": () => ({ breaker: fresh("gateway") }),
  "in a group": () => ({ group: { name: fresh("group") } }),
  "blocked per executor": () => ({
    blocking: Blocking.concurrent(50),
    blockingScope: "executor" as const,
  }),
}
type Kind = keyof typeof kinds

/** Who waits for a place that nobody tells it of waits for twenty seconds. */
const stalledMillis = 15_000

/**
 * How many runs of a backlog start after a few others were submitted and before the last of those does;
 * with the backlog some are prefetched, and some start while the others are being submitted.
 */
const startedBefore = (
  backlog: readonly [kind: Kind, level: Level],
  few: readonly [kind: Kind, level: Level],
  count: number,
) =>
  Effect.gen(function* () {
    const scheduler = yield* Scheduler
    const starts: Array<"backlog" | "few"> = []
    const taskOf = ([kind, level]: readonly [Kind, Level]) =>
      Task.make(fresh("task"), { policy: { ...kinds[kind](), level } })
    const [many, some] = [taskOf(backlog), taskOf(few)]
    const work = (which: "backlog" | "few") =>
      Effect.andThen(Effect.sync(() => void starts.push(which)), Effect.sleep("30 millis"))
    const submit = (task: typeof many, count: number) =>
      Effect.flatMap(
        Effect.forEach(times(count), () => task.submission({})),
        scheduler.submitAll,
      )
    yield* serving(
      Layer.merge(many.toLayer(() => work("backlog")), some.toLayer(() => work("few"))),
      { concurrency: 1 },
    )
    yield* submit(many, backlogCount)
    yield* until(Effect.sync(() => starts.length), (length) => length > 3)
    yield* submit(some, count)
    const before = starts.length
    yield* until(
      Effect.sync(() => starts.filter((which) => which === "few").length),
      (started) => started === count || starts.length === backlogCount + count,
    )
    return starts.slice(before, starts.lastIndexOf("few")).filter((which) => which === "backlog")
      .length
  }).pipe(Effect.timeout(stalledMillis))

const backlogCount = 60

export const inTurn = (test: Test): void => {
  const better: ReadonlyArray<readonly [urgent: Kind, backlog: Kind]> = [
    ["behind a rate limit", "plain"],
    ["behind a breaker", "plain"],
    ["in a group", "plain"],
    ["blocked per executor", "plain"],
    ["plain", "blocked per executor"],
    ["plain", "behind a rate limit"],
    ["behind a rate limit", "behind a breaker"],
    ["in a group", "blocked per executor"],
  ]
  for (const [urgent, backlog] of better) {
    test(`A9 levels: what is urgent and ${urgent} goes before an idle backlog that is ${backlog}`, () =>
      Effect.gen(function* () {
        const before = yield* startedBefore([backlog, 4], [urgent, 0], 5)
        assert.isAtMost(before, backlogCount / 4)
      }))
  }

  const worse: ReadonlyArray<readonly [idle: Kind, backlog: Kind]> = [
    ["behind a rate limit", "plain"],
    ["plain", "behind a rate limit"],
  ]
  for (const [idle, backlog] of worse) {
    test(`I26 nobody starves: what is idle and ${idle} has its turns beside urgent work that is ${backlog}`, () =>
      Effect.gen(function* () {
        const before = yield* startedBefore([backlog, 0], [idle, 4], 3)
        assert.isBelow(before, backlogCount * 3 / 4)
        assert.isAtLeast(before, 3, "and no more than those")
      }))
  }

  test("A9 levels: what was kept for one is for all again when it has nothing more", () =>
    Effect.gen(function* () {
      const scheduler = yield* Scheduler
      const concurrency = 4
      let waiting = 0
      const tasks = ([["plain", 1], ["behind a rate limit", 0], ["in a group", 4]] as const)
        .map(([kind, level]) =>
          Task.make(fresh("task"), {
            payload: { isLong: Schema.Boolean },
            policy: { ...kinds[kind](), level },
          })
        )
      const [first, ...others] = tasks.map((task) =>
        task.toLayer(({ isLong }) =>
          isLong
            ? Effect.andThen(Effect.sync(() => void waiting++), Effect.never)
            : Effect.sleep("3 millis")
        )
      )
      yield* serving(Layer.mergeAll(first!, ...others), { concurrency })
      const made = yield* Effect.forEach(times(60), (n) => tasks[n % 3]!.submit({ isLong: false }))
      for (const run of made) yield* scheduler.ended(run)
      for (const task of tasks) {
        waiting = 0
        const runs = yield* Effect.forEach(times(concurrency), () => task.submit({ isLong: true }))
        yield* until(Effect.sync(() => waiting), (count) => count === concurrency)
        for (const run of runs) yield* scheduler.cancel(run)
        for (const run of runs) yield* scheduler.ended(run)
      }
    }))
}
