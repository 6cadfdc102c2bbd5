import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Latch, Layer } from "effect"
import { TestClock } from "effect/testing"
import * as Memory from "../../adapters/memory/mod.ts"
import { behind } from "../contract/behind.ts"
import { until } from "../contract/program.ts"
import { Storage } from "../services/Storage.ts"
import { StorageUnavailable } from "../services/StorageUnavailable.ts"
import * as LocalOwnership from "./LocalOwnership.ts"
import { Loops, Watch } from "./Loops.ts"
import { Scheduler } from "./Scheduler.ts"
import { Triggers } from "./Triggers.ts"

const engine = Layer.merge(
  Scheduler.layerWith({ sweepInterval: "100 millis" }),
  Triggers.layer,
).pipe(Layer.provide(LocalOwnership.layer))

/** As one whose tables can be tailed. */
const tailing = (storage: Storage["Service"]): Storage["Service"] => ({
  ...storage,
  tables: ({ table }) => ({ name: table, open: Effect.never }),
})

describe("a loop under watch", () => {
  it.effect("is stalled once it has not come round for three times as long as it should", () =>
    Effect.gen(function* () {
      const watch = new Watch()
      const goOn = Latch.makeUnsafe(true)
      const fiber = yield* Effect.forkChild(
        watch.over("sweep", 2000, (turned) =>
          Effect.andThen(goOn.await, turned).pipe(
            Effect.andThen(Effect.sleep("2 seconds")),
            Effect.forever,
          )),
        { startImmediately: true },
      )
      yield* TestClock.adjust("1 hour")
      assert.deepStrictEqual(yield* watch.stalled, [])
      yield* goOn.close
      yield* TestClock.adjust("8 seconds")
      assert.deepStrictEqual(yield* watch.stalled, ["sweep"])
      yield* goOn.open
      yield* TestClock.adjust("1 millis")
      assert.deepStrictEqual(yield* watch.stalled, [])
      yield* goOn.close
      yield* Fiber.interrupt(fiber)
      yield* TestClock.adjust("1 hour")
      assert.deepStrictEqual(yield* watch.stalled, [], "it is not done here any more")
    }))
})

describe("the loops of a server", () => {
  it.live("B68: each of them heals by itself when its first round has failed", () =>
    Effect.gen(function* () {
      const failed = new Set<string>()
      const done = new Set<string>()
      const firsts = [
        "promote",
        "recover",
        "retire",
        "forget",
        "due",
        "stopped",
        "take",
        "tails",
        "place",
      ]
      const storage = behind(tailing(yield* Storage), (name, call) => {
        if (!firsts.includes(name)) return call
        if (failed.has(name)) return Effect.tap(call, () => Effect.sync(() => done.add(name)))
        failed.add(name)
        return Effect.die(
          new StorageUnavailable({ storage: "memory", operation: name, cause: new Error("first") }),
        )
      })
      yield* Layer.build(engine).pipe(
        Effect.provideService(Storage, storage),
      )
      yield* until(Effect.sync(() => done.size), (size) => size === firsts.length)
    }).pipe(Effect.scoped, Effect.provide(Memory.layer)))

  it.live("B23: those that come round no more are named, the others are not", () =>
    Effect.gen(function* () {
      const watch = new Watch()
      const storage = behind(
        tailing(yield* Storage),
        (name, call) => name === "recover" || name === "tails" ? Effect.never : call,
      )
      yield* Layer.build(engine).pipe(
        Effect.provideService(Storage, storage),
        Effect.provideService(Loops, watch),
      )
      assert.deepStrictEqual(
        yield* until(watch.stalled, ({ length }) => length > 1),
        ["sweep", "tail tables"],
      )
    }).pipe(Effect.scoped, Effect.provide(Memory.layer)))
})
