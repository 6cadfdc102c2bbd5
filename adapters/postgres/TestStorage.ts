/**
 * The adapter over a database of its own, whose time can be let go by. For tests only.
 *
 * All instants come from the function `clock()`, so time goes by when that function says so, and the
 * clock by which the adapter watches it goes along; if it does not, the clock was set.
 */
import { PgClient } from "@effect/sql-pg"
import { Clock, Context, Duration, Effect, Layer, Redacted } from "effect"
import { Reactivity } from "effect/reactivity"
import * as Postgres from "./mod.ts"
import * as TestDatabase from "./TestDatabase.ts"

export class TestStorage extends Context.Service<TestStorage, {
  readonly url: Redacted.Redacted<string>
  /** Milliseconds by which `clock()` is ahead. */
  aheadMillis: number
  /** Milliseconds that went by, as the adapter measures them. */
  passedMillis: number
  isMovable: boolean
  /** When both clocks stopped that otherwise run on by themselves, on the one that cannot be set. */
  stoppedAt: bigint | undefined
  /** Moves the clock. A connection is dear, and time goes by often. */
  readonly sql: PgClient.PgClient
}>()("belfry/adapters/postgres/TestStorage") {}

const migrated = TestDatabase.prepareTemplate(
  (url) => Effect.scoped(Layer.build(Layer.fresh(Postgres.layerMigrations({ url })))),
  "belfry",
)

/** The adapter once more, over the same database and on the same clock. */
export const another = (config: Partial<Postgres.Config> = {}) =>
  Layer.unwrap(
    TestStorage.use((test) =>
      Effect.map(Clock.Clock, (clock) =>
        Layer.fresh(Postgres.layer({ url: test.url, ...config })).pipe(
          Layer.provide(Layer.succeed(
            Clock.Clock,
            Object.create(clock, {
              monotonicTimeNanosUnsafe: {
                value: () =>
                  (test.stoppedAt ?? clock.monotonicTimeNanosUnsafe()) +
                  BigInt(Math.round(test.passedMillis)) * 1_000_000n,
              },
            }),
          )),
        ))
    ),
  )

/** The database alone. */
export const base = Layer.unwrap(
  Effect.map(migrated.fresh, (url) =>
    Layer.effect(
      TestStorage,
      Effect.map(
        connected(url),
        (sql) => ({
          url,
          sql,
          aheadMillis: 0,
          passedMillis: 0,
          isMovable: false,
          stoppedAt: undefined,
        }),
      ),
    )),
)

export const layer = Layer.provideMerge(another(), base)

/** The address of a database of its own, for processes of their own; it lasts as long as the scope does. */
export const freshUrl = Effect.map(
  Effect.flatMap(Layer.build(layer), (context) => Effect.provide(TestStorage, context)),
  ({ url }) => Redacted.value(url),
)

/** A client of its own, of the same database and schema. */
export const client = TestStorage.use(({ url }) => connected(url))

const connected = (url: Redacted.Redacted<string>) =>
  PgClient.makeClient({ url, startupParameters: { search_path: "belfry" } }).pipe(
    Effect.provide(Reactivity.layer),
  )

export const elapse = (duration: Duration.Duration) => move(Duration.toMillis(duration), true)

/** Sets the clock of the database, as its administrator may. */
export const setClock = (byMillis: number) => move(byMillis, false)

const move = (millis: number, isTimePassing: boolean) =>
  Effect.gen(function* () {
    const test = yield* TestStorage
    const { sql } = test
    if (!test.isMovable) {
      // A sequence is no part of transactions: as with a real clock, even a statement that is under
      // way sees it move.
      yield* sql`CREATE SEQUENCE IF NOT EXISTS test_ahead MINVALUE ${
        sql.literal(`${-1e15}`)
      } START 0`
      yield* sql.unsafe(
        `CREATE OR REPLACE FUNCTION clock() RETURNS bigint LANGUAGE sql VOLATILE AS $$
         SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint + last_value
         FROM test_ahead $$`,
      ).unprepared
      test.isMovable = true
    }
    yield* sql.withTransaction(Effect.gen(function* () {
      // Whoever looks at the clock looks here, and so sees both clocks moved, or neither.
      yield* sql`LOCK TABLE clock_step IN ACCESS EXCLUSIVE MODE`
      test.aheadMillis += millis
      if (isTimePassing) test.passedMillis += millis
      yield* sql`SELECT setval('test_ahead', ${Math.round(test.aheadMillis)}::bigint)::text`
    }))
  })

/** From now on time goes by when it is let go by, and else stands still. */
export const stopClock = Effect.gen(function* () {
  const test = yield* TestStorage
  if (test.stoppedAt !== undefined) return
  yield* move(0, true)
  test.stoppedAt = (yield* Clock.Clock).monotonicTimeNanosUnsafe()
  const [now] = yield* test.sql<{ ms: number }>`SELECT clock()::float8 AS ms`
  test.aheadMillis = now!.ms
  yield* test.sql`SELECT setval('test_ahead', ${test.aheadMillis}::bigint)::text`
  yield* test.sql.unsafe(
    `CREATE OR REPLACE FUNCTION clock() RETURNS bigint LANGUAGE sql VOLATILE AS
     $$ SELECT last_value FROM test_ahead $$`,
  ).unprepared
})
