import { PgClient } from "@effect/sql-pg"
import { Duration, Effect, Layer, Redacted } from "effect"
import { Reactivity } from "effect/reactivity"
import { randomBytes } from "node:crypto"
import * as StorageContract from "../../core/contract/StorageContract.ts"
import * as Postgres from "./mod.ts"

const config: Postgres.Config = {
  url: Redacted.make(process.env["POSTGRES_URL"] ?? "postgres://postgres@127.0.0.1:55411/postgres"),
  schema: `test_${randomBytes(4).toString("hex")}`,
}

let offset = 0

/** All instants come from `clock()`, so time goes by when that function says so. */
const elapse = (duration: Duration.Duration) => {
  offset += Duration.toMillis(duration)
  return PgClient.makeClient({ url: config.url }).pipe(
    Effect.flatMap((sql) =>
      sql.unsafe(
        `CREATE OR REPLACE FUNCTION ${config.schema}.clock() RETURNS bigint LANGUAGE sql VOLATILE AS
         $$ SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint + ${offset} $$`,
      ).unprepared
    ),
    Effect.scoped,
    Effect.provide(Reactivity.layer),
  )
}

StorageContract.suite("postgres", Postgres.layerMigrated(config), elapse, {
  runner: "live",
  reopened: (then) => Effect.provide(then, Layer.fresh(Postgres.layer(config))),
})
