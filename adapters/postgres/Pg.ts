/**
 * The connections to PostgreSQL, and the border at which its errors become ours.
 *
 * There are five pools, so that nothing that is slow keeps waiting what must be quick: claims have
 * connections with pinned plans, beats some that nothing else uses, submits with a key may have to
 * wait for another's transaction, and reads cannot starve any of them.
 *
 * Every command is one statement, hence one transaction and one round trip, and what needs several
 * statements is a function in the database. So nothing is ever left open in a transaction, and a
 * statement that fails has done nothing, unless its answer was lost. Only what is moved to another
 * storage, or from one, takes a transaction of many statements.
 */
import { PgPool, PgTypes } from "@effect/sql-pg"
import { Duration, Effect, Fiber, type Redacted, Schedule, Schema, type Scope } from "effect"
import { SqlError } from "effect/sql"
import { StorageUnavailable } from "../../core/services/StorageUnavailable.ts"

export interface Config {
  readonly url: Redacted.Redacted
  /** Where the tables are. `belfry` unless given. */
  readonly schema?: string
  /** At most this many connections claim and settle. A claim loop keeps one busy. */
  readonly claimConnections?: number
  /** At most this many connections submit, fire, admit and recover. */
  readonly writeConnections?: number
  /** At most this many connections serve lists and look-ups. */
  readonly readConnections?: number
  /** Whether this process vacuums the hot tables itself while runs are claimed. It does unless told. */
  readonly isVacuuming?: boolean
}

export type Pool = "claims" | "writes" | "keyed" | "beats" | "reads"

export type Row = Readonly<Record<string, unknown>>

export interface Pg {
  readonly config: Config
  readonly schema: string
  /**
   * Carries out one statement. What PostgreSQL refused for a passing reason is tried again, and so is
   * a lost answer if `isRepeatable`.
   */
  readonly query: <R extends Row>(
    pool: Pool,
    operation: string,
    text: string,
    params?: ReadonlyArray<unknown>,
    isRepeatable?: boolean,
  ) => Effect.Effect<ReadonlyArray<R>, StorageUnavailable>
  /** Carries out one statement on so many connections at once. */
  readonly queryOnEach: (
    pool: Pool,
    operation: string,
    connections: number,
    text: string,
    params: ReadonlyArray<unknown>,
  ) => Effect.Effect<void, StorageUnavailable>
  /** A transaction that `begin` begins. It is rolled back with the scope, unless it was committed. */
  readonly transaction: (
    pool: Pool,
    operation: string,
    begin: string,
  ) => Effect.Effect<Ask, StorageUnavailable, Scope.Scope>
}

/** Carries out one statement of a transaction. */
export type Ask = <R extends Row>(
  text: string,
  params?: ReadonlyArray<unknown>,
) => Effect.Effect<ReadonlyArray<R>, StorageUnavailable>

/** The database cannot serve as a storage as it is. Nothing was started. */
export class DatabaseUnfit extends Schema.TaggedError<DatabaseUnfit>()("DatabaseUnfit", {
  reason: Schema.String,
  remedy: Schema.String,
}) {
  override get message() {
    return `${this.reason}. ${this.remedy}`
  }
}

const schemaPattern = /^[a-z_][a-z0-9_]{0,39}$/

export const schemaOf = (config: Pick<Config, "schema">): Effect.Effect<string, DatabaseUnfit> => {
  const schema = config.schema ?? "belfry"
  return schemaPattern.test(schema) ? Effect.succeed(schema) : Effect.fail(
    new DatabaseUnfit({
      reason: `"${schema}" is not the name of a schema`,
      remedy: "Use 1 to 40 characters: lower-case letters, digits or '_', the first not a digit",
    }),
  )
}

/** What every connection is opened with. */
export const connection = ({ url }: Pick<Config, "url">, searchPath: string, role: string) => ({
  url,
  applicationName: `belfry ${role}`,
  connectTimeout: Duration.seconds(5),
  keepAlive: Duration.seconds(15),
  startupParameters: { search_path: searchPath, timezone: "UTC", statement_timeout: "30s" },
})

/** Whoever inserts a key that another transaction has inserted and not committed, comes again. */
const keyedWait = "-c lock_timeout=100ms"

/**
 * A queue is empty most of the time, and its statistics say so; a plan made for an empty table costs
 * up to a hundred times as much once there is a backlog. So claims may only use their indexes.
 */
export const pinned = [
  "enable_seqscan",
  "enable_bitmapscan",
  "enable_sort",
  "enable_hashjoin",
  "enable_mergejoin",
  "jit",
].map((setting) => `-c ${setting}=off`).join(" ") + " -c plan_cache_mode=force_generic_plan"

