/**
 * Who tails a table, as a process of its own: the program that brings it, or the planner of a trigger
 * that names it. For `tailers.test.ts`.
 */
import { Effect, Layer, Redacted, Schema } from "effect"
import * as LocalOwnership from "../core/engine/LocalOwnership.ts"
import * as Task from "../core/engine/Task.ts"
import * as Trigger from "../core/engine/Trigger.ts"
import { Triggers } from "../core/engine/Triggers.ts"
import type { Source } from "../core/services/Source.ts"
import { storageAt } from "./executor.fixture.ts"
import * as Postgres from "./postgres/mod.ts"
import * as Sqlite from "./sqlite/mod.ts"

export const Take = Task.make("take", { payload: { n: Schema.Int } })
export const taking = "takes"
export const table = "records"

/** In a file of its own, or beside what the storage keeps. */
const sourceAt = (address: string): Source => ({
  ...(address.startsWith("postgres")
    ? Postgres.table({ url: Redacted.make(address), table: `public.${table}` })
    : Sqlite.table({ file: address, table })),
  poll: "10 millis",
})

const program = (address: string) =>
  Take.schedule(
    taking,
    Trigger.tail(sourceAt(address), { entry: Schema.Struct({ n: Schema.Int }) }),
    ({ n }) => ({ n }),
  ).pipe(Layer.provide(Triggers.layerClient))

const planner = Triggers.layer.pipe(Layer.provide(LocalOwnership.layer))

if (import.meta.main) {
  const [, , address = "", records = ""] = process.argv
  await Effect.runPromise(
    Layer.launch(
      Layer.provide(records === "" ? planner : program(records), storageAt(address)),
    ),
  )
}
