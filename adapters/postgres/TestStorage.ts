/**
 * The adapter over a database of its own, whose time can be let go by. For tests only.
 *
 * All instants come from the function `clock()`, so time goes by when that function says so.
 */
import { PgClient } from "@effect/sql-pg"
import { Context, Duration, Effect, Layer, type Redacted } from "effect"
import { Reactivity } from "effect/reactivity"
import * as Postgres from "./mod.ts"
import * as TestDatabase from "./TestDatabase.ts"

export class TestStorage extends Context.Service<TestStorage, {
  readonly url: Redacted.Redacted<string>
  /** Milliseconds by which the clock is ahead. */
  aheadMillis: number
}>()("belfry/adapters/postgres/TestStorage") {}

const migrated = TestDatabase.prepareTemplate(
  (url) => Effect.scoped(Layer.build(Layer.fresh(Postgres.layerMigrations({ url })))),
  "belfry",
)

export const layer = Layer.unwrap(
  Effect.map(migrated.fresh, (url) =>
    Layer.merge(
      Layer.succeed(TestStorage, { url, aheadMillis: 0 }),
      Postgres.layer({ url }),
    )),
)

/** A client of its own, of the same database and schema. */
export const client = TestStorage.use(({ url }) =>
  PgClient.makeClient({ url, startupParameters: { search_path: "belfry" } }).pipe(
    Effect.provide(Reactivity.layer),
  )
)

export const elapse = (duration: Duration.Duration) =>
  Effect.gen(function* () {
    const test = yield* TestStorage
    test.aheadMillis += Duration.toMillis(duration)
    const sql = yield* client
    yield* sql.unsafe(
      `CREATE OR REPLACE FUNCTION clock() RETURNS bigint LANGUAGE sql VOLATILE AS
       $$ SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint + ${test.aheadMillis} $$`,
    ).unprepared
  }).pipe(Effect.scoped)
