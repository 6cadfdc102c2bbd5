/** The processes of these tests: executors that can be cut off, and a second scheduler. */
import { Effect, Exit, Fiber, Latch, Layer, Scope } from "effect"
import * as LocalOwnership from "../../engine/LocalOwnership.ts"
import { Scheduler } from "../../engine/Scheduler.ts"
import { Triggers } from "../../engine/Triggers.ts"
import { Transport } from "../../services/Transport.ts"
import { behind, type Between } from "../behind.ts"
import { serving } from "../program.ts"

/**
 * A way on which nothing arrives while it is cut, and nobody is told. What was sent waits, and arrives
 * late, also when nobody waits for the answer any more.
 */
export const cuttable = Effect.gen(function* () {
  // Made first, it is closed last: whoever says goodbye is still heard.
  const scope = yield* Scope.fork(yield* Effect.scope)
  const open = Latch.makeUnsafe(true)
  const between: Between = (_, call) =>
    Effect.gen(function* () {
      const arriving = Effect.andThen(open.await, Effect.exit(call))
      const sent = yield* Effect.forkIn(arriving, scope, { startImmediately: true })
      const exit = yield* Fiber.join(sent)
      yield* open.await
      return yield* exit
    })
  return { between, cut: open.close, mend: open.open }
})

/**
 * As `serving`, by an executor that can be cut off. It can be heard again when the test ends. `beats` counts
 * those that it has sent: an unanswered one it has given up.
 */
export const servingCuttable = <R = never>(
  ...[handlers, options]: Parameters<typeof serving<R>>
) =>
  Effect.gen(function* () {
    const { between, cut, mend } = yield* cuttable
    const beats = { answered: 0, unanswered: 0 }
    const counted: Between = (name, call) =>
      name !== "beat" ? between(name, call) : Effect.onExit(
        between(name, call),
        (exit) => Effect.sync(() => void beats[Exit.isSuccess(exit) ? "answered" : "unanswered"]++),
      )
    const transport = behind(yield* Transport, counted)
    yield* Effect.provideService(
      serving(handlers, { drainTimeout: "100 millis", ...options }),
      Transport,
      transport,
    )
    yield* Effect.addFinalizer(() => mend)
    return { beats, cut, mend }
  })

/** One more that holds every duty: two leaders at once. */
export const anotherLeader = Layer.build(Layer.fresh(
  Layer.merge(Scheduler.layerWith({ sweepInterval: "200 millis" }), Triggers.layer).pipe(
    Layer.provide(LocalOwnership.layer),
  ),
))
