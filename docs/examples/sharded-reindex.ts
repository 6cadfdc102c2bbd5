/**
 * A search index is rebuilt in four shards, one on each of four executors: what takes one of them
 * eight minutes takes all four together about two.
 *
 * A minute is scaled to a second here.
 */
import assert from "node:assert/strict"
import { DateTime, Duration, Effect, Layer, Schema } from "effect"
import { CurrentRun, Executor, LocalOwnership, Scheduler, Task } from "belfry"
import * as Direct from "belfry/direct"
import * as Memory from "belfry/memory"

const minute = 1000
const documents = Array.from({ length: 160 }, (_, id) => id)

const Reindex = Task.make("search/reindex", { payload: { index: Schema.String } })

const indexed = new Set<number>()
const workers = new Set<string>()

const reindexOn = (worker: string) =>
  Reindex.toLayer(() =>
    Effect.gen(function* () {
      const { shard } = yield* CurrentRun
      const { count, index } = shard ?? { count: 1, index: 0 }
      for (const id of documents) {
        // Each takes what is its own, by number; a range of keys does as well.
        if (id % count !== index) continue
        yield* Effect.sleep(8 * minute / documents.length)
        indexed.add(id)
        workers.add(worker)
      }
    })
  )

const executor = (worker: string) =>
  Layer.fresh(Layer.provide(
    reindexOn(worker),
    Executor.layerWith({ name: worker, concurrency: 1 }),
  ))

/** How long it takes in so many shards. */
const reindex = Effect.fnUntraced(function* (count: number) {
  const scheduler = yield* Scheduler
  indexed.clear()
  workers.clear()
  const submission = yield* Reindex.submission({ index: "products" })
  const { run } = yield* scheduler.submitSharded(submission, { count })
  const { createdAt, finishedAt, state } = yield* scheduler.ended(run)
  assert.equal(state, "Succeeded")
  assert.equal(indexed.size, documents.length)
  assert.equal(workers.size, count)
  return Duration.toMillis(DateTime.distance(createdAt, finishedAt!))
})

const program = Effect.gen(function* () {
  const alone = yield* reindex(1)
  const together = yield* reindex(4)
  console.log(`8 minutes in one shard, ${(8 * together / alone).toFixed(2)} in four`)
  // A quarter and a little: to submit, to place, to gather.
  assert(together / alone <= 0.26)
})

const Live = Layer.mergeAll(executor("a"), executor("b"), executor("c"), executor("d")).pipe(
  Layer.provide(Direct.layer),
  Layer.provideMerge(Scheduler.layer),
  Layer.provide(LocalOwnership.layer),
  Layer.provide(Memory.layer),
)

await Effect.runPromise(Effect.provide(program, Live))
