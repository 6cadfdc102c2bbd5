/**
 * J25: whoever was to carry a run out and does not is followed by another, or by the end of the run's
 * deadline; and the run's events say who had it, each time.
 *
 * Tried, and caught: what a pool has no room for kept, or dropped; what was given back, or what a silent executor had,
 * offered to nobody; grants that are over left out of the events; no deadline once a run was granted.
 */
import { assert } from "@effect/vitest"
import { Deferred, Effect, Exit, Layer, Schema, Scope } from "effect"
import type { RunId } from "../../domain/RunId.ts"
import { Executor, type ExecutorOptions } from "../../engine/Executor.ts"
import { Scheduler } from "../../engine/Scheduler.ts"
import * as Task from "../../engine/Task.ts"
import { servingCuttable } from "../invariants/processes.ts"
import { serving, state, type Test, until } from "../program.ts"

/** As it was submitted, and as an older program knows it, which can do nothing with it. */
const Deliver = Task.make("deliver", {
  payload: { to: Schema.String, by: Schema.String },
  success: Schema.String,
  earlier: Task.earlier({ to: Schema.String }).now(({ to }) => ({ to, by: "post" })),
})
const OldDeliver = Task.make("deliver", { payload: { to: Schema.String }, success: Schema.String })
const Busy = Task.make("busy")

const parcel = { to: "Ada", by: "courier" }
const first: ExecutorOptions = { name: "first", ttl: "2 seconds", drainTimeout: "100 millis" }

/** What the first does, before and after the run is submitted, instead of carrying it out. */
interface Way {
  readonly how: string
  readonly failing: Effect.Effect<
    (run: RunId) => Effect.Effect<unknown, unknown, Scheduler>,
    unknown,
    Effect.Services<ReturnType<Parameters<Test>[1]>>
  >
  /** What is told of it. */
  readonly as: string
  /** What was begun expires no more. */
  readonly isBegun?: true
}

const granted = (run: RunId) => until(state(run), ({ state }) => state === "Running")

const begun = (run: RunId) => Effect.andThen(granted(run), Effect.sleep("100 millis"))

const ways: ReadonlyArray<Way> = [
  {
    how: "cannot read",
    as: "Released",
    failing: Effect.as(
      serving(OldDeliver.toLayer(() => Effect.succeed("first")), first),
      (run) => until(state(run), ({ fence, state }) => fence === 1 && state === "Ready"),
    ),
  },
  {
    how: "has no room for any more",
    as: "Released",
    failing: Effect.gen(function* () {
      const began = yield* Deferred.make<void>()
      const handlers = Layer.merge(
        Busy.toLayer(() => Effect.andThen(Deferred.succeed(began, undefined), Effect.never)),
        Deliver.toLayer(() => Effect.succeed("first")),
      )
      const executor = yield* Layer.build(Layer.provideMerge(
        handlers,
        Executor.layerWith({ ...first, concurrency: 1, queueLength: 1 }),
      ))
      yield* Busy.submit({})
      yield* Deferred.await(began)
      return (run) =>
        Effect.gen(function* () {
          yield* granted(run)
          const full = { core: 1, maximum: 1, queueLength: 0, prefetchMillis: 0 }
          yield* Executor.use(({ resize }) => resize(full)).pipe(Effect.provide(executor))
        })
    }),
  },
  {
    how: "leaves in the middle of",
    as: "Released",
    isBegun: true,
    failing: Effect.gen(function* () {
      const scope = yield* Scope.make()
      yield* Scope.provide(serving(Deliver.toLayer(() => Effect.never), first), scope)
      return (run) => Effect.andThen(begun(run), Scope.close(scope, Exit.void))
    }),
  },
  {
    how: "falls silent in the middle of",
    as: "Lost",
    isBegun: true,
    failing: Effect.gen(function* () {
      const { cut } = yield* servingCuttable(Deliver.toLayer(() => Effect.never), first)
      return (run) => Effect.andThen(begun(run), cut)
    }),
  },
]

const toldOf = (run: RunId) =>
  Effect.map(
    Scheduler.use((scheduler) => scheduler.events(run)),
    (events) =>
      // That it was about to begin is told only where that was marked.
      events.filter(({ kind }) => kind !== "Started").map(({ detail, executor, kind }) =>
        executor !== undefined
          ? `${kind} by ${executor.name}`
          : detail?.includes("does not know") === true
          ? "Forgotten"
          : kind
      ),
  )

export const delivered = (test: Test): void => {
  for (const { as, failing, how, isBegun = false } of ways) {
    const told = ["Submitted", "Claimed by first", as]
    test(`J25: what the first ${how} another carries out, and both are told of`, () =>
      Effect.gen(function* () {
        const fail = yield* failing
        const run = yield* Deliver.submit(parcel)
        yield* fail(run)
        yield* serving(Deliver.toLayer(() => Effect.succeed("second")), { name: "second" })
        assert.strictEqual(yield* Deliver.result(run), "second")
        assert.deepStrictEqual(yield* toldOf(run), [...told, "Claimed by second", "Succeeded"])
        assert.deepInclude(yield* state(run), { attempt: 1, crashes: 0 })
      }))

    if (isBegun) continue
    test(`J25: what the first ${how}, and nobody takes, expires by its deadline`, () =>
      Effect.gen(function* () {
        const fail = yield* failing
        const run = yield* Deliver.submit(parcel, { deadline: "3 seconds" })
        yield* fail(run)
        const ended = yield* Scheduler.use((scheduler) => scheduler.ended(run))
        assert.deepInclude(ended, { state: "Expired", attempt: 0 })
        assert.deepStrictEqual(yield* toldOf(run), [...told, "Expired"])
      }))
  }

  test("J25: what is placed with one that falls silent before it takes it is placed with another", () =>
    Effect.gen(function* () {
      const placed = Task.make("placed", {
        success: Schema.String,
        policy: { routing: { _tag: "First" } },
      })
      const { cut } = yield* servingCuttable(placed.toLayer(() => Effect.succeed("first")), first)
      assert.strictEqual(yield* placed.execute({}), "first")
      yield* cut
      const run = yield* placed.submit({})
      yield* serving(placed.toLayer(() => Effect.succeed("second")), { name: "second" })
      assert.strictEqual(yield* placed.result(run), "second")
      const events = yield* Scheduler.use((scheduler) => scheduler.events(run))
      assert.deepStrictEqual(
        events.filter(({ kind }) => kind === "Placed")
          .map(({ detail }) => detail?.replace(/\(\d+\)/, "")),
        ["with first , by First", "with second , by First"],
      )
    }))
}
