/**
 * A node as a process of its own, of several that stand in for each other: one of them fires the triggers,
 * and any carries out what was fired. It says what it does, each in a line. For `nodes.test.ts`.
 */
import { Effect, Layer } from "effect"
import { writeSync } from "node:fs"
import { CurrentRun } from "../core/engine/CurrentRun.ts"
import { Executor } from "../core/engine/Executor.ts"
import { Scheduler } from "../core/engine/Scheduler.ts"
import * as StandbyOwnership from "../core/engine/StandbyOwnership.ts"
import * as Task from "../core/engine/Task.ts"
import * as Trigger from "../core/engine/Trigger.ts"
import { Triggers } from "../core/engine/Triggers.ts"
import { Ownership } from "../core/services/Ownership.ts"
import * as Direct from "./direct/mod.ts"
import { storageAt } from "./executor.fixture.ts"

export const ttlMillis = 2000
export const triggerNames = Array.from({ length: 50 }, (_, nth) => `refund-${nth}`)

export const Refund = Task.make("refund")

const say = (what: string) => Effect.sync(() => void writeSync(1, `${what}\n`))

const refunding = Refund.toLayer(() =>
  CurrentRun.use(({ fence, id, slot }) =>
    say(`began ${id} ${fence} ${slot}`).pipe(
      Effect.andThen(Effect.sleep("20 millis")),
      Effect.andThen(say(`ended ${id} ${fence} ${slot}`)),
    )
  )
)

const acting = Layer.effectDiscard(
  Ownership.use(({ whileHeld }) =>
    Effect.forkScoped(whileHeld("audit", Effect.andThen(say("acting"), Effect.never)))
  ),
)

if (import.meta.main) {
  const [, , address = "", name = ""] = process.argv
  const node = Layer.mergeAll(
    acting,
    refunding.pipe(
      Layer.provide(Executor.layerWith({ name, ttl: ttlMillis, concurrency: 20 })),
      Layer.provide(Direct.layer),
    ),
    Layer.mergeAll(
      ...triggerNames.map((trigger) =>
        Refund.schedule(trigger, Trigger.cron("* * * * * *"), {}, { misfire: Trigger.all(100) })
      ) as [Layer.Layer<never, never, Triggers>],
    ),
  ).pipe(
    Layer.provideMerge(
      Layer.merge(Scheduler.layerWith({ sweepInterval: "200 millis" }), Triggers.layer),
    ),
    Layer.provide(StandbyOwnership.layer({ name: "refunds", ttl: ttlMillis })),
    Layer.provide(storageAt(address)),
  )
  await Effect.runPromise(Layer.launch(node))
}
