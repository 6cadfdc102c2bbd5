import { assert, layer } from "@effect/vitest"
import { Effect, Layer } from "effect"
import * as Memory from "../adapters/memory/mod.ts"
import { standard } from "../core/domain/Namespace.ts"
import * as LocalOwnership from "../core/engine/LocalOwnership.ts"
import * as Task from "../core/engine/Task.ts"
import * as Trigger from "../core/engine/Trigger.ts"
import { Triggers } from "../core/engine/Triggers.ts"
import { Ownership } from "../core/services/Ownership.ts"
import * as Embedded from "./Embedded.ts"

const Tick = Task.make("tick")

/** Somebody else holds all of it. */
const none = Layer.succeed(Ownership, { whileHeld: () => Effect.never })

const program = <E>(ownership: Layer.Layer<Ownership, E>) =>
  Layer.build(Layer.fresh(
    Layer.merge(
      Tick.toLayer(() => Effect.void),
      Tick.schedule("often", Trigger.every("1 second"), {}),
    ).pipe(
      Layer.provideMerge(Embedded.layerOwned({ drainTimeout: "10 millis" })),
      Layer.provide(ownership),
    ),
  ))

layer(Memory.layer, { excludeTestServices: true })(
  "one of several programs over a storage",
  (it) => {
    it.effect("fires triggers when it is its turn, and carries out at any time", () =>
      Effect.gen(function* () {
        const standing = yield* program(none)
        yield* Effect.provide(Tick.execute({}), standing)
        const fired = Effect.provide(
          Triggers.use((triggers) => triggers.records(standard, "often", 10)),
          standing,
        )
        yield* Effect.sleep("2500 millis")
        assert.deepEqual(yield* fired, [])
        yield* program(LocalOwnership.layer)
        while ((yield* fired).length === 0) yield* Effect.sleep("50 millis")
      }))
  },
)
