/**
 * Tried, and caught: one connection asked twice; a text that waits for its turn; one that is asked but
 * once, or for ever; a claim for whoever claimed last instead of for nobody; one
 * that fails is the last.
 */
import { assert, layer as withLayer } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { TestClock } from "effect/testing"
import { until } from "../../core/contract/program.ts"
import { freshNamespace, greet, joined, specOf, submitOne } from "../../core/contract/world.ts"
import * as Lane from "../../core/domain/Lane.ts"
import { Storage } from "../../core/services/Storage.ts"
import * as Pg from "./Pg.ts"
import * as PgWarm from "./PgWarm.ts"
import { another, client, layer, TestStorage } from "./TestStorage.ts"

/** Tells who was asked. */
const telling = (table: string) => `INSERT INTO ${table} (pid) SELECT pg_backend_pid()`

const warming = Effect.fnUntraced(function* (
  table: string,
  config: Pick<Pg.Config, "claimConnections">,
) {
  const { url } = yield* TestStorage
  const pg = yield* Pg.make({ url, ...config })
  const sql = yield* client
  yield* sql.unsafe(`CREATE TABLE ${table} (pid int NOT NULL)`)
  const pids = Effect.map(
    sql.unsafe<{ pid: number }>(`SELECT pid FROM ${table}`),
    (rows) => rows.map(({ pid }) => pid),
  )
  let underWay = 0
  const watched: typeof pg = {
    ...pg,
    queryOnEach: (...asked) =>
      Effect.acquireUseRelease(
        Effect.sync(() => underWay++),
        () => pg.queryOnEach(...asked),
        () => Effect.sync(() => underWay--),
      ),
  }
  // Time is let go by for this alone: connections have their own.
  const time = yield* Layer.build(TestClock.layer())
  const warm = yield* Effect.provide(PgWarm.make(watched), time)
  /** Whatever was to be asked was, and is answered, however long that takes. */
  const answered = Effect.andThen(
    Effect.sleep("5 millis"),
    until(Effect.sync(() => underWay), (count) => count === 0),
  )
  return {
    claimed: Effect.sync(() => warm.claimed(telling(table), () => [])),
    later: (seconds: number) =>
      Effect.repeat(
        Effect.andThen(Effect.provide(TestClock.adjust("1 second"), time), answered),
        { times: seconds - 1 },
      ),
    asked: Effect.map(
      Effect.andThen(answered, pids),
      (all) => ({ times: all.length, sessions: new Set(all).size }),
    ),
  }
})

withLayer(layer, { excludeTestServices: true })("connections that claim", (it) => {
  it.effect("are both warm at once, and again and again, until nobody has claimed for a minute", () =>
    Effect.gen(function* () {
      const { asked, claimed, later } = yield* warming("warmed", {})
      assert.deepStrictEqual(yield* asked, { times: 0, sessions: 0 })
      yield* claimed
      assert.deepStrictEqual(yield* asked, { times: 2, sessions: 2 })
      yield* claimed
      assert.deepStrictEqual(yield* asked, { times: 2, sessions: 2 }, "it is no new text")
      yield* later(12)
      assert.deepStrictEqual(yield* asked, { times: 4, sessions: 2 })
      yield* later(45)
      yield* claimed
      yield* later(45)
      const { sessions, times } = yield* asked
      assert.strictEqual(sessions, 2)
      yield* later(12)
      assert.isAbove((yield* asked).times, times, "somebody has claimed within a minute")
      yield* later(15)
      const { times: last } = yield* asked
      yield* later(30)
      assert.strictEqual((yield* asked).times, last)
    }).pipe(Effect.scoped))

  it.effect("are warm again after the storage has refused, and after their sessions were ended", () =>
    Effect.gen(function* () {
      const { asked, claimed, later } = yield* warming("warmed_anew", {})
      const sql = yield* client
      yield* claimed
      assert.deepStrictEqual(yield* asked, { times: 2, sessions: 2 })
      yield* sql`ALTER TABLE warmed_anew RENAME TO away`
      yield* later(12)
      yield* sql`ALTER TABLE away RENAME TO warmed_anew`
      yield* later(12)
      assert.isAbove((yield* asked).times, 2)
      yield* sql`SELECT pg_terminate_backend(pid) FROM (SELECT DISTINCT pid FROM warmed_anew) AS warm`
      yield* later(24)
      const { sessions, times } = yield* asked
      assert.isAbove(times, 4)
      assert.strictEqual(sessions, 4)
    }).pipe(Effect.scoped))

  it.effect("are no more than there may be", () =>
    Effect.gen(function* () {
      const { asked, claimed } = yield* warming("warmed_alone", { claimConnections: 1 })
      yield* claimed
      assert.deepStrictEqual(yield* asked, { times: 1, sessions: 1 })
    }).pipe(Effect.scoped))

  it.effect("claim nothing by it", () =>
    Effect.gen(function* () {
      const { runs } = yield* Storage
      const sql = yield* client
      const namespace = freshNamespace()
      const hand = yield* joined(namespace)
      for (let nth = 0; nth < 3; nth++) yield* submitOne(specOf(namespace))
      const request = {
        incarnation: hand.incarnation,
        loop: 0,
        isAgain: false,
        lanes: [Lane.ofTask(namespace, greet)],
        reports: [],
      }
      const claim = (round: number, limit: number) =>
        Effect.map(
          runs.claim({ ...request, round, limit }),
          (claimed) => claimed === "Lost" ? claimed : claimed.grants.length,
        )
      assert.strictEqual(yield* claim(1, 1), 1)
      yield* until(
        sql<{ pid: number }>`SELECT pid FROM pg_stat_activity WHERE datname = current_database()
          AND application_name = 'belfry claims' AND query LIKE '%WITH guard AS%'
          AND state = 'idle'`,
        (sessions) => sessions.length === 2,
      )
      const leases = yield* sql<{ count: number }>`SELECT count(*)::int AS count FROM lease`
      assert.deepStrictEqual(leases, [{ count: 1 }])
      assert.strictEqual(yield* claim(2, 10), 2)
    }).pipe(
      Effect.provide(another()),
      Effect.scoped,
    ))
})
