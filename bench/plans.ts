/**
 * The plan trap: a queue is empty most of the time, so a statement prepared then is planned for an
 * empty table, and keeps that plan when the table has filled. `trap` puts a statement into exactly
 * that position and shows the plan it is stuck with.
 */
import { PgConnection } from "@effect/sql-pg"
import { Effect, Redacted } from "effect"

export interface Trapped {
  /** The plan the statement uses on the filled table, as `EXPLAIN` prints it. */
  readonly plan: string
  /** Tables that are read from end to end. */
  readonly sequential: ReadonlyArray<string>
  readonly sorts: boolean
}

export interface Trap {
  readonly databaseUrl: string
  /** Startup options of the session that holds the statement, as in `-c enable_seqscan=off`. */
  readonly startupOptions?: string
  readonly statement: string
  /** Parameters of the runs on the empty table; they may not change anything there. */
  readonly parameters: ReadonlyArray<unknown>
  /** The same parameters for the filled table, as SQL expressions: `EXECUTE` binds none. */
  readonly expressions: ReadonlyArray<string>
  /** Fills the tables, from a session of its own. */
  readonly fill: Effect.Effect<unknown, unknown>
  /**
   * What the statistics say when the statement is prepared: `unknown` as for a new table, or `empty`
   * as after an autovacuum at the wrong moment, which is the worse of the two.
   */
  readonly statistics: "unknown" | "empty"
}

/** Runs after which PostgreSQL may keep one plan for all parameters (plancache.c says five). */
const runs = 8

/** The plan of `statement`, prepared by the driver while its tables were empty, now that they are not. */
export const trap = (options: Trap): Effect.Effect<Trapped, unknown> =>
  Effect.scoped(Effect.gen(function* () {
    const session = yield* PgConnection.make({
      url: Redacted.make(options.databaseUrl),
      startupOptions: options.startupOptions,
    })
    if (options.statistics === "empty") {
      yield* session.query("VACUUM (ANALYZE)")
    }
    for (let run = 0; run < runs; run++) {
      yield* session.query(options.statement, options.parameters)
    }
    yield* options.fill
    return yield* planOf(session, options.statement, options.expressions)
  }))

/** The plan of a statement that this session has prepared through the driver. */
export const planOf = Effect.fnUntraced(function* (
  session: PgConnection.PgConnection,
  statement: string,
  expressions: ReadonlyArray<string>,
) {
  const { rows } = yield* session.query(
    "SELECT name FROM pg_prepared_statements WHERE statement = $1",
    [statement],
  )
  const name = rows[0]?.["name"]
  if (typeof name !== "string") {
    return yield* Effect.fail(
      new Error("this session has not prepared the statement"),
    )
  }
  const explained = yield* session.queryValues(
    `EXPLAIN (COSTS OFF) EXECUTE "${name}" (${expressions.join(", ")})`,
    [],
    false,
  )
  return read(explained.map(([line]) => String(line)).join("\n"))
})

/** What a plan gives away. */
export const read = (plan: string): Trapped => ({
  plan,
  sequential: [...plan.matchAll(/Seq Scan on (\w+)/g)].map(([, table = ""]) => table),
  sorts: /->\s+(Incremental )?Sort\b/.test(plan),
})
