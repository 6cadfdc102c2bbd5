/**
 * What an engine asks of its storage while there is nothing to do, and how soon it does what comes then,
 * in virtual time over the memory storage.
 *
 * Tried, and caught: looks that are not in step; looks for what is due five times as often; no hint of
 * what is due soon at a submit, or at a retry; a look for each hint.
 */
import { assert, describe, it } from "@effect/vitest"
import { Clock, DateTime, Duration, Effect, Layer } from "effect"
import { TestClock } from "effect/testing"
import * as Direct from "../../adapters/direct/mod.ts"
import * as Memory from "../../adapters/memory/mod.ts"
import { behind } from "../contract/behind.ts"
import { times } from "../contract/world.ts"
import * as Retry from "../domain/Retry.ts"
import { Storage } from "../services/Storage.ts"
import { Executor } from "./Executor.ts"
import * as LocalOwnership from "./LocalOwnership.ts"
import { Scheduler } from "./Scheduler.ts"
import * as Task from "./Task.ts"
import { Triggers } from "./Triggers.ts"

const Work = Task.make("work")
const Flaky = Task.make("flaky", {
  policy: { retry: Retry.exponential({ attempts: 2, delayMillis: 100, growth: 1 }) },
})

interface Call {
  readonly name: string
  readonly at: number
}

/** An engine that has been idle for a while, and what it asks from then on. */
const idle = Effect.gen(function* () {
  const calls: Array<Call> = []
  const storage = behind(
    yield* Storage,
    (name, call) =>
      Effect.andThen(
        Effect.map(Clock.currentTimeMillis, (at) => void calls.push({ name, at })),
        call,
      ),
  )
  let tries = 0
  const engine = Layer.mergeAll(Scheduler.layer, Triggers.layer, Direct.layer).pipe(
    Layer.provide(LocalOwnership.layer),
    Layer.provide(Layer.succeed(Storage, storage)),
  )
  const handlers = Layer.mergeAll(
    Work.toLayer(() => Effect.void),
    Flaky.toLayer(() => tries++ === 0 ? Effect.die(new Error("the first time")) : Effect.void),
  )
  const built = yield* Layer.build(
    handlers.pipe(Layer.provideMerge(Executor.layer), Layer.provideMerge(engine)),
  )
  yield* pass("10 seconds")
  calls.length = 0
  return { calls, scheduler: yield* Effect.provide(Scheduler, built) }
})

/** A little at a time, as it does: whoever is woken asks before more of it has gone by. */
const pass = (duration: Duration.Input) =>
  Effect.forEach(
    times(Math.round(Duration.toMillis(Duration.fromInputUnsafe(duration)) / 10)),
    () => TestClock.adjust("10 millis"),
    { discard: true },
  )

const submission = ({ name, policy }: Pick<Task.Task, "name" | "policy">) => ({
  task: name,
  payload: "{}",
  policy,
})

describe("an engine with nothing to do", () => {
  it.effect("wakes three times a second at most, and asks eight things", () =>
    Effect.gen(function* () {
      const { calls } = yield* idle
      yield* pass("1 minute")
      const instants = new Set(calls.map(({ at }) => at))
      assert.isAtLeast(calls.filter(({ name }) => name === "promote").length, 60, "it is awake")
      // Mostly it is 92 of them, in forty tries 144 at most; out of step it is 340.
      assert.isAtMost(instants.size, 3 * 60)
      assert.isAtMost(calls.length, 8 * 60)
    }).pipe(Effect.scoped, Effect.provide(Memory.layer)))

  it.effect("begins what is submitted for a tenth of a second later at its time", () =>
    Effect.gen(function* () {
      const { scheduler } = yield* idle
      for (const _ of times(10)) {
        yield* pass("1370 millis")
        const { run } = yield* scheduler.submit(submission(Work), { delay: "100 millis" })
        yield* pass("500 millis")
        const { claimedAt, createdAt } = yield* scheduler.find(run)
        assert.isDefined(claimedAt)
        const took = DateTime.toEpochMillis(claimedAt) - DateTime.toEpochMillis(createdAt)
        assert.isAtLeast(took, 100)
        assert.isAtMost(took, 150)
      }
    }).pipe(Effect.scoped, Effect.provide(Memory.layer)))

  it.effect("tries again a tenth of a second after a failure", () =>
    Effect.gen(function* () {
      const { scheduler } = yield* idle
      const { run } = yield* scheduler.submit(submission(Flaky))
      yield* pass("500 millis")
      const { attempt, claimedAt, createdAt, state } = yield* scheduler.find(run)
      assert.deepStrictEqual({ attempt, state }, { attempt: 2, state: "Succeeded" })
      const took = DateTime.toEpochMillis(claimedAt!) - DateTime.toEpochMillis(createdAt)
      assert.isAtMost(took, 200)
    }).pipe(Effect.scoped, Effect.provide(Memory.layer)))

  it.effect("looks twenty times a second at most, however much is told to be due soon", () =>
    Effect.gen(function* () {
      const { calls, scheduler } = yield* idle
      for (const _ of times(90)) {
        yield* scheduler.submit(submission(Work), { delay: "950 millis" })
        yield* pass("10 millis")
      }
      const looks = calls.filter(({ name }) => name === "promote").length
      assert.isAtLeast(looks, 5)
      assert.isAtMost(looks, 20)
    }).pipe(Effect.scoped, Effect.provide(Memory.layer)))
})
