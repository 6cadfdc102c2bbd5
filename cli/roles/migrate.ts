/** Brings a database up to date, and ends. */
import { Effect, Layer, type Option, type Redacted } from "effect"
import { database, hostOf, migrations } from "../layers.ts"
import * as Output from "../Output.ts"
import { Problem } from "../Problem.ts"

export interface Given {
  readonly databaseUrl: Option.Option<Redacted.Redacted<string>>
  readonly grantTo: ReadonlyArray<string>
}

export const migrate = Effect.fnUntraced(function* (given: Given) {
  const url = yield* database(given.databaseUrl)
  if (url === undefined) {
    return yield* new Problem({
      kind: "usage",
      what: "there is no database to migrate",
      fix: "name it with --database-url URL or BELFRY_DATABASE_URL; SQLite needs no migration",
    })
  }
  yield* Effect.scoped(Layer.build(migrations(url, given.grantTo)))
  Output.talk(`PostgreSQL ${hostOf(url)} is up to date`)
})
