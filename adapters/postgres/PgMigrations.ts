/**
 * Brings the schema up to date, and says whether it is.
 *
 * Nothing is written where nothing is missing, so a role without the right to DDL may ask for it,
 * once a deploy step has done it. What the database has beyond this code is fine: a deploy brings the
 * schema first, then one process after the other.
 */
import { PgClient } from "@effect/sql-pg"
import { Cause, Effect, Layer } from "effect"
import { SqlClient, type SqlError } from "effect/sql"
import type { StorageUnavailable } from "../../core/services/StorageUnavailable.ts"
import { digestOf, type Migration, migrations, table } from "./migrations/mod.ts"
import { codeIn, type Config, connection, DatabaseUnfit, schemaOf, unavailable } from "./Pg.ts"
import * as PgServer from "./PgServer.ts"

export interface MigrationConfig extends Pick<Config, "url" | "schema"> {
  /** Roles that may run a scheduler on the schema, without DDL. They must exist. */
  readonly grantTo?: ReadonlyArray<string>
}

interface Applied {
  readonly name: string
  readonly digest: string | null
}

/** Brings the schema up to date when it is built. Several processes may do so at the same time. */
export const layer = (
  config: MigrationConfig,
): Layer.Layer<never, DatabaseUnfit | StorageUnavailable> =>
  Layer.unwrap(
    Effect.map(schemaOf(config), (schema) =>
      Layer.effectDiscard(migrate(schema, config.grantTo ?? [])).pipe(
        Layer.provide(
          PgClient.layer({
            ...connection(config, searchPath(schema), "migrations"),
            maxConnections: 1,
          }),
        ),
        Layer.catchCause((cause) => {
          const error = Cause.squash(cause)
          if (error instanceof DatabaseUnfit) {
            return Layer.effectDiscard(Effect.fail(error))
          }
          const known = unavailable("migrate")(error)
          return Layer.effectDiscard(
            Effect.fail(PgServer.isOfPooler(codeIn(known)) ? PgServer.behindPooler() : known),
          )
        }),
      )),
  )

/** `submit` gets it from here: no table of its caller's session may come before ours. */
const searchPath = (schema: string) => `${schema}, pg_temp`

const migrate = Effect.fnUntraced(function* (schema: string, grantTo: ReadonlyArray<string>) {
  const sql = yield* SqlClient.SqlClient
  const [server] = yield* sql<PgServer.Server>`${sql.literal(PgServer.describe)}`
  const reason = PgServer.unfit(searchPath(schema), server!)
  if (reason !== undefined) return yield* reason
  const before = yield* missing(schema, yield* applied(schema))
  if (before.length === 0 && grantTo.length === 0) return
  yield* sql.withTransaction(Effect.gen(function* () {
    yield* sql`SELECT pg_advisory_xact_lock(hashtextextended(${`belfry migrations ${schema}`}, 0))::text`
    const [known] = yield* sql<{ is_there: boolean }>`
      SELECT to_regnamespace(${schema}) IS NOT NULL AS is_there`
    if (!known!.is_there) yield* sql`CREATE SCHEMA ${sql(schema)}`
    yield* sql`CREATE TABLE IF NOT EXISTS ${sql(table)} (
      migration_id int PRIMARY KEY,
      created_at timestamptz NOT NULL DEFAULT now(),
      name text NOT NULL)`
    yield* sql`ALTER TABLE ${sql(table)} ADD COLUMN IF NOT EXISTS digest text`
    for (const migration of yield* missing(schema, yield* applied(schema))) {
      for (const statement of migration.statements) yield* sql.unsafe(statement).unprepared
      yield* sql`INSERT INTO ${sql(table)} (migration_id, name, digest)
        SELECT coalesce(max(migration_id), 0) + 1, ${migration.name}, ${digestOf(migration)}
        FROM ${sql(table)}`
    }
    for (const role of grantTo) {
      for (const grant of yield* grants(schema, role)) yield* sql.unsafe(grant).unprepared
    }
  }))
})

const applied = (
  schema: string,
): Effect.Effect<ReadonlyArray<Applied>, SqlError.SqlError, SqlClient.SqlClient> =>
  SqlClient.SqlClient.use((sql) =>
    Effect.flatMap(
      sql<
        { is_there: boolean }
      >`SELECT to_regclass(${`${schema}.${table}`}) IS NOT NULL AS is_there`,
      ([row]) => row!.is_there ? sql<Applied>`${sql.literal(selectApplied)}` : Effect.succeed([]),
    )
  )

/** A column that a first version did not have. */
export const selectApplied = `SELECT m.name, to_jsonb(m) ->> 'digest' AS digest FROM ${table} m`

/** The migrations that have not run, in order. */
export const missing = (
  schema: string,
  ran: ReadonlyArray<Applied>,
): Effect.Effect<ReadonlyArray<Migration>, DatabaseUnfit> => {
  const digests = new Map(ran.map(({ digest, name }) => [name, digest]))
  const changed = migrations.find((each) => {
    const digest = digests.get(each.name)
    return typeof digest === "string" && digest !== digestOf(each)
  })
  return changed === undefined
    ? Effect.succeed(migrations.filter(({ name }) => !digests.has(name)))
    : Effect.fail(
      new DatabaseUnfit({
        reason: `The schema "${schema}" has another "${changed.name}" than this code`,
        remedy: "Run the code that made it, or name a schema of its own for this one",
      }),
    )
}

/** What a scheduler does with its schema, and no more. */
const grants = (schema: string, role: string) =>
  SqlClient.SqlClient.use((sql) =>
    Effect.map(
      sql<{ role: string; can_maintain: boolean }>`
        SELECT quote_ident(${role}) AS role,
          current_setting('server_version_num')::int >= 170000 AS can_maintain`,
      ([row]) => [
        `GRANT USAGE ON SCHEMA ${schema} TO ${row!.role}`,
        ...["ALL TABLES", "ALL SEQUENCES", "ALL FUNCTIONS"].map((all, nth) =>
          `GRANT ${rights[nth]} ON ${all} IN SCHEMA ${schema} TO ${row!.role}`
        ),
        ...["TABLES", "SEQUENCES", "FUNCTIONS"].map((kind, nth) =>
          `ALTER DEFAULT PRIVILEGES IN SCHEMA ${schema} GRANT ${rights[nth]} ON ${kind}
           TO ${row!.role}`
        ),
        ...(row!.can_maintain ? [`GRANT MAINTAIN ON ready, lease, scheduled TO ${row!.role}`] : []),
      ],
    )
  )

const rights = ["SELECT, INSERT, UPDATE, DELETE", "USAGE, SELECT, UPDATE", "EXECUTE"]
