/** What becomes of events that are in hand when the storage cannot be asked. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { TestClock } from "effect/testing"
import * as Direct from "../../adapters/direct/mod.ts"
import * as Memory from "../../adapters/memory/mod.ts"
import { behind } from "../contract/behind.ts"
import { times } from "../contract/world.ts"
import { standard } from "../domain/Namespace.ts"
import { Storage } from "../services/Storage.ts"
import { StorageUnavailable } from "../services/StorageUnavailable.ts"
import { Executor } from "./Executor.ts"
import * as LocalOwnership from "./LocalOwnership.ts"
import { Scheduler } from "./Scheduler.ts"
import * as Task from "./Task.ts"
import * as Trigger from "./Trigger.ts"
import { Triggers } from "./Triggers.ts"

const Work = Task.make("work")
const Echo = Task.make("echo")

/**
 * A run has ended that two triggers follow, and then for so long calls of this name fail; or are carried
 * out, and their answers lost.
 */
const followedIn = (failing: string, forMillis: number, isCarriedOut = false) =>
  Effect.gen(function* () {
    const storage = yield* Storage
    let failures = 0
    let isFailing = false
    const shaky = behind(
      storage,
      (operation, call) =>
        Effect.suspend(() => {
          if (!isFailing || operation !== failing) return call
          failures++
          const cause = new Error("away")
          const lost = Effect.fail(
            new StorageUnavailable({ storage: "memory", operation, cause }) as never,
          )
          return isCarriedOut ? Effect.andThen(call, lost) : lost
        }),
    )
    const program = Layer.mergeAll(
      Work.toLayer(() => Effect.void),
      Echo.toLayer(() => Effect.void),
      Echo.schedule("one", Trigger.after(Work), {}),
      Echo.schedule("two", Trigger.after(Work), {}),
    ).pipe(
      Layer.provideMerge(Executor.layer),
      Layer.provideMerge(Layer.provide(
        Layer.merge(Scheduler.layer, Triggers.layer),
        LocalOwnership.layer,
      )),
      Layer.provide(Layer.succeed(Storage, shaky)),
    )
    return yield* Effect.gen(function* () {
      yield* TestClock.adjust("1 second")
      isFailing = true
      yield* Work.submit({})
      yield* TestClock.adjust(forMillis)
      assert.isAbove(failures, 0)
      isFailing = false
      const echoes = Effect.map(
        storage.runs.list({ namespace: standard, limit: 10 }),
        (runs) => runs.filter(({ task }) => task === Echo.name),
      )
      assert.deepStrictEqual(yield* echoes, [])
      for (const millis of times(200).map((nth) => 100 * nth)) {
        if ((yield* echoes).length === 2) return millis
        yield* TestClock.adjust("100 millis")
      }
      return assert.fail("they were never followed")
    }).pipe(Effect.provide(program))
  }).pipe(
    Effect.scoped,
    Effect.provide(Layer.provideMerge(Direct.layer, Layer.fresh(Memory.layer))),
  )

describe("events in hand", () => {
  for (const call of ["follow", "find"]) {
    it.effect(`are followed a second after the storage can be asked again (${call})`, () =>
      Effect.gen(function* () {
        assert.isAtMost(yield* followedIn(call, 2500), 1100)
      }))
  }

  it.effect("come with the next answer when the one that had them was lost", () =>
    Effect.gen(function* () {
      assert.isAtMost(yield* followedIn("take", 1500, true), 1100)
      // Longer than others leave them alone.
      assert.isAtMost(yield* followedIn("take", 12_000, true), 1100)
    }))

  it.effect("come again when others may have them", () =>
    Effect.gen(function* () {
      // Held for ten seconds, of which they are in hand for five.
      assert.isAtMost(yield* followedIn("follow", 7000), 10_000 - 7000 + 2100)
    }))
})
