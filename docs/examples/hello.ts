/**
 * Hello: one task, carried out in this process, with the run kept in memory.
 *
 * Swap `Memory.layer` for `Sqlite.layer({ file: "belfry.db" })` to keep it, or for
 * `Postgres.layerMigrated({ url })` to share it with other machines.
 */
import { Effect, Layer, Schema } from "effect"
import { Task } from "belfry"
import * as Embedded from "belfry/embedded"
import * as Memory from "belfry/memory"

const Hello = Task.make("hello/world", {
  payload: { name: Schema.String },
  success: Schema.String,
})

const HelloLive = Hello.toLayer(({ name }) => Effect.succeed(`Hello, ${name}!`))

const Live = HelloLive.pipe(
  Layer.provideMerge(Embedded.layer),
  Layer.provide(Memory.layer),
)

console.log(await Effect.runPromise(Effect.provide(Hello.execute({ name: "Ada" }), Live)))
