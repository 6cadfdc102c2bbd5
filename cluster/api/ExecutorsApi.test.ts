import { assert, layer } from "@effect/vitest"
import { Deferred, Effect, Layer } from "effect"
import { Executor } from "../../core/engine/Executor.ts"
import * as Task from "../../core/engine/Task.ts"
import { Server } from "../Server.ts"
import { api, Platform, token } from "../Server.fixture.ts"

const Placed = Task.make("placed", {
  policy: { routing: { _tag: "First" }, resources: { memory: 1 } },
})
const free = Deferred.makeUnsafe<void>()

const Main = Placed.toLayer(() => Deferred.await(free)).pipe(
  Layer.provideMerge(
    Executor.layerWith({ name: "only", concurrency: 1, resources: { memory: 100 } }),
  ),
  Layer.provideMerge(Server.layer({ port: 0, token, dueInterval: "20 millis" })),
  Layer.provideMerge(Platform),
)

layer(Main, { excludeTestServices: true })("executors, over REST", (it) => {
  it.effect("A3: a run says whom it was placed with, whose queue is seen to fall", () =>
    Effect.gen(function* () {
      const client = yield* api
      const waiting = Effect.map(
        client.executors.list({ query: {} }),
        ({ items: [only] }) => only!.waiting + (only!.vitals?.queued ?? 0),
      )
      const until = (isIt: (waiting: number) => boolean) =>
        Effect.gen(function* () {
          while (!isIt(yield* waiting)) yield* Effect.sleep("20 millis")
        })
      const runs = yield* Effect.forEach([1, 2, 3, 4, 5], () => Placed.submit({}))
      yield* until((waiting) => waiting >= 3)
      const view = yield* client.runs.get({ params: { id: runs[4]! }, query: {} })
      assert.strictEqual(view.state, "Ready")
      const { name, strategy } = view.placed!
      assert.deepStrictEqual([String(name), strategy], ["only", "First"])
      const why = yield* client.runs.why({ params: { id: runs[4]! } })
      assert.strictEqual(why._tag, "Waiting")
      yield* Deferred.succeed(free, undefined)
      for (const run of runs) yield* Placed.result(run)
      yield* until((waiting) => waiting === 0)
    }))
})