export const make = Effect.fn("Pg.make")(
  function* (
    config: Config,
  ): Effect.fn.Return<Pg, DatabaseUnfit | StorageUnavailable, Scope.Scope> {
    const schema = yield* schemaOf(config)
    const open = (role: Pool, maxConnections: number, startupOptions?: string) =>
      PgPool.make({
        ...connection(config, schema, role),
        maxConnections,
        minConnections: 0,
        idleTimeout: Duration.minutes(1),
        ...(startupOptions !== undefined && { startupOptions }),
      }).pipe(Effect.mapError(unavailable("open")))
    const pools: Readonly<Record<Pool, PgPool.PgPool>> = {
      claims: yield* open("claims", config.claimConnections ?? 4, pinned),
      writes: yield* open("writes", config.writeConnections ?? 4),
      keyed: yield* open("keyed", 2, keyedWait),
      // The second is for when the first is silent.
      beats: yield* open("beats", 2),
      reads: yield* open("reads", config.readConnections ?? 3),
    }

    const query: Pg["query"] = <R extends Row>(
      pool: Pool,
      operation: string,
      text: string,
      params?: ReadonlyArray<unknown>,
      isRepeatable = true,
    ) =>
      pools[pool].use((connection) => connection.query(text, params)).pipe(
        Effect.retry({
          while: (error) => isWorthAnother(error, pool, isRepeatable),
          schedule: patience,
          times: 5,
        }),
        pool === "beats" ? inTime : Effect.timeoutOrElse(slow),
        Effect.mapBoth({
          onFailure: unavailable(operation),
          onSuccess: ({ rows }) => rows as ReadonlyArray<R>,
        }),
      )
    const queryOnEach: Pg["queryOnEach"] = (pool, operation, connections, text, params) =>
      // Those that are taken first are held, or they would be back when the next one is asked for.
      Effect.forEach(Array.from({ length: connections }), () => pools[pool].reserve).pipe(
        Effect.flatMap((taken) =>
          Effect.forEach(taken, (connection) => connection.query(text, params), {
            concurrency: connections,
            discard: true,
          })
        ),
        Effect.scoped,
        Effect.timeoutOrElse(slow),
        Effect.mapError(unavailable(operation)),
      )
    const transaction: Pg["transaction"] = Effect.fnUntraced(function* (pool, operation, begin) {
      const connection = yield* Effect.mapError(pools[pool].reserve, unavailable(operation))
      const ask: Ask = <R extends Row>(text: string, params?: ReadonlyArray<unknown>) =>
        connection.query(text, params).pipe(
          Effect.timeoutOrElse(slow),
          Effect.mapBoth({
            onFailure: unavailable(operation),
            onSuccess: ({ rows }) => rows as ReadonlyArray<R>,
          }),
        )
      yield* Effect.addFinalizer(() =>
        Effect.catch(ask("ROLLBACK"), () => pools[pool].invalidate(connection))
      )
      yield* ask(begin)
      return ask
    })
    return { config, schema, query, queryOnEach, transaction }
  },
)

/** About a second in all: who called has a patience of its own. */
const patience = Schedule.exponential("20 millis", 2.5).pipe(Schedule.jittered)

const unanswered = () => Effect.fail(new Error("the server does not answer"))

/**
 * A connection may be silent for ever, when the other end is gone without a word, and only who waits
 * for it can tell. A statement that is slow is ended by the server before.
 */
const slow = { duration: Duration.seconds(35), orElse: unanswered }

/** For those with a lease to lose, who cannot wait either until the connection is done away with. */
const inTime = <A, E>(answer: Effect.Effect<A, E>): Effect.Effect<A, E | Error> =>
  Effect.flatMap(
    Effect.forkDetach(answer, { startImmediately: true }),
    (fiber) =>
      Fiber.join(fiber).pipe(
        Effect.timeoutOrElse({ duration: Duration.seconds(5), orElse: unanswered }),
        Effect.ensuring(Effect.sync(() => fiber.interruptUnsafe())),
      ),
  )

/** `cause` says what PostgreSQL said, which the driver keeps two causes deep. */
export const unavailable = (operation: string) => (error: unknown): StorageUnavailable => {
  const said = SqlError.isSqlError(error) ? error.reason.cause : undefined
  const cause = said instanceof Error ? new Error(said.message, { cause: error }) : error
  return new StorageUnavailable({ storage: "postgres", operation, cause })
}

const codeOf = (error: SqlError.SqlError): string | undefined =>
  (error.reason.cause as { readonly code?: string } | undefined)?.code

/** The code with which PostgreSQL, or what stands before it, has refused a statement or connection. */
export const codeIn = ({ cause }: StorageUnavailable): string | undefined => {
  const error = cause instanceof Error ? cause.cause : undefined
  return SqlError.isSqlError(error) ? codeOf(error) : undefined
}

const lockTimeout = "55P03"
const passing = ["40001", "40P01", "53300", "57P01", "57P02", "57P03"]

/** PostgreSQL did not carry the statement out, and may do so the next time; or nobody knows. */
const isWorthAnother = (error: SqlError.SqlError, pool: Pool, isRepeatable: boolean): boolean => {
  const code = codeOf(error) ?? ""
  if (code === lockTimeout) return pool !== "keyed"
  return passing.includes(code) || (isRepeatable && error.isRetryable)
}

/** PostgreSQL said that the statement cannot be carried out with these parameters. */
export const isRefusedForGood = (error: StorageUnavailable): boolean =>
  ["22", "23"].includes(codeIn(error)?.slice(0, 2) ?? "")

/** There is a row of that key already. */
export const isRecorded = (error: StorageUnavailable): boolean => codeIn(error) === "23505"

/** What was to be done at an instant was not, since the clock was set back while it waited. */
export const wasSetBack = (error: StorageUnavailable): boolean => codeIn(error) === "BF001"

/** Another transaction has not yet decided about what the statement would insert. */
export const isUndecided = (error: StorageUnavailable): boolean => codeIn(error) === lockTimeout

/** Numbers as an array parameter of any integer type; a statement casts it. */
export const numbers = (values: ReadonlyArray<number>): string => `{${values.join(",")}}`

export const numbersOrNull = (values: ReadonlyArray<number | undefined>): string =>
  `{${values.map((value) => value === undefined ? "NULL" : Math.trunc(value)).join(",")}}`

export const booleans = (values: ReadonlyArray<boolean>): string =>
  `{${values.map((value) => value ? "t" : "f").join(",")}}`

/** Texts as an array parameter, whatever they contain, also when all are absent. */
export const texts = (values: ReadonlyArray<string | undefined>): PgTypes.Parameter => ({
  [PgTypes.ParameterTypeId]: PgTypes.ParameterTypeId,
  oid: PgTypes.OID.textArray,
  value: values.map((value) => value ?? null),
})
