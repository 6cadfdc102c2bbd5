import { PgClient } from "@effect/sql-pg"
import { assert, describe, it, layer } from "@effect/vitest"
import { Effect, type Redacted } from "effect"
import { SqlClient } from "effect/sql"
import * as TestDatabase from "./TestDatabase.ts"

const ask = <A, E>(
  url: Redacted.Redacted<string>,
  query: (sql: SqlClient.SqlClient) => Effect.Effect<A, E>,
) =>
  SqlClient.SqlClient.use(query).pipe(
    Effect.provide(PgClient.layer({ url, maxConnections: 1 }), { local: true }),
  )

const nameOf = (url: Redacted.Redacted<string>) =>
  ask(url, (sql) => sql<{ name: string }>`SELECT current_database() AS name`).pipe(
    Effect.map(([row]) => row?.name),
  )

describe("a fresh database", () => {
  it.effect("is another one each time, also at once", () =>
    Effect.gen(function* () {
      const urls = yield* Effect.all(Array.from({ length: 6 }, () => TestDatabase.fresh), {
        concurrency: "unbounded",
      })
      const names = yield* Effect.forEach(urls, nameOf)
      assert.strictEqual(new Set(names).size, 6)
    }))

  it.effect("is gone with its scope, though somebody is still connected", () =>
    Effect.gen(function* () {
      const name = yield* Effect.scoped(Effect.gen(function* () {
        const url = yield* TestDatabase.fresh
        return yield* SqlClient.SqlClient.use((sql) =>
          sql<{ name: string }>`SELECT current_database() AS name`
        ).pipe(
          Effect.map(([row]) => row?.name ?? ""),
          Effect.provide(PgClient.layer({ url, minConnections: 2 }), { local: true }),
        )
      }))
      const other = yield* TestDatabase.fresh
      const left = yield* ask(other, (sql) => sql`SELECT FROM pg_database WHERE datname = ${name}`)
      assert.lengthOf(left, 0)
    }))
})

describe("a database from a template", () => {
  let times = 0
  const migrated = TestDatabase.prepareTemplate(
    (url) => {
      times++
      return ask(url, (sql) => sql`CREATE TABLE bell (tone text)`)
    },
    "bells",
  )

  it.effect("is migrated once and copied after, also at once", () =>
    Effect.gen(function* () {
      const [a, b] = yield* Effect.all([migrated.fresh, migrated.fresh, migrated.fresh], {
        concurrency: "unbounded",
      })
      yield* ask(a, (sql) => sql`INSERT INTO bell VALUES ('c')`)
      assert.lengthOf(yield* ask(b, (sql) => sql`SELECT tone FROM bell`), 0)
      assert.strictEqual(times, 1)
    }))

  it.effect("is tried again when the migration failed", () =>
    Effect.gen(function* () {
      let isBroken = true
      const late = TestDatabase.prepareTemplate(
        Effect.fnUntraced(function* (url) {
          if (isBroken) return yield* Effect.fail("not yet" as const)
          yield* ask(url, (sql) => sql`CREATE TABLE bell (tone text)`)
        }),
        "late",
      )
      assert.strictEqual(yield* Effect.flip(late.fresh), "not yet")
      isBroken = false
      const url = yield* late.fresh
      assert.lengthOf(yield* ask(url, (sql) => sql`SELECT tone FROM bell`), 0)
    }))

  layer(TestDatabase.client(migrated.fresh))("as a client", (it) => {
    it.effect("shares what earlier tests of the suite wrote", () =>
      SqlClient.SqlClient.use((sql) => sql`INSERT INTO bell VALUES ('d')`))
    it.effect("shares what earlier tests of the suite wrote, again", () =>
      Effect.gen(function* () {
        const rows = yield* SqlClient.SqlClient.use((sql) => sql`SELECT tone FROM bell`)
        assert.deepStrictEqual(rows, [{ tone: "d" }])
      }))
  })
})
