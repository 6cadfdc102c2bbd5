import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import * as Memory from "../../adapters/memory/mod.ts"
import { definitionOf, put } from "../contract/triggers/triggers.ts"
import { times } from "../contract/world.ts"
import { standard } from "../domain/Namespace.ts"
import { TriggerName } from "../domain/Trigger.ts"
import { Storage } from "../services/Storage.ts"
import type { TriggerView } from "../services/TriggerStorage.ts"
import * as LocalOwnership from "./LocalOwnership.ts"
import * as Trigger from "./Trigger.ts"
import { Triggers } from "./Triggers.ts"

/** More than are read at once. */
const many = 2100

const always = (name: string, delay: "1 hour" | "100 millis") =>
  put(definitionOf(standard, {
    name: TriggerName.make(name),
    schedule: Trigger.permanent({ delay, growth: 1 }),
  }))

/** Once there are `count` runs of the trigger, the latest of them ends. */
const ended = (view: TriggerView, count: number) =>
  Effect.gen(function* () {
    const { runs, triggers } = yield* Storage
    for (;;) {
      const records = yield* triggers.records(view.id, count)
      if (records.length === count) return yield* runs.cancel(records[0]!.run!)
      yield* Effect.sleep("5 millis")
    }
  })

describe("the planner", () => {
  it.live("begins permanent runs in time while more than a page wait out their delays", () =>
    Effect.gen(function* () {
      const asked: Array<number> = []
      const seen = Layer.effect(
        Storage,
        Storage.useSync((storage) => ({
          ...storage,
          triggers: {
            ...storage.triggers,
            stopped: (partitions, limit, after) =>
              Effect.tap(
                storage.triggers.stopped(partitions, limit, after),
                ({ triggers }) => Effect.sync(() => asked.push(triggers.length)),
              ),
          },
        })),
      )
      const planner = Triggers.layer.pipe(Layer.provide(LocalOwnership.layer))
      yield* Effect.gen(function* () {
        const waiting: Array<TriggerView> = []
        for (const nth of times(many)) waiting.push(yield* always(`waiting-${nth}`, "1 hour"))
        const late = yield* always("late", "100 millis")
        yield* Layer.build(planner)
        for (const view of waiting) yield* ended(view, 1)
        yield* ended(late, 1)
        const now = yield* Effect.clockWith((clock) => clock.monotonicTimeNanos)
        // It is the last of all that have stopped, and the only one whose time comes.
        for (const count of [2, 3]) yield* ended(late, count)
        const since = yield* Effect.clockWith((clock) => clock.monotonicTimeNanos)
        assert.isBelow(Number(since - now) / 1e6, 4000)
        assert.isAtMost(Math.max(...asked), 1000, "and no more is held at once")
      }).pipe(Effect.provide(Layer.provideMerge(seen, Memory.layer)))
    }).pipe(Effect.scoped))
})
