/**
 * Databases for tests, on one server per test run. For tests only; it needs vitest.
 *
 * ```ts ignore
 * const migrated = TestDatabase.prepareTemplate((url) => migrate(url))
 *
 * layer(TestDatabase.client(migrated.fresh))("storage", (it) => {
 *   it.effect("…", () => SqlClient.SqlClient.use((sql) => sql`SELECT …`))
 * })
 * ```
 *
 * A server that cannot be had fails the test with the reason; no test is skipped for it.
 */
import { PgClient } from "@effect/sql-pg"
import { Clock, Effect, Layer, Redacted, Schema, type Scope } from "effect"
import { SqlClient, type SqlError } from "effect/sql"
import { randomBytes } from "node:crypto"
import { inject } from "vitest"
import { LocalServerUnavailable } from "./LocalServerUnavailable.ts"

/** Where the server is, and how the names of this run's databases start; or why there is none. */
export const Answer = Schema.Union([
  Schema.Struct({ url: Schema.String, prefix: Schema.String }),
  Schema.Struct({ reason: Schema.String, remedy: Schema.String }),
])
export type Answer = typeof Answer.Type

type Failure = LocalServerUnavailable | SqlError.SqlError

/** The URL of a new, empty database, which is dropped when the scope closes. */
export const fresh: Effect.Effect<Redacted.Redacted<string>, Failure, Scope.Scope> = Effect.suspend(
  () => create("template0"),
)

/**
 * Databases that `migrate` has been run on. It runs once per test run and name, in the first worker
 * that needs it, and the databases are copies of the outcome. It must leave no connection open.
 */
export const prepareTemplate = <E, R>(
  migrate: (url: Redacted.Redacted<string>) => Effect.Effect<unknown, E, R>,
  name = "migrated",
): {
  readonly fresh: Effect.Effect<Redacted.Redacted<string>, E | Failure, R | Scope.Scope>
} => ({ fresh: Effect.flatMap(prepared(name, migrate), create) })

/** A client of such a database, for all tests it is provided to. */
export const client = <E, R>(
  database: Effect.Effect<Redacted.Redacted<string>, E, R>,
  options: Omit<PgClient.PgClientConfig, "url"> = {},
) =>
  Layer.unwrap(
    Effect.map(database, (url) => PgClient.layer({ maxConnections: 4, ...options, url })),
  ).pipe(Layer.provide(Layer.succeed(Clock.Clock, realClock)))

const create = Effect.fnUntraced(function* (template: string) {
  const { url, prefix } = yield* server
  const name = `${prefix}_${randomBytes(5).toString("hex")}`
  return yield* Effect.acquireRelease(
    ask(url, (sql) => sql`CREATE DATABASE ${sql(name)} TEMPLATE ${sql(template)}`).pipe(
      Effect.as(at(url, name)),
    ),
    () =>
      ask(url, (sql) => sql`DROP DATABASE IF EXISTS ${sql(name)} WITH (FORCE)`).pipe(
        Effect.catch((cause) => Effect.logWarning(`${name} was not dropped`, cause)),
      ),
  )
})

/** The name of a database with all that `migrate` does. It takes no connections once it is whole. */
const prepared = Effect.fnUntraced(function* <E, R>(
  label: string,
  migrate: (url: Redacted.Redacted<string>) => Effect.Effect<unknown, E, R>,
) {
  const { url, prefix } = yield* server
  const name = `${prefix}_template_${label}`

  const make = Effect.gen(function* () {
    yield* ask(url, (sql) => sql`DROP DATABASE IF EXISTS ${sql(name)} WITH (FORCE)`)
    yield* ask(url, (sql) => sql`CREATE DATABASE ${sql(name)} TEMPLATE template0`)
    yield* migrate(at(url, name))
    yield* ask(url, (sql) => sql`ALTER DATABASE ${sql(name)} ALLOW_CONNECTIONS false`)
  })
  // Other workers wait for the lock, and then find the database whole.
  yield* ask(url, (sql) =>
    sql.withTransaction(Effect.gen(function* () {
      yield* sql`SELECT pg_advisory_xact_lock(hashtext(${name}))`
      const whole = yield* sql`SELECT FROM pg_database WHERE datname = ${name} AND NOT datallowconn`
      if (whole.length === 0) yield* make
    })))
  return name
})

/** Drops every database whose name starts with `prefix`. */
export const dropAll = (url: Redacted.Redacted<string>, prefix: string) =>
  ask(url, (sql) =>
    Effect.gen(function* () {
      const names = yield* sql<{ datname: string }>`
        SELECT datname FROM pg_database WHERE starts_with(datname, ${prefix})
      `
      for (const { datname } of names) {
        yield* sql`DROP DATABASE IF EXISTS ${sql(datname)} WITH (FORCE)`
      }
    }))

const server = Effect.gen(function* () {
  const answer = yield* Effect.tryPromise({
    try: async () =>
      Schema.decodeUnknownSync(Answer)(await (await fetch(inject("belfryTestServer"))).json()),
    catch: (cause) =>
      new LocalServerUnavailable({
        reason: "The test run does not answer where its server is",
        remedy: "see that vitest.config.ts names TestDatabase.setup.ts as its globalSetup",
        cause,
      }),
  })
  if ("reason" in answer) return yield* new LocalServerUnavailable(answer)
  return { url: Redacted.make(answer.url), prefix: answer.prefix }
})

/** The same server, another database. */
const at = (url: Redacted.Redacted<string>, database: string) => {
  const other = new URL(Redacted.value(url))
  other.pathname = `/${database}`
  return Redacted.make(other.href)
}

/** A question to the server itself, on a connection of its own. */
const ask = <A, E, R>(
  url: Redacted.Redacted<string>,
  query: (sql: SqlClient.SqlClient) => Effect.Effect<A, E, R>,
) =>
  SqlClient.SqlClient.use(query).pipe(
    Effect.provide(PgClient.layer({ url, maxConnections: 1 }), { local: true }),
    Effect.provideService(Clock.Clock, realClock),
  )

/** A server is out in the real world, so a client waits for it in real time, also in a test. */
const realClock = Clock.Clock.defaultValue()
