import { assert, it } from "@effect/vitest"
import { Duration, Effect, Layer } from "effect"
import * as Direct from "../../adapters/direct/mod.ts"
import * as Memory from "../../adapters/memory/mod.ts"
import { movableClock } from "../contract/world.ts"
import { Executor } from "./Executor.ts"
import * as LocalOwnership from "./LocalOwnership.ts"
import { Scheduler } from "./Scheduler.ts"
import * as Task from "./Task.ts"

const Brief = Task.make("test/brief", { policy: { retention: "7 days" } })

const clock = movableClock()

it.live("what ended long ago leaves by itself, when the policy of its task says so", () =>
  Effect.gen(function* () {
    const scheduler = yield* Scheduler
    yield* Layer.build(Layer.provide(Brief.toLayer(() => Effect.void), Executor.layer))
    const run = yield* Brief.submit({})
    yield* Brief.result(run)
    yield* clock.elapse(Duration.days(6))
    yield* Effect.sleep("200 millis")
    assert.strictEqual((yield* scheduler.find(run)).state, "Succeeded")
    yield* clock.elapse(Duration.days(2))
    // Waits for it, and fails by the time a test may take.
    const unknown = yield* Effect.flip(
      Effect.forever(Effect.andThen(scheduler.find(run), Effect.sleep("10 millis"))),
    )
    assert.strictEqual(unknown._tag, "RunUnknown")
  }).pipe(Effect.provide(
    Layer.mergeAll(Scheduler.layerWith({ retentionInterval: "20 millis" }), Direct.layer).pipe(
      Layer.provide(LocalOwnership.layer),
      Layer.provideMerge(Layer.provide(Memory.layer, clock.layer)),
    ),
  )))
