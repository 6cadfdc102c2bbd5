/**
 * Two programs over one storage, each with all of the engine: both carry out, one at a time fires the
 * triggers, and the other takes over when it is gone.
 *
 * Here both are in one process, over an SQLite file. On several machines over PostgreSQL
 * `ClusterOwnership` of `belfry/cluster/ownership` stands in the place of `StandbyOwnership`.
 */
import { Context, Effect, Exit, Layer, Scope } from "effect"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Namespace, StandbyOwnership, Task, Trigger, Triggers } from "belfry"
import * as Embedded from "belfry/embedded"
import * as Sqlite from "belfry/sqlite"

const Tick = Task.make("tick")
const everySecond = Tick.schedule("every-second", Trigger.every("1 second"), {})

const Program = (name: string, file: string) =>
  Layer.merge(Tick.toLayer(() => Effect.log(`${name} ticks`)), everySecond).pipe(
    Layer.provideMerge(Embedded.layerOwned({ name })),
    Layer.provide(StandbyOwnership.layer({ name: "ticking", ttl: "1 second" })),
    Layer.provide(Sqlite.layer({ file })),
    Layer.fresh,
  )

const folder = Effect.acquireRelease(
  Effect.promise(() => mkdtemp(join(tmpdir(), "belfry-standby-"))),
  (folder) => Effect.promise(() => rm(folder, { recursive: true })),
)

const main = Effect.gen(function* () {
  const file = join(yield* folder, "belfry.db")
  const [ada, bob] = [yield* Scope.make(), yield* Scope.fork(yield* Effect.scope)]
  yield* Layer.buildWithScope(Program("ada", file), ada)
  const triggers = Context.get(yield* Layer.buildWithScope(Program("bob", file), bob), Triggers)

  /** The slots that have fired, once so many have. */
  const fired = Effect.fn(function* (count: number) {
    for (;;) {
      const records = yield* triggers.records(Namespace.make("default"), "every-second", 100)
      const slots = records.filter(({ outcome }) => outcome === "fired").map(({ slot }) => slot)
      if (slots.length >= count) return slots
      yield* Effect.sleep("100 millis")
    }
  })
  const before = yield* fired(2)
  yield* Scope.close(ada, Exit.void)
  const slots = yield* fired(before.length + 2)
  return `${new Set(slots).size === slots.length ? "each slot fired once" : "a slot fired twice"}`
})

console.log(await Effect.runPromise(Effect.scoped(main)))
